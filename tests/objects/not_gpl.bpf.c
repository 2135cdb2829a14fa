/* SPDX-License-Identifier: GPL-2.0-only */
/* Its licence is not one of those under which the kernel permits printing. */
#define LICENSE_TEXT "Apache-2.0"
#include "iter.h"

SEC("iter/task")
int dump(struct bpf_iter__task *ctx)
{
	BPF_SEQ_PRINTF(ctx->meta->seq, "one more\n");
	return 0;
}
