/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Slab caches: "name size". */
#include "iter.h"

struct kmem_cache {
	unsigned int object_size;
	const char *name;
} __attribute__((preserve_access_index));

struct bpf_iter__kmem_cache {
	struct bpf_iter_meta *meta;
	struct kmem_cache *s;
} __attribute__((preserve_access_index));

SEC("iter/kmem_cache")
int dump(struct bpf_iter__kmem_cache *ctx)
{
	struct kmem_cache *cache = ctx->s;
	struct seq_file *seq = ctx->meta->seq;

	if (!cache)
		return 0;

	if (ctx->meta->seq_num == 0)
		BPF_SEQ_PRINTF(seq, "kmem_cache\n");

	BPF_SEQ_PRINTF(seq, "%s %u\n", cache->name, cache->object_size);
	return 0;
}
