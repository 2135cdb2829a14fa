/* SPDX-License-Identifier: GPL-2.0-only */
/* A sleepable iterator for a target that takes none: it loads, but does not attach. */
#include "iter.h"

SEC("iter.s/bpf_map_elem")
int dump(struct bpf_iter__bpf_map_elem *ctx)
{
	__u32 *key = ctx->key;

	if (!key)
		return 0;

	BPF_SEQ_PRINTF(ctx->meta->seq, "%u\n", *key);
	return 0;
}
