/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Version 1 of a program: as tasks_v2.bpf.c, but its output begins with "v1". */
#include "iter.h"

SEC("iter/task")
int dump(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct seq_file *seq = ctx->meta->seq;

	if (!task)
		return 0;

	if (ctx->meta->seq_num == 0)
		BPF_SEQ_PRINTF(seq, "v1\n");

	BPF_SEQ_PRINTF(seq, "%d\n", task->pid);
	return 0;
}
