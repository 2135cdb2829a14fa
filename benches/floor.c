// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * The minimum that every program needs: the calls of bpf(2) that pin iterators, or that look at them,
 * and almost nothing else.
 *
 * floor pin SCRIPT: does what the lines say.
 *	load FILE	loads a program that relocate.c has written
 *	pin PATH	attaches the program that was loaded last, and pins it
 *	pin PATH MAP	the same, to walk a pinned map
 * floor look DIRECTORY: asks the kernel about every pin below. All of them must be links.
 * floor fdinfo DIRECTORY: reads the fdinfo of every pin below instead.
 */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/bpf.h>
#include "relocated.h"

#define MAX_INSNS 4096

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static int bpf(enum bpf_cmd command, union bpf_attr *attr, const char *what)
{
	int result = syscall(__NR_bpf, command, attr, sizeof(*attr));

	if (result < 0)
		die(what);
	return result;
}

static __u64 address(const void *pointer)
{
	return (unsigned long)pointer;
}

static int btf_load(const void *data, __u32 size)
{
	union bpf_attr attr = { .btf = address(data), .btf_size = size };

	return bpf(BPF_BTF_LOAD, &attr, "BPF_BTF_LOAD");
}

static int rodata_load(const void *data, __u32 size)
{
	union bpf_attr create = {
		.map_type = BPF_MAP_TYPE_ARRAY,
		.key_size = 4,
		.value_size = size,
		.max_entries = 1,
		.map_flags = BPF_F_RDONLY_PROG,
	};
	int fd = bpf(BPF_MAP_CREATE, &create, "BPF_MAP_CREATE");
	__u32 key = 0;
	union bpf_attr update = { .map_fd = fd, .key = address(&key), .value = address(data) };
	union bpf_attr freeze = { .map_fd = fd };

	bpf(BPF_MAP_UPDATE_ELEM, &update, "BPF_MAP_UPDATE_ELEM");
	bpf(BPF_MAP_FREEZE, &freeze, "BPF_MAP_FREEZE");
	return fd;
}

static int prog_load(const struct relocated *header, const struct bpf_insn *insns, int btf)
{
	union bpf_attr attr = {
		.prog_type = BPF_PROG_TYPE_TRACING,
		.expected_attach_type = BPF_TRACE_ITER,
		.attach_btf_id = header->attach_btf_id,
		.prog_flags = header->prog_flags,
		.insns = address(insns),
		.insn_cnt = header->insn_count,
		.license = address(header->gpl_compatible ? "GPL" : "none"),
		.prog_btf_fd = btf,
	};

	memcpy(attr.prog_name, header->name, sizeof(attr.prog_name));
	return bpf(BPF_PROG_LOAD, &attr, "BPF_PROG_LOAD");
}

static int load(const char *path)
{
	static struct bpf_insn insns[MAX_INSNS];
	int file = open(path, O_RDONLY | O_CLOEXEC), rodata, btf, program;
	const struct relocated *header;
	const char *data;
	struct stat stat;

	if (file < 0 || fstat(file, &stat))
		die(path);
	data = mmap(NULL, stat.st_size, PROT_READ, MAP_PRIVATE, file, 0);
	if (data == MAP_FAILED)
		die(path);
	close(file);
	header = (const void *)data;
	if (header->insn_count > MAX_INSNS) {
		fprintf(stderr, "%s: too many instructions\n", path);
		exit(1);
	}
	memcpy(insns, header + 1, header->insn_count * sizeof(*insns));
	data += sizeof(*header) + header->insn_count * sizeof(*insns);

	btf = btf_load(data, header->btf_size);
	rodata = header->rodata_size ? rodata_load(data + header->btf_size, header->rodata_size) : -1;
	for (__u32 i = 0; i < header->insn_count; i++) {
		if (insns[i].code == (BPF_LD | BPF_DW | BPF_IMM) &&
		    insns[i].src_reg == BPF_PSEUDO_MAP_VALUE)
			insns[i].imm = rodata;
	}
	program = prog_load(header, insns, btf);
	close(btf);
	close(rodata);
	return program;
}

static int obj_get(const char *path)
{
	union bpf_attr attr = { .pathname = address(path) };

	return bpf(BPF_OBJ_GET, &attr, path);
}

static void pin(int program, const char *path, const char *map)
{
	union bpf_iter_link_info info = {};
	union bpf_attr create = {
		.link_create = { .prog_fd = program, .attach_type = BPF_TRACE_ITER },
	};
	union bpf_attr pin = { .pathname = address(path) };
	int walked = -1;

	if (map) {
		walked = obj_get(map);
		info.map.map_fd = walked;
		create.link_create.iter_info = address(&info);
		create.link_create.iter_info_len = sizeof(info);
	}
	pin.bpf_fd = bpf(BPF_LINK_CREATE, &create, "BPF_LINK_CREATE");
	bpf(BPF_OBJ_PIN, &pin, path);
	close(pin.bpf_fd);
	if (map)
		close(walked);
}

static void run(const char *script)
{
	static char line[3 * PATH_MAX], first[PATH_MAX], second[PATH_MAX];
	FILE *file = fopen(script, "re");
	int program = -1;

	if (!file)
		die(script);
	while (fgets(line, sizeof(line), file)) {
		int words;

		if (sscanf(line, "load %4095s", first) == 1) {
			if (program >= 0)
				close(program);
			program = load(first);
			continue;
		}
		words = sscanf(line, "pin %4095s %4095s", first, second);
		if (words < 1) {
			fprintf(stderr, "%s: what is this: %s", script, line);
			exit(1);
		}
		pin(program, first, words == 2 ? second : NULL);
	}
	fclose(file);
}

static void ask_for_info(int fd)
{
	struct bpf_link_info info = {};
	char target[64];
	union bpf_attr attr = {
		.info = { .bpf_fd = fd, .info_len = sizeof(info), .info = address(&info) },
	};

	info.iter.target_name = address(target);
	info.iter.target_name_len = sizeof(target);
	bpf(BPF_OBJ_GET_INFO_BY_FD, &attr, "BPF_OBJ_GET_INFO_BY_FD");
}

static void read_fdinfo(int fd)
{
	char path[64], text[1024];
	int file;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	file = open(path, O_RDONLY | O_CLOEXEC);
	if (file < 0 || read(file, text, sizeof(text)) <= 0)
		die(path);
	close(file);
}

/* The buffer holds the directory's path, and has room for what is below. */
static void look(char *path, size_t length, void (*ask)(int fd))
{
	DIR *directory = opendir(path);
	struct dirent *found;

	if (!directory)
		die(path);
	while ((found = readdir(directory))) {
		size_t name = strlen(found->d_name);

		/* No pin has a dot in its name. */
		if (strchr(found->d_name, '.') || length + name + 2 > PATH_MAX)
			continue;
		path[length] = '/';
		memcpy(path + length + 1, found->d_name, name + 1);
		if (found->d_type == DT_DIR) {
			look(path, length + 1 + name, ask);
		} else {
			int fd = obj_get(path);

			ask(fd);
			close(fd);
		}
		path[length] = '\0';
	}
	closedir(directory);
}

int main(int argc, char **argv)
{
	static char path[PATH_MAX];

	if (argc == 3 && strcmp(argv[1], "pin") == 0) {
		run(argv[2]);
	} else if (argc == 3 && (strcmp(argv[1], "look") == 0 || strcmp(argv[1], "fdinfo") == 0)) {
		snprintf(path, sizeof(path), "%s", argv[2]);
		look(path, strlen(path), argv[1][0] == 'l' ? ask_for_info : read_fdinfo);
	} else {
		fprintf(stderr, "usage: floor pin SCRIPT | floor look DIRECTORY | floor fdinfo DIRECTORY\n");
		return 1;
	}
	return 0;
}
