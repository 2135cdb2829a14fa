/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Prints 16 KiB for each map: no reader gets it all in one read(). The format strings are a map
 * themselves, so there is always at least one.
 */
#include "iter.h"

#define LINES 256
/* 64 bytes each, with the newline. */
#define LINE "map %10u line %3d .......................................\n"

SEC("iter/bpf_map")
int dump(struct bpf_iter__bpf_map *ctx)
{
	struct bpf_map *map = ctx->map;
	struct seq_file *seq = ctx->meta->seq;
	int line;

	if (!map)
		return 0;

	for (line = 0; line < LINES; line++)
		BPF_SEQ_PRINTF(seq, LINE, map->id, line);
	return 0;
}
