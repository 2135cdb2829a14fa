/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Prints more for one element than the kernel's buffer of 32 KiB holds: reading fails with E2BIG. */
#include "iter.h"

#define LINES 1024
/* 64 bytes each, with the newline. */
#define LINE "line %10d ...............................................\n"

SEC("iter/task")
int dump(struct bpf_iter__task *ctx)
{
	struct seq_file *seq = ctx->meta->seq;
	int line;

	if (!ctx->task)
		return 0;

	for (line = 0; line < LINES; line++)
		BPF_SEQ_PRINTF(seq, LINE, line);
	return 0;
}
