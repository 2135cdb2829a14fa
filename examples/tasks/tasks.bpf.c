/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One line for each task: thread id, process id, name. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define COMM_SIZE 16

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
	__u64 seq_num;
} __attribute__((preserve_access_index));

struct task_struct {
	int pid;
	int tgid;
	char comm[COMM_SIZE];
} __attribute__((preserve_access_index));

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
} __attribute__((preserve_access_index));

/* A name may hold any byte: a newline would forge a line, an escape sequence controls the terminal. */
static __always_inline void blank(char *text)
{
	int i;

	for (i = 0; i < COMM_SIZE && text[i]; i++)
		if (text[i] < ' ' || text[i] > '~')
			text[i] = '?';
}

SEC("iter/task")
int dump_tasks(struct bpf_iter__task *ctx)
{
	/* A second `ctx->task` would be a second load, which the verifier treats as unchecked. */
	struct task_struct *task = ctx->task;
	struct seq_file *seq = ctx->meta->seq;
	char comm[COMM_SIZE];

	/* The kernel calls once more at the end, without a task. */
	if (!task)
		return 0;

	if (ctx->meta->seq_num == 0)
		BPF_SEQ_PRINTF(seq, "     tid     tgid comm\n");

	bpf_probe_read_kernel_str(comm, sizeof(comm), task->comm);
	blank(comm);
	BPF_SEQ_PRINTF(seq, "%8d %8d %s\n", task->pid, task->tgid, comm);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
