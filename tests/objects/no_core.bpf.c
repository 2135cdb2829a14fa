/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Without CO-RE: reads only its context, whose layout the kernel guarantees. Prints
 * "object N" for the first task.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct seq_file;
struct task_struct;

struct bpf_iter_meta {
	struct seq_file *seq;
	__u64 session_id;
	__u64 seq_num;
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

SEC("iter/task")
int dump(struct bpf_iter__task *ctx)
{
	if (ctx->task && ctx->meta->seq_num == 0)
		BPF_SEQ_PRINTF(ctx->meta->seq, "object %llu\n", ctx->meta->seq_num);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
