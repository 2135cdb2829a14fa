/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The first symbols of the kernel, because there are too many: "name". */
#include "iter.h"

#define SYMBOLS 16

struct kallsym_iter {
	char name[128];
} __attribute__((preserve_access_index));

struct bpf_iter__ksym {
	struct bpf_iter_meta *meta;
	struct kallsym_iter *ksym;
} __attribute__((preserve_access_index));

SEC("iter/ksym")
int dump(struct bpf_iter__ksym *ctx)
{
	struct kallsym_iter *ksym = ctx->ksym;
	struct seq_file *seq = ctx->meta->seq;

	if (!ksym || ctx->meta->seq_num >= SYMBOLS)
		return 0;

	if (ctx->meta->seq_num == 0)
		BPF_SEQ_PRINTF(seq, "ksym\n");

	BPF_SEQ_PRINTF(seq, "%s\n", ksym->name);
	return 0;
}
