/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Prints "pid"; before it, a scheduler's operations, which another loader registers. */
#include "iter.h"

struct sched_ext_ops {
	void (*tick)(struct task_struct *task);
	char name[128];
} __attribute__((preserve_access_index));

SEC("struct_ops")
void tick(__u64 *context)
{
}

SEC(".struct_ops")
struct sched_ext_ops ticking = {
	.tick = (void *)tick,
	.name = "iterctl_ticking",
};

SEC("iter/task")
int dump(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	if (!task)
		return 0;

	BPF_SEQ_PRINTF(ctx->meta->seq, "%d\n", task->pid);
	return 0;
}
