/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A good iterator beside a program that no kernel loads, because it names no function of the kernel. */
#include "iter.h"

SEC("iter/task")
int dump(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	if (!task)
		return 0;

	BPF_SEQ_PRINTF(ctx->meta->seq, "%d\n", task->pid);
	return 0;
}

SEC("fentry/iterctl_no_such_function")
int unloadable(void *ctx)
{
	return 0;
}
