/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * `called` calls a global subprogram, and a static one that calls another; `alone` calls none. Each
 * prints one line.
 */
#include "iter.h"

#define COUNTER(name)                                \
	struct {                                     \
		__uint(type, BPF_MAP_TYPE_ARRAY);    \
		__uint(max_entries, 2);              \
		__type(key, __u32);                  \
		__type(value, __u64);                \
	} name SEC(".maps")

COUNTER(of_global);
COUNTER(of_static);

int last_static = 5;

static __attribute__((noinline)) int inner(int number)
{
	__u32 key = number & 1;
	__u64 *count = bpf_map_lookup_elem(&of_static, &key);

	if (count)
		*count += 1;
	last_static += number;
	return last_static;
}

static __attribute__((noinline)) int outer(int number)
{
	return inner(number + 1) + inner(number);
}

__attribute__((noinline)) int global(int number)
{
	__u32 key = number & 1;
	__u64 *count = bpf_map_lookup_elem(&of_global, &key);

	if (!count)
		return -1;
	*count += number;
	return *count;
}

SEC("iter/task")
int called(struct bpf_iter__task *ctx)
{
	int number;

	if (!ctx->task || ctx->meta->seq_num != 0)
		return 0;

	number = global(3);
	number += outer(number);
	BPF_SEQ_PRINTF(ctx->meta->seq, "called %d\n", number);
	return 0;
}

SEC("iter/task")
int alone(struct bpf_iter__task *ctx)
{
	if (!ctx->task || ctx->meta->seq_num != 0)
		return 0;

	BPF_SEQ_PRINTF(ctx->meta->seq, "alone\n");
	return 0;
}
