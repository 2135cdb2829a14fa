/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Prints "pid"; the object also has a program that counts in an arena. */
#include "iter.h"

struct {
	__uint(type, 33); /* BPF_MAP_TYPE_ARENA */
	__uint(map_flags, 1 << 10); /* BPF_F_MMAPABLE */
	__uint(max_entries, 2);
} pages SEC(".maps");

int __attribute__((address_space(1))) counted;

SEC("syscall")
int count(void *context)
{
	counted++;
	return (int)(long)&pages;
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
