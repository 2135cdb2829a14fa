/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Its object says nothing of a licence. Both call what only programs under the GPL may call: `dump` what iterators
 * do, `count` what few do.
 */
#define NO_LICENSE
#include "iter.h"

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
	if (bpf_get_current_task())
		counted++;
	return 0;
}
