/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One line for each memory mapping: addresses, permissions, file. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define PATH_SIZE 256

/* include/linux/mm.h */
#define VM_READ 1
#define VM_WRITE 2
#define VM_EXEC 4

struct seq_file;
struct task_struct;

struct bpf_iter_meta {
	struct seq_file *seq;
	__u64 seq_num;
} __attribute__((preserve_access_index));

struct path {
	void *dentry;
} __attribute__((preserve_access_index));

struct file {
	struct path f_path;
} __attribute__((preserve_access_index));

struct vm_area_struct {
	unsigned long vm_start;
	unsigned long vm_end;
	unsigned long vm_flags;
	struct file *vm_file;
} __attribute__((preserve_access_index));

struct bpf_iter__task_vma {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	struct vm_area_struct *vma;
} __attribute__((preserve_access_index));

/* A path may hold any byte: a newline would forge a line, an escape sequence controls the terminal. */
static __always_inline void blank(char *text)
{
	int i;

	for (i = 0; i < PATH_SIZE && text[i]; i++)
		if (text[i] < ' ' || text[i] > '~')
			text[i] = '?';
}

SEC("iter/task_vma")
int dump_mappings(struct bpf_iter__task_vma *ctx)
{
	/* A second `ctx->vma` would be a second load, which the verifier treats as unchecked. */
	struct vm_area_struct *vma = ctx->vma;
	struct seq_file *seq = ctx->meta->seq;
	char path[PATH_SIZE] = {};
	struct file *file;
	unsigned long flags;

	/* The kernel calls once more at the end, without a mapping. */
	if (!vma)
		return 0;

	if (ctx->meta->seq_num == 0)
		BPF_SEQ_PRINTF(seq, "           start              end perm file\n");

	/* Empty for a mapping without a file, and for a path that is longer than this. */
	file = vma->vm_file;
	if (file && bpf_d_path(&file->f_path, path, sizeof(path)) < 0)
		path[0] = '\0';
	blank(path);

	flags = vma->vm_flags;
	BPF_SEQ_PRINTF(seq, "%16lx %16lx  %c%c%c %s\n", vma->vm_start, vma->vm_end,
		       flags & VM_READ ? 'r' : '-', flags & VM_WRITE ? 'w' : '-',
		       flags & VM_EXEC ? 'x' : '-', path);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
