/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Prints only the elements of a map with 4-byte keys and 8-byte values that are not zero: "key
 * value". After a million elements without output, reading fails with EAGAIN.
 */
#include "iter.h"

SEC("iter/bpf_map_elem")
int dump(struct bpf_iter__bpf_map_elem *ctx)
{
	__u32 *key = ctx->key;
	__u64 *value = ctx->value;

	if (!key || !value || !*value)
		return 0;

	BPF_SEQ_PRINTF(ctx->meta->seq, "%u %llu\n", *key, *value);
	return 0;
}
