/* SPDX-License-Identifier: GPL-2.0-only */
/* The kernel's version, which libbpf always provides, and two options, one of which does not exist. */
#include "iter.h"

extern int LINUX_KERNEL_VERSION __kconfig;
extern unsigned long CONFIG_HZ __kconfig __attribute__((weak));
extern _Bool CONFIG_ITERCTL_HAS_NO_SUCH_OPTION __kconfig __attribute__((weak));

SEC("iter/task")
int version(struct bpf_iter__task *ctx)
{
	if (!ctx->task || ctx->meta->seq_num != 0)
		return 0;

	BPF_SEQ_PRINTF(ctx->meta->seq, "%d.%d\n", LINUX_KERNEL_VERSION >> 16, (LINUX_KERNEL_VERSION >> 8) & 0xff);
	return 0;
}

SEC("iter/task")
int options(struct bpf_iter__task *ctx)
{
	if (!ctx->task || ctx->meta->seq_num != 0)
		return 0;

	BPF_SEQ_PRINTF(ctx->meta->seq, "%lu %d\n", CONFIG_HZ, CONFIG_ITERCTL_HAS_NO_SUCH_OPTION);
	return 0;
}
