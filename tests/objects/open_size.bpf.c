/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Fills one map, whose size is left to its loader, and counts the elements of another, which has a
 * size: "filled N", "counted N". Both stop at 16.
 */
#include "iter.h"

#define MOST 16

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u32);
	__type(value, __u64);
} filled SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} counted SEC(".maps");

SEC("iter/task")
int dump(struct bpf_iter__task *ctx)
{
	int i, fills = 0, counts = 0;
	__u64 value = 0;
	__u32 key;

	if (!ctx->task || ctx->meta->seq_num != 0)
		return 0;

	for (i = 0; i < MOST; i++) {
		key = i;
		if (!bpf_map_update_elem(&filled, &key, &value, BPF_ANY))
			fills++;
		if (bpf_map_lookup_elem(&counted, &key))
			counts++;
	}

	BPF_SEQ_PRINTF(ctx->meta->seq, "filled %d\ncounted %d\n", fills, counts);
	return 0;
}
