/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The verifier rejects this one: it checks one load of the task and uses another. A plain
 * `ctx->task` becomes two loads only if the compiler chooses to; volatile forces it.
 */
#include "iter.h"

struct bpf_iter__task___volatile {
	struct bpf_iter_meta *meta;
	struct task_struct *volatile task;
} __attribute__((preserve_access_index));

SEC("iter/task")
int dump(struct bpf_iter__task___volatile *ctx)
{
	if (!ctx->task)
		return 0;

	BPF_SEQ_PRINTF(ctx->meta->seq, "%d\n", ctx->task->pid);
	return 0;
}
