/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Tasks: "pid". */
#include "iter.h"

SEC("iter/task")
int dump(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct seq_file *seq = ctx->meta->seq;

	if (!task)
		return 0;

	if (ctx->meta->seq_num == 0)
		BPF_SEQ_PRINTF(seq, "task\n");

	BPF_SEQ_PRINTF(seq, "%d\n", task->pid);
	return 0;
}
