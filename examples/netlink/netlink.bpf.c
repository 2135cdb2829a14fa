/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One line for each netlink socket: protocol, port id, groups, drops, inode. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
	__u64 seq_num;
} __attribute__((preserve_access_index));

struct inode {
	unsigned long i_ino;
} __attribute__((preserve_access_index));

struct socket;

struct socket_alloc {
	struct inode vfs_inode;
} __attribute__((preserve_access_index));

typedef struct {
	int counter;
} __attribute__((preserve_access_index)) atomic_t;

struct sock {
	__u16 sk_protocol;
	atomic_t sk_drops;
	struct socket *sk_socket;
} __attribute__((preserve_access_index));

struct netlink_sock {
	struct sock sk;
	__u32 portid;
	unsigned long *groups;
} __attribute__((preserve_access_index));

struct bpf_iter__netlink {
	struct bpf_iter_meta *meta;
	struct netlink_sock *sk;
} __attribute__((preserve_access_index));

/* As in /proc/net/netlink and `ls -l /proc/PID/fd`; 0 for a socket without a file. */
static unsigned long socket_inode(struct socket *socket)
{
	/* The socket is the first member of its socket_alloc. */
	struct socket_alloc *alloc = (struct socket_alloc *)socket;

	return socket ? BPF_CORE_READ(alloc, vfs_inode.i_ino) : 0;
}

SEC("iter/netlink")
int dump_netlink(struct bpf_iter__netlink *ctx)
{
	/* A second `ctx->sk` would be a second load, which the verifier treats as unchecked. */
	struct netlink_sock *sock = ctx->sk;
	struct seq_file *seq = ctx->meta->seq;
	unsigned long groups = 0;

	/* The kernel calls once more at the end, without a socket. */
	if (!sock)
		return 0;

	/* Null if the socket joined no group; the read then leaves zero behind. */
	bpf_probe_read_kernel(&groups, sizeof(groups), sock->groups);

	if (ctx->meta->seq_num == 0)
		BPF_SEQ_PRINTF(seq, "protocol     portid   groups    drops    inode\n");

	BPF_SEQ_PRINTF(seq, "%8d %10u %08x %8d %8lu\n", sock->sk.sk_protocol, sock->portid,
		       (__u32)groups, sock->sk.sk_drops.counter, socket_inode(sock->sk.sk_socket));
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
