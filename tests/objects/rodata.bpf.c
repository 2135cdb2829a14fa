/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Prints a constant that lives in .rodata, which the program tag does not cover. */
#include "iter.h"

#ifndef MARKER
#define MARKER 1
#endif

const volatile int marker = MARKER;

SEC("iter/task")
int dump(struct bpf_iter__task *ctx)
{
	if (ctx->meta->seq_num == 0)
		BPF_SEQ_PRINTF(ctx->meta->seq, "marker %d\n", marker);
	return 0;
}
