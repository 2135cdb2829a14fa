/* SPDX-License-Identifier: GPL-2.0-only */
/* Takes the address of a symbol that no kernel has. */
#include "iter.h"

extern const void iterctl_has_no_such_symbol __ksym;

SEC("iter/task")
int dump(struct bpf_iter__task *ctx)
{
	BPF_SEQ_PRINTF(ctx->meta->seq, "%llx\n", (__u64)&iterctl_has_no_such_symbol);
	return 0;
}
