/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Unix sockets: "path"; "-" if the socket has no name, "@" if it has an abstract name, which does
 * not end with a NUL.
 */
#include "iter.h"

struct sockaddr_un {
	char sun_path[108];
} __attribute__((preserve_access_index));

struct unix_address {
	struct sockaddr_un name[1];
} __attribute__((preserve_access_index));

struct unix_sock {
	struct unix_address *addr;
} __attribute__((preserve_access_index));

struct bpf_iter__unix {
	struct bpf_iter_meta *meta;
	struct unix_sock *unix_sk;
} __attribute__((preserve_access_index));

SEC("iter/unix")
int dump(struct bpf_iter__unix *ctx)
{
	struct unix_sock *sock = ctx->unix_sk;
	struct seq_file *seq = ctx->meta->seq;
	struct unix_address *address;

	if (!sock)
		return 0;

	if (ctx->meta->seq_num == 0)
		BPF_SEQ_PRINTF(seq, "unix\n");

	address = sock->addr;
	if (!address)
		BPF_SEQ_PRINTF(seq, "-\n");
	else if (address->name[0].sun_path[0])
		BPF_SEQ_PRINTF(seq, "%s\n", address->name[0].sun_path);
	else
		BPF_SEQ_PRINTF(seq, "@\n");
	return 0;
}
