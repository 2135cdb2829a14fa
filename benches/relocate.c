// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * relocate OBJECT FILE: loads the only program of an object with libbpf, and writes it in the form that
 * libbpf passed to the kernel. The object must have no map except .rodata.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include "relocated.h"

static void die(const char *what)
{
	fprintf(stderr, "relocate: %s\n", what);
	exit(1);
}

static const void *rodata_of(struct bpf_object *object, __u32 *size)
{
	struct bpf_map *map = bpf_object__next_map(object, NULL);
	const void *data;
	size_t length;

	*size = 0;
	if (!map)
		return NULL;

	data = bpf_map__initial_value(map, &length);
	if (!data || !strstr(bpf_map__name(map), ".rodata") || bpf_object__next_map(object, map))
		die("the object has other maps than .rodata");
	*size = length;
	return data;
}

int main(int argc, char **argv)
{
	struct relocated header = {};
	struct bpf_prog_info info = {};
	const void *rodata, *btf_data;
	__u32 size = sizeof(info);
	struct bpf_object *object;
	struct bpf_program *program;
	FILE *file;

	if (argc != 3)
		die("usage: relocate OBJECT FILE");

	object = bpf_object__open_file(argv[1], NULL);
	if (!object || bpf_object__load(object))
		die("the object does not load");
	program = bpf_object__next_program(object, NULL);
	if (!program || bpf_object__next_program(object, program))
		die("the object has not one program");
	if (bpf_program__expected_attach_type(program) != BPF_TRACE_ITER)
		die("the program is no iterator");

	/* The kernel knows what the program is attached to; libbpf does not say. */
	if (bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size) || !info.attach_btf_id)
		die("the kernel does not tell what the program is attached to");

	rodata = rodata_of(object, &header.rodata_size);
	btf_data = btf__raw_data(bpf_object__btf(object), &header.btf_size);
	header.attach_btf_id = info.attach_btf_id;
	header.prog_flags = bpf_program__flags(program);
	header.insn_count = bpf_program__insn_cnt(program);
	header.gpl_compatible = info.gpl_compatible;
	snprintf(header.name, sizeof(header.name), "%s", bpf_program__name(program));

	file = fopen(argv[2], "w");
	if (!file)
		die("the file cannot be written");
	fwrite(&header, sizeof(header), 1, file);
	fwrite(bpf_program__insns(program), sizeof(struct bpf_insn), header.insn_count, file);
	fwrite(btf_data, 1, header.btf_size, file);
	fwrite(rodata, 1, header.rodata_size, file);
	if (ferror(file) || fclose(file))
		die("the file cannot be written");
	return 0;
}
