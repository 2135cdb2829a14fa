/* SPDX-License-Identifier: GPL-2.0-only */
/* Reads a member that no kernel's task_struct has: it was compiled for another kernel. */
#include "iter.h"

struct task_struct___other {
	int no_such_member;
} __attribute__((preserve_access_index));

SEC("iter/task")
int dump(struct bpf_iter__task *ctx)
{
	struct task_struct___other *task = (void *)ctx->task;

	if (!task)
		return 0;

	BPF_SEQ_PRINTF(ctx->meta->seq, "%d\n", task->no_such_member);
	return 0;
}
