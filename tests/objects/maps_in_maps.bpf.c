/* SPDX-License-Identifier: GPL-2.0-only */
/* Counts in maps that are in the slots of another map: `array` prints "array N", `hash` prints "hash N". */
#include "iter.h"

struct inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
};

struct inner first SEC(".maps");
struct inner second SEC(".maps");
struct inner third SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 3);
	__type(key, __u32);
	__array(values, struct inner);
} in_array SEC(".maps") = {
	.values = { [0] = &first, [2] = &second },
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__uint(max_entries, 4);
	__type(key, __u32);
	__array(values, struct inner);
} in_hash SEC(".maps") = {
	.values = { [1] = &third },
};

static __attribute__((always_inline)) __u64 count_in(void *outer, __u32 key)
{
	void *inner = bpf_map_lookup_elem(outer, &key);
	__u32 only = 0;
	__u64 *count;

	if (!inner)
		return 0;
	count = bpf_map_lookup_elem(inner, &only);
	if (!count)
		return 0;
	*count += 1;
	return *count;
}

SEC("iter/task")
int array(struct bpf_iter__task *ctx)
{
	__u64 count;

	if (!ctx->task || ctx->meta->seq_num != 0)
		return 0;

	count = count_in(&in_array, 0) + count_in(&in_array, 1) + count_in(&in_array, 2);
	BPF_SEQ_PRINTF(ctx->meta->seq, "array %llu\n", count);
	return 0;
}

SEC("iter/task")
int hash(struct bpf_iter__task *ctx)
{
	if (!ctx->task || ctx->meta->seq_num != 0)
		return 0;

	BPF_SEQ_PRINTF(ctx->meta->seq, "hash %llu\n", count_in(&in_hash, 1));
	return 0;
}
