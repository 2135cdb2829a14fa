/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* no_core.bpf.c, compiled without BTF. */
#include "no_core.bpf.c"
