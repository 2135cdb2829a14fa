/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* An iterator among programs of other kinds, which are not wanted. */
#include "iter.h"

SEC("fentry/bpf_fentry_test1")
int on_entry(void *ctx)
{
	return 0;
}

SEC("tracepoint/sched/sched_process_exit")
int on_exit(void *ctx)
{
	return 0;
}

SEC("iter/task")
int dump(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	if (!task)
		return 0;

	BPF_SEQ_PRINTF(ctx->meta->seq, "%d\n", task->pid);
	return 0;
}

SEC("kprobe/do_exit")
int on_kprobe(void *ctx)
{
	return 0;
}

SEC("xdp")
int on_packet(struct xdp_md *ctx)
{
	return XDP_PASS;
}
