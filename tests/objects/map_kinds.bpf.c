/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Maps of every kind that is like an array or a hash. Counts in each, and prints in how many there was no
 * element before: "N new".
 */
#include "iter.h"

#define MAP(map_type, name)                    \
	struct {                               \
		__uint(type, map_type);        \
		__uint(max_entries, 4);        \
		__type(key, __u32);            \
		__type(value, __u64);          \
	} name SEC(".maps")

MAP(BPF_MAP_TYPE_PERCPU_ARRAY, percpu_array);
MAP(BPF_MAP_TYPE_PERCPU_HASH, percpu_hash);
MAP(BPF_MAP_TYPE_LRU_HASH, lru);
MAP(BPF_MAP_TYPE_LRU_PERCPU_HASH, lru_percpu);

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} allocated_late SEC(".maps");

/* Without types: libbpf knows only the sizes. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u64));
} untyped SEC(".maps");

static __attribute__((always_inline)) int count_in(void *map)
{
	__u64 one = 1, *count;
	__u32 key = 2;

	count = bpf_map_lookup_elem(map, &key);
	if (count) {
		*count += 1;
		return 0;
	}
	return !bpf_map_update_elem(map, &key, &one, BPF_ANY);
}

SEC("iter/task")
int dump(struct bpf_iter__task *ctx)
{
	int new;

	if (!ctx->task || ctx->meta->seq_num != 0)
		return 0;

	new = count_in(&percpu_array) + count_in(&percpu_hash) + count_in(&lru) + count_in(&lru_percpu) +
	      count_in(&allocated_late) + count_in(&untyped);
	BPF_SEQ_PRINTF(ctx->meta->seq, "%d new\n", new);
	return 0;
}
