/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The name of its target is misspelt. */
#include "iter.h"

SEC("iter/tasks")
int dump(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	if (!task)
		return 0;

	BPF_SEQ_PRINTF(ctx->meta->seq, "%d\n", task->pid);
	return 0;
}
