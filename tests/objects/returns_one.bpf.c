/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Programs that return 1. The kernel then shows the same element again, and a read() that has no
 * output before it ends with EAGAIN. All but the last walk the object's own map and print "key".
 */
#include "iter.h"

/* The reader accepts this many for one element. For all three together, it would be too many. */
#define AGAIN 6000

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 3);
	__type(key, __u32);
	__type(value, __u64);
} numbers SEC(".maps");

static __u32 asked;

/* Returns 1 for every element, after it has printed it: nothing is ever read. */
SEC("iter/bpf_map_elem")
int always(struct bpf_iter__bpf_map_elem *ctx)
{
	__u32 *key = ctx->key;

	if (!key)
		return 0;

	BPF_SEQ_PRINTF(ctx->meta->seq, "%u\n", *key);
	return 1;
}

/* Returns 1 for the third element: the others are read. */
SEC("iter/bpf_map_elem")
int at_the_third(struct bpf_iter__bpf_map_elem *ctx)
{
	__u32 *key = ctx->key;

	if (!key)
		return 0;
	if (*key == 2)
		return 1;

	BPF_SEQ_PRINTF(ctx->meta->seq, "%u\n", *key);
	return 0;
}

/* Returns 1 many times for every element before it prints it: all of them are read. */
SEC("iter/bpf_map_elem")
int for_a_while(struct bpf_iter__bpf_map_elem *ctx)
{
	__u32 *key = ctx->key;

	if (!key)
		return 0;

	asked += 1;
	if (asked % AGAIN)
		return 1;

	BPF_SEQ_PRINTF(ctx->meta->seq, "%u\n", *key);
	return 0;
}

/* Returns 1 after the last element, where the kernel ignores it. */
SEC("iter/bpf_map_elem")
int after_the_last(struct bpf_iter__bpf_map_elem *ctx)
{
	__u32 *key = ctx->key;

	if (!key)
		return 1;

	BPF_SEQ_PRINTF(ctx->meta->seq, "%u\n", *key);
	return 0;
}

/* Returns 1 for the first cgroup, after it has printed "id". In this target, 1 ends the walk. */
SEC("iter/cgroup")
int first_cgroup(struct bpf_iter__cgroup *ctx)
{
	struct cgroup *cgroup = ctx->cgroup;

	if (!cgroup)
		return 0;

	BPF_SEQ_PRINTF(ctx->meta->seq, "%llu\n", cgroup->kn->id);
	return 1;
}
