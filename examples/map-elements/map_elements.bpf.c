/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One line for each element of a hash map with 4-byte keys and 8-byte values. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
	__u64 seq_num;
} __attribute__((preserve_access_index));

struct bpf_iter__bpf_map_elem {
	struct bpf_iter_meta *meta;
	void *key;
	void *value;
} __attribute__((preserve_access_index));

SEC("iter/bpf_map_elem")
int dump_elements(struct bpf_iter__bpf_map_elem *ctx)
{
	/* A second `ctx->key` would be a second load, which the verifier treats as unchecked. */
	struct seq_file *seq = ctx->meta->seq;
	__u32 *key = ctx->key;
	__u64 *value = ctx->value;

	/* The kernel calls once more at the end, without an element. */
	if (!key || !value)
		return 0;

	if (ctx->meta->seq_num == 0)
		BPF_SEQ_PRINTF(seq, "       key                value\n");

	BPF_SEQ_PRINTF(seq, "%10u %20llu\n", *key, *value);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
