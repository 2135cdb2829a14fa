/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Externs of every kind: a variable with a type (`variable`, on kernels that list variables), a symbol
 * without (`symbol`), a function (`function`, Linux 6.2), and weak ones that no kernel has (`lacking`).
 * Each prints one line.
 */
#include "iter.h"

struct rq {
	unsigned int nr_running;
} __attribute__((preserve_access_index));

extern const struct rq runqueues __ksym;
extern const void schedule __ksym;
extern void bpf_rcu_read_lock(void) __ksym __attribute__((weak));
extern void bpf_rcu_read_unlock(void) __ksym __attribute__((weak));
extern int iterctl_has_no_such_function(void *context) __ksym __attribute__((weak));
extern const void iterctl_has_no_such_symbol __ksym __attribute__((weak));

SEC("iter/task")
int variable(struct bpf_iter__task *ctx)
{
	struct rq *rq;

	if (!ctx->task || ctx->meta->seq_num != 0)
		return 0;

	rq = (struct rq *)bpf_per_cpu_ptr(&runqueues, 0);
	BPF_SEQ_PRINTF(ctx->meta->seq, "%s\n", rq ? "a queue" : "no queue");
	return 0;
}

SEC("iter/task")
int symbol(struct bpf_iter__task *ctx)
{
	if (!ctx->task || ctx->meta->seq_num != 0)
		return 0;

	BPF_SEQ_PRINTF(ctx->meta->seq, "%s\n", (long)&schedule < 0 ? "in the kernel" : "nowhere");
	return 0;
}

SEC("iter/task")
int function(struct bpf_iter__task *ctx)
{
	if (!ctx->task || ctx->meta->seq_num != 0)
		return 0;

	if (!bpf_rcu_read_lock || !bpf_rcu_read_unlock) {
		BPF_SEQ_PRINTF(ctx->meta->seq, "no lock\n");
		return 0;
	}
	bpf_rcu_read_lock();
	bpf_rcu_read_unlock();
	BPF_SEQ_PRINTF(ctx->meta->seq, "locked and unlocked\n");
	return 0;
}

SEC("iter/task")
int lacking(struct bpf_iter__task *ctx)
{
	if (!ctx->task || ctx->meta->seq_num != 0)
		return 0;

	if (iterctl_has_no_such_function)
		iterctl_has_no_such_function(ctx);
	BPF_SEQ_PRINTF(ctx->meta->seq, "%s\n", &iterctl_has_no_such_symbol ? "a symbol" : "no symbol");
	return 0;
}
