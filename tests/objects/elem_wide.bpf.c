/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Reads values of 64 bytes: loads on any kernel, but does not attach to a map with smaller values. */
#include "iter.h"

SEC("iter/bpf_map_elem")
int dump_elem(struct bpf_iter__bpf_map_elem *ctx)
{
	__u32 *key = ctx->key;
	__u64 *value = ctx->value;

	if (!key || !value)
		return 0;

	BPF_SEQ_PRINTF(ctx->meta->seq, "%u %llu\n", *key, value[7]);
	return 0;
}
