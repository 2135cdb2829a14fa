/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Buffers that are shared between devices: "size". Most machines have none. */
#include "iter.h"

struct dma_buf {
	unsigned long size;
} __attribute__((preserve_access_index));

struct bpf_iter__dmabuf {
	struct bpf_iter_meta *meta;
	struct dma_buf *dmabuf;
} __attribute__((preserve_access_index));

SEC("iter/dmabuf")
int dump(struct bpf_iter__dmabuf *ctx)
{
	struct dma_buf *buffer = ctx->dmabuf;
	struct seq_file *seq = ctx->meta->seq;

	if (!buffer)
		return 0;

	if (ctx->meta->seq_num == 0)
		BPF_SEQ_PRINTF(seq, "dmabuf\n");

	BPF_SEQ_PRINTF(seq, "%lu\n", buffer->size);
	return 0;
}
