/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A program in the form that is passed to the kernel, in a file: this header, its instructions, its BTF,
 * and the content of its .rodata. If an instruction takes the address of .rodata, floor.c inserts the map.
 */
#include <linux/types.h>

struct relocated {
	__u32 attach_btf_id;
	__u32 prog_flags;
	__u32 insn_count;
	__u32 btf_size;
	__u32 rodata_size;
	__u32 gpl_compatible;
	char name[16];
};
