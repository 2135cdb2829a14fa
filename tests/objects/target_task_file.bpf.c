/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Open files: "pid fd". */
#include "iter.h"

SEC("iter/task_file")
int dump(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct seq_file *seq = ctx->meta->seq;

	if (!task)
		return 0;

	if (ctx->meta->seq_num == 0)
		BPF_SEQ_PRINTF(seq, "task_file\n");

	BPF_SEQ_PRINTF(seq, "%d %u\n", task->pid, ctx->fd);
	return 0;
}
