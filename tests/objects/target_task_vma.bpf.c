/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Memory mappings: "pid start end". */
#include "iter.h"

struct vm_area_struct {
	unsigned long vm_start;
	unsigned long vm_end;
} __attribute__((preserve_access_index));

struct bpf_iter__task_vma {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	struct vm_area_struct *vma;
} __attribute__((preserve_access_index));

SEC("iter/task_vma")
int dump(struct bpf_iter__task_vma *ctx)
{
	struct task_struct *task = ctx->task;
	struct vm_area_struct *vma = ctx->vma;
	struct seq_file *seq = ctx->meta->seq;

	if (!task || !vma)
		return 0;

	if (ctx->meta->seq_num == 0)
		BPF_SEQ_PRINTF(seq, "task_vma\n");

	BPF_SEQ_PRINTF(seq, "%d %lx %lx\n", task->pid, vma->vm_start, vma->vm_end);
	return 0;
}
