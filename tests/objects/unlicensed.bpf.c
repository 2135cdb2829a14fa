/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Its object says nothing of a licence. `dump` calls what programs under the GPL may call; `count` only looks at
 * what is the kernel's.
 */
#define NO_LICENSE
#include "iter.h"

int counted;

SEC("iter/task")
int dump(struct bpf_iter__task *ctx)
{
	BPF_SEQ_PRINTF(ctx->meta->seq, "one more\n");
	return 0;
}

SEC("iter/task")
int count(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	if (task)
		counted += task->pid;
	return 0;
}
