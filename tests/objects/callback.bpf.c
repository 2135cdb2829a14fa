/* SPDX-License-Identifier: GPL-2.0-only */
/* Passes the address of a subprogram to a helper (Linux 5.13): "sum N, called N times". */
#include "iter.h"

#define COUNTER(name)                                \
	struct {                                     \
		__uint(type, BPF_MAP_TYPE_ARRAY);    \
		__uint(max_entries, 3);              \
		__type(key, __u32);                  \
		__type(value, __u64);                \
	} name SEC(".maps")

COUNTER(walked);
COUNTER(of_callback);

static long callback(void *map, __u32 *key, __u64 *value, __u64 *sum)
{
	__u32 first = 0;
	__u64 *count = bpf_map_lookup_elem(&of_callback, &first);

	if (count)
		*count += 1;
	*sum += *value + *key;
	return 0;
}

SEC("iter/task")
int dump(struct bpf_iter__task *ctx)
{
	long called;
	__u64 sum = 0;

	if (!ctx->task || ctx->meta->seq_num != 0)
		return 0;

	called = bpf_for_each_map_elem(&walked, callback, &sum, 0);
	BPF_SEQ_PRINTF(ctx->meta->seq, "sum %llu, called %ld times\n", sum, called);
	return 0;
}
