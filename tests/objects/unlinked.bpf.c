/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One of its functions is in another file, with which it was not linked. */
#include "iter.h"

int in_another_file(int number);

SEC("tc")
int first(struct __sk_buff *packet)
{
	return in_another_file(1);
}

SEC("iter/task")
int dump(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	if (!task)
		return 0;

	BPF_SEQ_PRINTF(ctx->meta->seq, "%d\n", task->pid);
	return 0;
}
