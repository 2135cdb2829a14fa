/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Variables of every section that libbpf makes a map for. `all` prints each; `one` reads only one, and so
 * needs no writable section of the others.
 */
#include "iter.h"

int in_data = 41;
char text_in_data[8] = "text";
int in_bss;
static __u64 local_in_bss;
const volatile int in_rodata = 43;
int in_other_data SEC(".data.other") = 44;
const volatile int in_other_rodata SEC(".rodata.other") = 45;
int in_other_bss SEC(".bss.other");

SEC("iter/task")
int all(struct bpf_iter__task *ctx)
{
	struct seq_file *seq = ctx->meta->seq;

	if (!ctx->task || ctx->meta->seq_num != 0)
		return 0;

	in_data += 1;
	in_bss += 2;
	local_in_bss += 3;
	in_other_data += 1;
	in_other_bss += 4;
	BPF_SEQ_PRINTF(seq, "data %d %d %d\n", in_data, text_in_data[0], in_other_data);
	BPF_SEQ_PRINTF(seq, "bss %d %llu %d\n", in_bss, local_in_bss, in_other_bss);
	BPF_SEQ_PRINTF(seq, "rodata %d %d\n", in_rodata, in_other_rodata);
	return 0;
}

SEC("iter/task")
int one(struct bpf_iter__task *ctx)
{
	if (!ctx->task || ctx->meta->seq_num != 0)
		return 0;

	in_other_data += 1;
	BPF_SEQ_PRINTF(ctx->meta->seq, "one %d\n", in_other_data);
	return 0;
}
