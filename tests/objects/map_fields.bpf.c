/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Maps whose values have fields that the kernel knows by their types: a spin lock, which iterators may
 * take since Linux 6.1, and a pointer to a task (6.3). Prints "locked N", "nothing".
 */
#include "iter.h"

struct locked {
	struct bpf_spin_lock lock;
	__u32 count;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct locked);
} locks SEC(".maps");

struct pointing {
	struct task_struct __attribute__((btf_type_tag("kptr_untrusted"))) *task;
	__u64 count;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct pointing);
} pointers SEC(".maps");

SEC("iter/task")
int dump(struct bpf_iter__task *ctx)
{
	struct seq_file *seq = ctx->meta->seq;
	struct pointing *pointing;
	struct locked *locked;
	__u32 key = 0, count;

	if (!ctx->task || ctx->meta->seq_num != 0)
		return 0;

	locked = bpf_map_lookup_elem(&locks, &key);
	if (!locked)
		return 0;
	bpf_spin_lock(&locked->lock);
	count = ++locked->count;
	bpf_spin_unlock(&locked->lock);
	BPF_SEQ_PRINTF(seq, "locked %u\n", count);

	pointing = bpf_map_lookup_elem(&pointers, &key);
	BPF_SEQ_PRINTF(seq, "%s\n", pointing && pointing->task ? "a task" : "nothing");
	return 0;
}
