/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Links: "id". */
#include "iter.h"

struct bpf_link {
	__u32 id;
} __attribute__((preserve_access_index));

struct bpf_iter__bpf_link {
	struct bpf_iter_meta *meta;
	struct bpf_link *link;
} __attribute__((preserve_access_index));

SEC("iter/bpf_link")
int dump(struct bpf_iter__bpf_link *ctx)
{
	struct bpf_link *link = ctx->link;
	struct seq_file *seq = ctx->meta->seq;

	if (!link)
		return 0;

	if (ctx->meta->seq_num == 0)
		BPF_SEQ_PRINTF(seq, "bpf_link\n");

	BPF_SEQ_PRINTF(seq, "%u\n", link->id);
	return 0;
}
