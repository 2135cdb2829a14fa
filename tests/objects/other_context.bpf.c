/* SPDX-License-Identifier: GPL-2.0-only */
/* Two iterators with the context of another target: the verifier rejects both. */
#include "iter.h"

SEC("iter/task")
int files_as_tasks(struct bpf_iter__task_file *ctx)
{
	BPF_SEQ_PRINTF(ctx->meta->seq, "%u\n", ctx->fd);
	return 0;
}

SEC("iter/bpf_map")
int tasks_as_maps(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	if (!task)
		return 0;

	BPF_SEQ_PRINTF(ctx->meta->seq, "%d\n", task->pid);
	return 0;
}
