/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The elements of a map with 4-byte keys and 8-byte values: "key value". */
#include "iter.h"

SEC("iter/bpf_map_elem")
int dump(struct bpf_iter__bpf_map_elem *ctx)
{
	__u32 *key = ctx->key;
	__u64 *value = ctx->value;
	struct seq_file *seq = ctx->meta->seq;

	if (!key || !value)
		return 0;

	if (ctx->meta->seq_num == 0)
		BPF_SEQ_PRINTF(seq, "bpf_map_elem\n");

	BPF_SEQ_PRINTF(seq, "%u %llu\n", *key, *value);
	return 0;
}
