/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Prints "pid"; the object also has programs that need externs which the kernel lacks. */
#include "iter.h"

extern unsigned int CONFIG_ITERCTL_NUMBER __kconfig;
extern _Bool CONFIG_ITERCTL_SWITCH __kconfig;
extern char CONFIG_ITERCTL_TEXT[8] __kconfig;
extern enum libbpf_tristate CONFIG_ITERCTL_MODULE __kconfig;
extern const void iterctl_has_no_such_symbol __ksym;
extern int iterctl_has_no_such_function(void *context) __ksym;

SEC("raw_tp/sched_switch")
int configured(void *context)
{
	return CONFIG_ITERCTL_NUMBER + CONFIG_ITERCTL_SWITCH + CONFIG_ITERCTL_TEXT[0] + CONFIG_ITERCTL_MODULE;
}

SEC("raw_tp/sched_switch")
int linked(void *context)
{
	return iterctl_has_no_such_function(context) + (int)(long)&iterctl_has_no_such_symbol;
}

SEC("iter/task")
int dump(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	if (!task)
		return 0;

	BPF_SEQ_PRINTF(ctx->meta->seq, "%d\n", task->pid);
	return 0;
}
