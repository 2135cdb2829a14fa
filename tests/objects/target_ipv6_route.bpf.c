/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* IPv6 routes: "destination/prefix length". */
#include "iter.h"

struct in6_addr {
	__u8 bytes[16];
};

struct rt6key {
	struct in6_addr addr;
	int plen;
} __attribute__((preserve_access_index));

struct fib6_info {
	struct rt6key fib6_dst;
} __attribute__((preserve_access_index));

struct bpf_iter__ipv6_route {
	struct bpf_iter_meta *meta;
	struct fib6_info *rt;
} __attribute__((preserve_access_index));

SEC("iter/ipv6_route")
int dump(struct bpf_iter__ipv6_route *ctx)
{
	struct fib6_info *route = ctx->rt;
	struct seq_file *seq = ctx->meta->seq;

	if (!route)
		return 0;

	if (ctx->meta->seq_num == 0)
		BPF_SEQ_PRINTF(seq, "ipv6_route\n");

	BPF_SEQ_PRINTF(seq, "%pI6/%d\n", &route->fib6_dst.addr, route->fib6_dst.plen);
	return 0;
}
