/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* `dump` prints "pid" by a tail call to `print`, through a subprogram and a map of programs. */
#include "iter.h"

int print(struct bpf_iter__task *ctx);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 2);
	__uint(key_size, sizeof(__u32));
	__array(values, int (struct bpf_iter__task *));
} steps SEC(".maps") = {
	.values = { [1] = print },
};

SEC("iter/task")
int dump(struct bpf_iter__task *ctx)
{
	bpf_tail_call(ctx, &steps, 1);
	return 0;
}

SEC("iter/task")
int print(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	if (!task)
		return 0;

	BPF_SEQ_PRINTF(ctx->meta->seq, "%d\n", task->pid);
	return 0;
}
