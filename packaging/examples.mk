# In a copy of this folder: `make objects`. Debian's packages: clang, libbpf-dev, libc6-dev.
CLANG ?= clang
CFLAGS := -g -O2 -Wall -target bpf -I/usr/include/$(shell uname -m)-linux-gnu

objects: $(patsubst %.c,%.o,$(wildcard */*.bpf.c))

%.bpf.o: %.bpf.c
	$(CLANG) $(CFLAGS) -c $< -o $@

.PHONY: objects
