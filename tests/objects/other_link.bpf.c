/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Not an iterator: attaches to a tracepoint that rarely fires, as another kind of link. */
#include "iter.h"

SEC("raw_tp/mark_victim")
int on_oom(void *ctx)
{
	return 0;
}
