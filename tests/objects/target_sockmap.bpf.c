/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The elements of a sockmap with 4-byte keys, including empty ones: "key port". */
#include "iter.h"

SEC("iter/sockmap")
int dump(struct bpf_iter__sockmap *ctx)
{
	__u32 *key = ctx->key;
	struct sock *sk = ctx->sk;
	struct seq_file *seq = ctx->meta->seq;

	if (!key)
		return 0;

	if (ctx->meta->seq_num == 0)
		BPF_SEQ_PRINTF(seq, "sockmap\n");

	BPF_SEQ_PRINTF(seq, "%u %u\n", *key, sk ? sk->__sk_common.skc_num : 0);
	return 0;
}
