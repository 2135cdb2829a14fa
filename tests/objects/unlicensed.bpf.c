/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The object declares no licence. Both programs contain calls that only GPL programs may make; `count`
 * never makes one, because its constant is false.
 */
#define NO_LICENSE
#include "iter.h"

const volatile _Bool is_verbose = 0;
int counted;

SEC("iter/task")
int dump(struct bpf_iter__task *ctx)
{
	BPF_SEQ_PRINTF(ctx->meta->seq, "one more\n");
	return 0;
}

SEC("iter/task")
int count(struct bpf_iter__task *ctx)
{
	if (is_verbose)
		BPF_SEQ_PRINTF(ctx->meta->seq, "one more\n");
	counted++;
	return 0;
}
