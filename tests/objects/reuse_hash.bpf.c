/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Counts its own readings in a hash map: "seen 1". */
#include "iter.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} seen SEC(".maps");

SEC("iter/task")
int dump(struct bpf_iter__task *ctx)
{
	__u32 key = 0;
	__u64 *count, first = 1;

	if (ctx->meta->seq_num != 0)
		return 0;

	count = bpf_map_lookup_elem(&seen, &key);
	if (count)
		*count += 1;
	else
		bpf_map_update_elem(&seen, &key, &first, BPF_ANY);
	BPF_SEQ_PRINTF(ctx->meta->seq, "seen %llu\n", count ? *count : first);
	return 0;
}
