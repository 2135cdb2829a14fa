/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Prints "pid"; behind it, a congestion control that another loader registers. */
#include "iter.h"

SEC("iter/task")
int dump(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	if (!task)
		return 0;

	BPF_SEQ_PRINTF(ctx->meta->seq, "%d\n", task->pid);
	return 0;
}

struct tcp_congestion_ops {
	__u32 (*ssthresh)(struct sock *sk);
	__u32 (*undo_cwnd)(struct sock *sk);
	char name[16];
} __attribute__((preserve_access_index));

SEC("struct_ops")
__u32 half(__u64 *context)
{
	return 2;
}

SEC("struct_ops")
__u32 undo(__u64 *context)
{
	return 4;
}

SEC(".struct_ops")
struct tcp_congestion_ops halving = {
	.ssthresh = (void *)half,
	.undo_cwnd = (void *)undo,
	.name = "iterctl_halving",
};
