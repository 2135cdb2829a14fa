/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* An object without an iterator: only a socket filter. */
#include "iter.h"

SEC("socket")
int filter(struct __sk_buff *skb)
{
	return 0;
}
