/* SPDX-License-Identifier: GPL-2.0-only */
/* An iterator for each kind of map that is not like an array or a hash. Each prints one line. */
#include "iter.h"

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 4);
	__type(key, __u64);
	__type(value, __u64);
} trie SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 4);
	__type(value, __u64);
} queue SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 65536);
} ring SEC(".maps");

SEC("iter/task")
int in_trie(struct bpf_iter__task *ctx)
{
	/* Zero bits: the prefix of every key. */
	__u64 key = 0, one = 1, *count;

	if (!ctx->task || ctx->meta->seq_num != 0)
		return 0;

	count = bpf_map_lookup_elem(&trie, &key);
	if (!count)
		bpf_map_update_elem(&trie, &key, &one, BPF_ANY);
	BPF_SEQ_PRINTF(ctx->meta->seq, "found %d\n", !!count);
	return 0;
}

SEC("iter/task")
int in_queue(struct bpf_iter__task *ctx)
{
	__u64 number = 0;

	if (!ctx->task || ctx->meta->seq_num != 0)
		return 0;

	bpf_map_pop_elem(&queue, &number);
	number += 1;
	bpf_map_push_elem(&queue, &number, BPF_ANY);
	BPF_SEQ_PRINTF(ctx->meta->seq, "read %llu\n", number);
	return 0;
}

SEC("iter/task")
int in_ring(struct bpf_iter__task *ctx)
{
	if (!ctx->task || ctx->meta->seq_num != 0)
		return 0;

	BPF_SEQ_PRINTF(ctx->meta->seq, "room %llu\n", bpf_ringbuf_query(&ring, BPF_RB_RING_SIZE));
	return 0;
}
