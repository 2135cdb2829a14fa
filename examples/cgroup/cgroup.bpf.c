/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One line for each cgroup: id, depth below the root, cgroups below it, name. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* NAME_MAX of include/uapi/linux/limits.h, and the NUL */
#define NAME_SIZE 256

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
	__u64 seq_num;
} __attribute__((preserve_access_index));

struct kernfs_node {
	const char *name;
	__u64 id;
} __attribute__((preserve_access_index));

struct cgroup {
	int level;
	int nr_descendants;
	struct kernfs_node *kn;
} __attribute__((preserve_access_index));

struct bpf_iter__cgroup {
	struct bpf_iter_meta *meta;
	struct cgroup *cgroup;
} __attribute__((preserve_access_index));

/* A name may hold any byte: a newline would forge a line, an escape sequence controls the terminal. */
static __always_inline void blank(char *text)
{
	int i;

	for (i = 0; i < NAME_SIZE && text[i]; i++)
		if (text[i] < ' ' || text[i] > '~')
			text[i] = '?';
}

SEC("iter/cgroup")
int dump_cgroups(struct bpf_iter__cgroup *ctx)
{
	/* A second `ctx->cgroup` would be a second load, which the verifier treats as unchecked. */
	struct cgroup *cgroup = ctx->cgroup;
	struct seq_file *seq = ctx->meta->seq;
	char name[NAME_SIZE];

	/* The kernel calls once more at the end, without a cgroup. */
	if (!cgroup)
		return 0;

	if (ctx->meta->seq_num == 0)
		BPF_SEQ_PRINTF(seq, "        id depth below name\n");

	if (bpf_probe_read_kernel_str(name, sizeof(name), cgroup->kn->name) < 0)
		name[0] = '\0';
	blank(name);
	BPF_SEQ_PRINTF(seq, "%10llu %5d %5d %s\n", cgroup->kn->id, cgroup->level,
		       cgroup->nr_descendants, name);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
