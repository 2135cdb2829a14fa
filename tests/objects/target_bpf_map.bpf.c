/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Maps: "id". */
#include "iter.h"

SEC("iter/bpf_map")
int dump(struct bpf_iter__bpf_map *ctx)
{
	struct bpf_map *map = ctx->map;
	struct seq_file *seq = ctx->meta->seq;

	if (!map)
		return 0;

	if (ctx->meta->seq_num == 0)
		BPF_SEQ_PRINTF(seq, "bpf_map\n");

	BPF_SEQ_PRINTF(seq, "%u\n", map->id);
	return 0;
}
