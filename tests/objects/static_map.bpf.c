/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Its map is static, so only one file can use it. */
#include "iter.h"

static struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} hidden SEC(".maps");

SEC("iter/task")
int dump(struct bpf_iter__task *ctx)
{
	__u32 key = 0;

	if (bpf_map_lookup_elem(&hidden, &key))
		BPF_SEQ_PRINTF(ctx->meta->seq, "found\n");
	return 0;
}
