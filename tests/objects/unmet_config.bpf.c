/* SPDX-License-Identifier: GPL-2.0-only */
/* Needs the value of an option that no kernel has. */
#include "iter.h"

extern int CONFIG_ITERCTL_HAS_NO_SUCH_OPTION __kconfig;

SEC("iter/task")
int dump(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	if (!task)
		return 0;

	BPF_SEQ_PRINTF(ctx->meta->seq, "%d %d\n", task->pid, CONFIG_ITERCTL_HAS_NO_SUCH_OPTION);
	return 0;
}
