/* SPDX-License-Identifier: GPL-2.0-only */
/* Compiled with -O0: no kernel loads it. */
#include "no_core.bpf.c"
