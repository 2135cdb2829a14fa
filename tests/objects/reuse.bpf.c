/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Counts how often it was read in a map that another one may replace: "seen N". */
#include "iter.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} seen SEC(".maps");

SEC("iter/task")
int dump(struct bpf_iter__task *ctx)
{
	__u32 key = 0;
	__u64 *count;

	if (!ctx->task || ctx->meta->seq_num != 0)
		return 0;

	count = bpf_map_lookup_elem(&seen, &key);
	if (!count)
		return 0;

	*count += 1;
	BPF_SEQ_PRINTF(ctx->meta->seq, "seen %llu\n", *count);
	return 0;
}
