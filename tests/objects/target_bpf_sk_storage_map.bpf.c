/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The sockets that have something stored in a map with 8-byte values: "value". Such a map needs
 * BTF, which bpftool cannot give it: so here is one.
 */
#include "iter.h"

struct bpf_iter__bpf_sk_storage_map {
	struct bpf_iter_meta *meta;
	struct sock *sk;
	void *value;
} __attribute__((preserve_access_index));

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, __u64);
} storage SEC(".maps");

SEC("iter/bpf_sk_storage_map")
int dump(struct bpf_iter__bpf_sk_storage_map *ctx)
{
	__u64 *value = ctx->value;
	struct seq_file *seq = ctx->meta->seq;

	if (!value)
		return 0;

	if (ctx->meta->seq_num == 0)
		BPF_SEQ_PRINTF(seq, "bpf_sk_storage_map\n");

	BPF_SEQ_PRINTF(seq, "%llu\n", *value);
	return 0;
}
