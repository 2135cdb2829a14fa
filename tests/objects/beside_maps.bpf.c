/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Prints "pid"; the object also has a program whose maps this loader cannot create: one has no size, one
 * is of a future type, one is to be pinned by its name, and one holds a program that is not loaded.
 */
#include "iter.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u32);
	__type(value, __u64);
} sized_later SEC(".maps");

struct {
	__uint(type, 4711);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} of_tomorrow SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} settings SEC(".maps");

int next(struct __sk_buff *packet);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__array(values, int (struct __sk_buff *));
} packet_steps SEC(".maps") = {
	.values = { [0] = next },
};

SEC("tc")
int first(struct __sk_buff *packet)
{
	__u32 key = 0;

	if (bpf_map_lookup_elem(&sized_later, &key) || bpf_map_lookup_elem(&of_tomorrow, &key) ||
	    bpf_map_lookup_elem(&settings, &key))
		return 1;
	bpf_tail_call(packet, &packet_steps, 0);
	return 0;
}

SEC("tc")
int next(struct __sk_buff *packet)
{
	return 0;
}

SEC("iter/task")
int dump(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	if (!task)
		return 0;

	BPF_SEQ_PRINTF(ctx->meta->seq, "%d\n", task->pid);
	return 0;
}
