/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Prints its variables, one on each line: "name value". Variables with several parts print them in
 * order, with blanks between.
 */
#include "iter.h"

enum level {
	LEVEL_NONE = -1,
	LEVEL_LOW = 0,
	LEVEL_HIGH = 7,
};

struct nested {
	struct {
		int b;
	} a;
	char s[8];
};

union number {
	__u32 whole;
	__u8 parts[4];
};

struct bits {
	__u32 low : 3;
	__u32 high : 5;
	__u32 whole;
};

struct anonymous {
	union {
		int first;
		int same;
	};
	int last;
};

const volatile __u8 u8 = 1;
const volatile __s8 s8 = -1;
const volatile __u16 u16 = 2;
const volatile __s16 s16 = -2;
const volatile __u32 u32 = 3;
const volatile __s32 s32 = -3;
const volatile __u64 u64 = 4;
const volatile __s64 s64 = -4;
const volatile _Bool flag;
const volatile char letter = 'a';
const volatile char name[16] = "initial";
const volatile enum level level = LEVEL_LOW;
const volatile int array[4] = { 1, 2, 3, 4 };
const volatile int grid[2][3] = { { 1, 2, 3 }, { 4, 5, 6 } };
const volatile struct nested nested = { .a = { .b = 1 }, .s = "one" };
const volatile union number number = { .whole = 1 };
const volatile struct bits bits = { .low = 1, .high = 2, .whole = 3 };
const volatile struct anonymous anonymous = { .first = 1, .last = 2 };
void *const volatile pointer;

/* In a section whose name has the same ending as another, and first in the object. */
int data_data SEC(".data.data") = 40;
int data = 10;
int bss;
int data_extra SEC(".data.extra") = 20;
const volatile int rodata_extra SEC(".rodata.extra") = 30;

SEC("iter/task")
int dump(struct bpf_iter__task *ctx)
{
	struct seq_file *seq = ctx->meta->seq;

	if (!ctx->task || ctx->meta->seq_num != 0)
		return 0;

	BPF_SEQ_PRINTF(seq, "u8 %u\ns8 %d\nu16 %u\ns16 %d\n", u8, s8, u16, s16);
	BPF_SEQ_PRINTF(seq, "u32 %u\ns32 %d\nu64 %llu\ns64 %lld\n", u32, s32, u64, s64);
	BPF_SEQ_PRINTF(seq, "flag %d\nletter %d\nname %s\nlevel %d\n", flag, letter, name, level);
	BPF_SEQ_PRINTF(seq, "array %d %d %d %d\n", array[0], array[1], array[2], array[3]);
	BPF_SEQ_PRINTF(seq, "grid %d %d %d %d %d %d\n", grid[0][0], grid[0][1], grid[0][2],
		       grid[1][0], grid[1][1], grid[1][2]);
	BPF_SEQ_PRINTF(seq, "nested %d %s\n", nested.a.b, nested.s);
	BPF_SEQ_PRINTF(seq, "number %u %u\n", number.whole, number.parts[0]);
	BPF_SEQ_PRINTF(seq, "bits %u %u %u\n", bits.low, bits.high, bits.whole);
	BPF_SEQ_PRINTF(seq, "anonymous %d %d\n", anonymous.first, anonymous.last);
	BPF_SEQ_PRINTF(seq, "pointer %d\n", !!pointer);
	BPF_SEQ_PRINTF(seq, "data %d\nbss %d\n", data, bss);
	BPF_SEQ_PRINTF(seq, "data_data %d\ndata_extra %d\nrodata_extra %d\n", data_data, data_extra,
		       rodata_extra);
	return 0;
}
