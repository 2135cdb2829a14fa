/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Walks its own array, whose name is longer than the kernel keeps, and counts there how often it
 * saw each element: "key count".
 */
#include "iter.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 3);
	__type(key, __u32);
	__type(value, __u64);
} a_map_with_a_long_name SEC(".maps");

SEC("iter/bpf_map_elem")
int dump(struct bpf_iter__bpf_map_elem *ctx)
{
	__u32 *walked = ctx->key;
	__u64 *count;
	__u32 key;

	if (!walked)
		return 0;

	key = *walked;
	count = bpf_map_lookup_elem(&a_map_with_a_long_name, &key);
	if (!count)
		return 0;

	*count += 1;
	BPF_SEQ_PRINTF(ctx->meta->seq, "%u %llu\n", key, *count);
	return 0;
}
