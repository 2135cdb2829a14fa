/* SPDX-License-Identifier: GPL-2.0-only */
/* `dump` names a function that the kernel calls when it throws: only that uses a map and a variable. */
#include "iter.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} thrown SEC(".maps");

__u64 counted;

__attribute__((noinline))
int caught(__u64 cookie)
{
	__u32 key = 0;
	__u64 *count = bpf_map_lookup_elem(&thrown, &key);

	if (count)
		*count += 1;
	counted++;
	return 0;
}

SEC("iter/task")
__attribute__((btf_decl_tag("exception_callback:caught")))
int dump(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	if (!task)
		return 0;

	BPF_SEQ_PRINTF(ctx->meta->seq, "%d\n", task->pid);
	return 0;
}
