/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Cgroups: "id", which is the inode number of the directory. */
#include "iter.h"

SEC("iter/cgroup")
int dump(struct bpf_iter__cgroup *ctx)
{
	struct cgroup *cgroup = ctx->cgroup;
	struct seq_file *seq = ctx->meta->seq;

	if (!cgroup)
		return 0;

	if (ctx->meta->seq_num == 0)
		BPF_SEQ_PRINTF(seq, "cgroup\n");

	BPF_SEQ_PRINTF(seq, "%llu\n", cgroup->kn->id);
	return 0;
}
