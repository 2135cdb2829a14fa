/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Several iterators in one object. */
#include "iter.h"

SEC("iter/task")
int dump_task(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	if (!task)
		return 0;

	BPF_SEQ_PRINTF(ctx->meta->seq, "task %d\n", task->pid);
	return 0;
}

SEC("iter/task_file")
int dump_file(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;

	if (!task)
		return 0;

	BPF_SEQ_PRINTF(ctx->meta->seq, "file %d %u\n", task->pid, ctx->fd);
	return 0;
}

SEC("iter/bpf_map")
int dump_map(struct bpf_iter__bpf_map *ctx)
{
	struct bpf_map *map = ctx->map;

	if (!map)
		return 0;

	BPF_SEQ_PRINTF(ctx->meta->seq, "map %u\n", map->id);
	return 0;
}
