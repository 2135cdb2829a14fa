/* SPDX-License-Identifier: GPL-2.0-only */
/* Calls a function of the kernel that no kernel has. */
#include "iter.h"

extern int iterctl_has_no_such_function(struct task_struct *task) __ksym;

SEC("iter/task")
int dump(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	if (!task)
		return 0;

	BPF_SEQ_PRINTF(ctx->meta->seq, "%d\n", iterctl_has_no_such_function(task));
	return 0;
}
