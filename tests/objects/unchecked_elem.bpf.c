/* SPDX-License-Identifier: GPL-2.0-only */
/* Two iterators that the verifier rejects: neither checks a pointer to its element for NULL. */
#include "iter.h"

SEC("iter/bpf_map_elem")
int dump_key(struct bpf_iter__bpf_map_elem *ctx)
{
	__u32 *key = ctx->key;

	BPF_SEQ_PRINTF(ctx->meta->seq, "%u\n", *key);
	return 0;
}

SEC("iter/bpf_map_elem")
int dump_value(struct bpf_iter__bpf_map_elem *ctx)
{
	__u64 *value = ctx->value;

	BPF_SEQ_PRINTF(ctx->meta->seq, "%llu\n", *value);
	return 0;
}
