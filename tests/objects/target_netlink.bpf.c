/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Netlink sockets: "portid". */
#include "iter.h"

struct netlink_sock {
	__u32 portid;
} __attribute__((preserve_access_index));

struct bpf_iter__netlink {
	struct bpf_iter_meta *meta;
	struct netlink_sock *sk;
} __attribute__((preserve_access_index));

SEC("iter/netlink")
int dump(struct bpf_iter__netlink *ctx)
{
	struct netlink_sock *sock = ctx->sk;
	struct seq_file *seq = ctx->meta->seq;

	if (!sock)
		return 0;

	if (ctx->meta->seq_num == 0)
		BPF_SEQ_PRINTF(seq, "netlink\n");

	BPF_SEQ_PRINTF(seq, "%u\n", sock->portid);
	return 0;
}
