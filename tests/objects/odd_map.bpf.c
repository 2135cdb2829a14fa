/* SPDX-License-Identifier: GPL-2.0-only */
/* Defines a map with a flag that no array accepts. */
#include "iter.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, __u64);
} odd SEC(".maps");

SEC("iter/task")
int dump(struct bpf_iter__task *ctx)
{
	__u32 key = 0;
	__u64 *value = bpf_map_lookup_elem(&odd, &key);

	if (value)
		BPF_SEQ_PRINTF(ctx->meta->seq, "%llu\n", *value);
	return 0;
}
