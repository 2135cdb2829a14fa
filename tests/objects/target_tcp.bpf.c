/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* TCP sockets, including those in TIME_WAIT and half-open ones: "port state". */
#include "iter.h"

struct bpf_iter__tcp {
	struct bpf_iter_meta *meta;
	struct sock_common *sk_common;
} __attribute__((preserve_access_index));

SEC("iter/tcp")
int dump(struct bpf_iter__tcp *ctx)
{
	struct sock_common *sk = ctx->sk_common;
	struct seq_file *seq = ctx->meta->seq;

	if (!sk)
		return 0;

	if (ctx->meta->seq_num == 0)
		BPF_SEQ_PRINTF(seq, "tcp\n");

	BPF_SEQ_PRINTF(seq, "%u %u\n", sk->skc_num, sk->skc_state);
	return 0;
}
