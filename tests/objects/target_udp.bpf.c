/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* UDP sockets: "port state". */
#include "iter.h"

struct inet_sock {
	struct sock sk;
} __attribute__((preserve_access_index));

struct udp_sock {
	struct inet_sock inet;
} __attribute__((preserve_access_index));

struct bpf_iter__udp {
	struct bpf_iter_meta *meta;
	struct udp_sock *udp_sk;
} __attribute__((preserve_access_index));

SEC("iter/udp")
int dump(struct bpf_iter__udp *ctx)
{
	struct udp_sock *sock = ctx->udp_sk;
	struct seq_file *seq = ctx->meta->seq;

	if (!sock)
		return 0;

	if (ctx->meta->seq_num == 0)
		BPF_SEQ_PRINTF(seq, "udp\n");

	BPF_SEQ_PRINTF(seq, "%u %u\n", sock->inet.sk.__sk_common.skc_num,
		       sock->inet.sk.__sk_common.skc_state);
	return 0;
}
