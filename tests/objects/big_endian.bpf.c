/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Compiled for machines of the other byte order. */
#include "tasks_v1.bpf.c"
