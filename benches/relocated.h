/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A program as it is given to the kernel, in a file: this header, its instructions, its BTF, and the
 * content of its .rodata. Where an instruction takes the address of .rodata, floor.c puts in the map.
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
