/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Prints what a terminal would obey: an escape sequence, a carriage return, a C1 control, a bidi override. */
#include "iter.h"

static const char bytes[] = "1\ta\033[31mred\r\n2 \302\23331m\342\200\256\n3";

SEC("iter/task")
int dump(struct bpf_iter__task *ctx)
{
	if (ctx->meta->seq_num == 0)
		bpf_seq_write(ctx->meta->seq, bytes, sizeof(bytes) - 1);
	return 0;
}
