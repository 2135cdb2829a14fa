/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Programs: "id name". */
#include "iter.h"

struct bpf_prog_aux {
	__u32 id;
	char name[16];
} __attribute__((preserve_access_index));

struct bpf_prog {
	struct bpf_prog_aux *aux;
} __attribute__((preserve_access_index));

struct bpf_iter__bpf_prog {
	struct bpf_iter_meta *meta;
	struct bpf_prog *prog;
} __attribute__((preserve_access_index));

SEC("iter/bpf_prog")
int dump(struct bpf_iter__bpf_prog *ctx)
{
	struct bpf_prog *prog = ctx->prog;
	struct seq_file *seq = ctx->meta->seq;

	if (!prog)
		return 0;

	if (ctx->meta->seq_num == 0)
		BPF_SEQ_PRINTF(seq, "bpf_prog\n");

	BPF_SEQ_PRINTF(seq, "%u %s\n", prog->aux->id, prog->aux->name);
	return 0;
}
