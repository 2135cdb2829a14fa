/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* rodata.bpf.c with another constant: the same program tag, another output. */
#define MARKER 2
#include "rodata.bpf.c"
