/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One line for each TCP socket: state, owner, local and remote address. */
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define AF_INET6 10

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
	__u64 seq_num;
} __attribute__((preserve_access_index));

struct in6_addr {
	__u8 bytes[16];
};

struct sock_common {
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	__be16 skc_dport;
	__u16 skc_num;
	unsigned short skc_family;
	volatile unsigned char skc_state;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
} __attribute__((preserve_access_index));

struct bpf_iter__tcp {
	struct bpf_iter_meta *meta;
	struct sock_common *sk_common;
	__u32 uid;
} __attribute__((preserve_access_index));

/* Indexed by the numbers of include/net/tcp_states.h. */
static const char states[][16] = {
	"?",
	"ESTABLISHED",
	"SYN_SENT",
	"SYN_RECV",
	"FIN_WAIT1",
	"FIN_WAIT2",
	"TIME_WAIT",
	"CLOSE",
	"CLOSE_WAIT",
	"LAST_ACK",
	"LISTEN",
	"CLOSING",
	"NEW_SYN_RECV",
};

SEC("iter/tcp")
int dump_tcp(struct bpf_iter__tcp *ctx)
{
	/* A second `ctx->sk_common` would be a second load, which the verifier treats as unchecked. */
	struct sock_common *sk = ctx->sk_common;
	struct seq_file *seq = ctx->meta->seq;
	__u16 remote_port;
	__u32 state;

	/* The kernel calls once more at the end, without a socket. */
	if (!sk)
		return 0;

	if (ctx->meta->seq_num == 0)
		BPF_SEQ_PRINTF(seq, "state               uid local remote\n");

	state = sk->skc_state;
	if (state >= sizeof(states) / sizeof(states[0]))
		state = 0;
	remote_port = bpf_ntohs(sk->skc_dport);

	BPF_SEQ_PRINTF(seq, "%-12s %10u ", states[state], ctx->uid);
	if (sk->skc_family == AF_INET6)
		BPF_SEQ_PRINTF(seq, "[%pI6]:%u [%pI6]:%u\n", &sk->skc_v6_rcv_saddr, sk->skc_num,
			       &sk->skc_v6_daddr, remote_port);
	else
		BPF_SEQ_PRINTF(seq, "%pI4:%u %pI4:%u\n", &sk->skc_rcv_saddr, sk->skc_num,
			       &sk->skc_daddr, remote_port);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
