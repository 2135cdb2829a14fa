/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Prints 4 KiB for each cgroup. A cgroup iterator cannot continue after a first read() that stopped: of
 * eight cgroups, the kernel's buffer holds seven, and then reading fails with EOPNOTSUPP. It fails earlier
 * if the reader's buffer is smaller than the kernel's.
 */
#include "iter.h"

#define LINES 64
/* 64 bytes each, with the newline. */
#define LINE "cgroup %20llu line %3d ..........................\n"

SEC("iter/cgroup")
int dump(struct bpf_iter__cgroup *ctx)
{
	struct cgroup *cgroup = ctx->cgroup;
	struct seq_file *seq = ctx->meta->seq;
	int line;

	if (!cgroup)
		return 0;

	for (line = 0; line < LINES; line++)
		BPF_SEQ_PRINTF(seq, LINE, cgroup->kn->id, line);
	return 0;
}
