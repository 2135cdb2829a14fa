/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Reads with a helper that a kernel in the lockdown mode `confidentiality` does not allow. */
#include "iter.h"

SEC("iter/task")
int dump(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	int pid;

	if (!task || bpf_probe_read_kernel(&pid, sizeof(pid), &task->pid))
		return 0;

	if (ctx->meta->seq_num == 0)
		BPF_SEQ_PRINTF(ctx->meta->seq, "pid\n");

	BPF_SEQ_PRINTF(ctx->meta->seq, "%d\n", pid);
	return 0;
}
