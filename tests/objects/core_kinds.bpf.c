/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One iterator for each kind of CO-RE relocation: a field and whether there is one, a field of bits,
 * types, and values of an enum. Each prints one line.
 */
#include "iter.h"
#include <bpf/bpf_core_read.h>

struct task_struct___more {
	int pid;
	unsigned int sched_reset_on_fork : 1;
	unsigned int in_iowait : 1;
	int no_such_member;
} __attribute__((preserve_access_index));

struct no_such_type {
	int member;
} __attribute__((preserve_access_index));

enum bpf_map_type___kernels {
	BPF_MAP_TYPE_LPM_TRIE___kernels = 1,
	BPF_MAP_TYPE_OF_TOMORROW = 4711,
};

struct mine {
	int first, second;
};

SEC("iter/task")
int fields(struct bpf_iter__task *ctx)
{
	struct task_struct___more *task = (void *)ctx->task;

	if (!task || ctx->meta->seq_num != 0)
		return 0;

	BPF_SEQ_PRINTF(ctx->meta->seq, "pid %d, exists %d %d, size %d\n", task->pid,
		       bpf_core_field_exists(task->pid), bpf_core_field_exists(task->no_such_member),
		       bpf_core_field_size(task->pid));
	return 0;
}

SEC("iter/task")
int bits(struct bpf_iter__task *ctx)
{
	struct task_struct___more *task = (void *)ctx->task;

	if (!task || ctx->meta->seq_num != 0)
		return 0;

	BPF_SEQ_PRINTF(ctx->meta->seq, "bits %llu %llu\n", BPF_CORE_READ_BITFIELD(task, sched_reset_on_fork),
		       BPF_CORE_READ_BITFIELD(task, in_iowait));
	return 0;
}

SEC("iter/task")
int types(struct bpf_iter__task *ctx)
{
	if (!ctx->task || ctx->meta->seq_num != 0)
		return 0;

	BPF_SEQ_PRINTF(ctx->meta->seq, "exists %d %d, size %d\n", bpf_core_type_exists(struct task_struct),
		       bpf_core_type_exists(struct no_such_type), bpf_core_type_size(struct task_struct));
	return 0;
}

SEC("iter/task")
int ids(struct bpf_iter__task *ctx)
{
	if (!ctx->task || ctx->meta->seq_num != 0)
		return 0;

	BPF_SEQ_PRINTF(ctx->meta->seq, "kernel's %d\n", bpf_core_type_id_kernel(struct task_struct));
	return 0;
}

SEC("iter/task")
int local_ids(struct bpf_iter__task *ctx)
{
	if (!ctx->task || ctx->meta->seq_num != 0)
		return 0;

	BPF_SEQ_PRINTF(ctx->meta->seq, "own %d\n", bpf_core_type_id_local(struct mine) != 0);
	return 0;
}

SEC("iter/task")
int enums(struct bpf_iter__task *ctx)
{
	if (!ctx->task || ctx->meta->seq_num != 0)
		return 0;

	BPF_SEQ_PRINTF(ctx->meta->seq, "value %d, exists %d %d\n",
		       bpf_core_enum_value(enum bpf_map_type, BPF_MAP_TYPE_LPM_TRIE),
		       bpf_core_enum_value_exists(enum bpf_map_type, BPF_MAP_TYPE_LPM_TRIE),
		       bpf_core_enum_value_exists(enum bpf_map_type___kernels, BPF_MAP_TYPE_OF_TOMORROW));
	return 0;
}
