/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One line for each element of a sockmap with 4-byte keys. */
#include "iter.h"

SEC("iter/sockmap")
int dump(struct bpf_iter__sockmap *ctx)
{
	__u32 *key = ctx->key;

	if (!key)
		return 0;

	BPF_SEQ_PRINTF(ctx->meta->seq, "%u %s\n", *key, ctx->sk ? "socket" : "empty");
	return 0;
}
