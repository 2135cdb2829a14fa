/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Its map is defined in the old form, without types. */
#include "iter.h"

struct legacy_map {
	__u32 type;
	__u32 key_size;
	__u32 value_size;
	__u32 max_entries;
};

struct legacy_map counts SEC("maps") = {
	.type = BPF_MAP_TYPE_ARRAY,
	.key_size = 4,
	.value_size = 8,
	.max_entries = 1,
};

SEC("iter/task")
int dump(struct bpf_iter__task *ctx)
{
	__u32 key = 0;

	if (bpf_map_lookup_elem(&counts, &key))
		BPF_SEQ_PRINTF(ctx->meta->seq, "counted\n");
	return 0;
}
