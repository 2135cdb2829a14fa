/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Iterates over a target that no kernel has. */
#include "iter.h"

SEC("iter/no_such_target")
int dump(void *ctx)
{
	return 0;
}
