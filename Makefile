# Everything that cargo does not do: packages, BPF objects, the demo. `make` alone lists the targets.
.NOTPARALLEL:
.PHONY: help deps deps-packages deps-system deps-boot objects build static deb rpm demo test test-system test-boot test-kernels ruff \
	torture fuzz mutants bench fmt clippy doc clean

SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
# cargo, with root's rights for the test binaries only.
SUDO_RUNNER := --config "target.'cfg(unix)'.runner = ['sudo', '-E']"
CARGO_AS_ROOT := cargo $(if $(SUDO),$(SUDO_RUNNER))

CLANG ?= clang
BPF_CFLAGS := -g -O2 -Wall -target bpf -I/usr/include/$(shell uname -m)-linux-gnu
# The target `bpf` has this machine's byte order.
OTHER_ENDIAN := bpfeb
SOURCES := $(wildcard examples/*/*.bpf.c tests/objects/*.bpf.c)
OBJECTS := $(SOURCES:.c=.o)

# Uses the distribution's Python, whatever else is on PATH: deps-system installs its venv module.
VENV := target/system-venv

# The sanitizer and its runtime come with the stable release of rustc. Only the flag that enables it is
# reserved for nightly, which RUSTC_BOOTSTRAP=1 overrides. libbpf is C: clang compiles it with the same
# sanitizer and with libFuzzer's counters. libelf and zlib are the system's: the sanitizer sees only what
# they do through libc.
FUZZ := CC=$(CLANG) CFLAGS="-g -O1 -fsanitize=address,fuzzer-no-link" RUSTC_BOOTSTRAP=1 cargo fuzz
FUZZ_TARGETS := manifest stamp object
FUZZ_SECONDS ?= 60
# Seconds for one input, with the sanitizer, on a machine that may be busy; its quarantine alone is 256 MiB.
FUZZ_LIMITS = -timeout=5 -rss_limit_mb=1024 -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1

help:     ## this list
	@sed -n 's/^\([a-z-]*\): .*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 16

deps:     ## install what is missing of the build tools (Debian 12, Ubuntu 24.04)
	@$(need); $(needed); $(install_missing)

deps-packages: deps ## install what is missing for static, deb and rpm
	@$(need); $(needed_for_packages); $(install_missing)

deps-system: deps ## install what is missing for test-system
	@sh tests/system/install-packages.sh system

deps-boot: deps ## install what is missing for test-boot and test-kernels
	@sh tests/system/install-packages.sh boot

objects: $(OBJECTS) ## compile the BPF programs of examples/ and tests/objects/

build:    ## build target/release/iterctl
	cargo build --release --locked

static: deps-packages ## build target/release/iterctl so that it needs nothing but libc
	cargo build --release --locked --features vendored --bin iterctl

deb: static ## build target/packages/*.deb
	sh packaging/package.sh deb

rpm: static ## build target/packages/*.rpm
	sh packaging/package.sh rpm

demo: deps objects build ## show every step on this machine, then clean up (needs root)
	cargo build --release --locked --example make-map
	sh examples/demo.sh

test: deps objects ## run all tests (those on the real kernel need root)
ifeq ($(SUDO),)
	cargo test --locked --workspace -- --include-ignored
else
	cargo test --locked --workspace
	$(CARGO_AS_ROOT) test --locked --tests -- --ignored
endif

test-system: deps-system objects deb rpm $(VENV)/ready ## test what surrounds the program: units, packages, Ansible, Salt, Puppet, Kubernetes (needs root)
	cargo install --debug --locked --path . --root target/installed
	$(SUDO) env PYTHONDONTWRITEBYTECODE=1 $(VENV)/bin/pytest tests/system \
		--ignore=tests/system/test_boot.py

test-boot: deps-boot objects static $(VENV)/ready ## boot a virtual machine with the units, reboot it (three minutes; needs root)
	$(SUDO) env PYTHONDONTWRITEBYTECODE=1 $(VENV)/bin/pytest -rP --durations=3 tests/system/test_boot.py

test-kernels: deps-boot objects ## run the tests on other kernels, in virtual machines, and write docs/kernels.md (eight minutes)
	PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 tests/system/matrix.py

ruff:     $(VENV)/ready ## lint the Python code, and check its format
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check

torture: deps objects ## break inputs, kill applies, fail every call, disturb watch (two hours; needs root)
	ITERCTL_MUTATIONS=10000000 cargo test --release --locked --test broken_manifests
	ITERCTL_MUTATIONS=20000 cargo test --release --locked --test broken_objects
	ITERCTL_ROUNDS=200 $(CARGO_AS_ROOT) test --release --locked --test kernel -- --ignored rivals
	ITERCTL_ROUNDS=5000 cargo test --release --locked --lib it_has_one_holder_at_a_time
	ITERCTL_SIGNALS=all $(CARGO_AS_ROOT) test --release --locked --test kernel -- --ignored \
		--nocapture kernel::signals
	ITERCTL_KILLS=1000 ITERCTL_FAULTS=all $(CARGO_AS_ROOT) test --release --locked --test kernel -- \
		--ignored --nocapture kernel::kills kernel::faults
	ITERCTL_ROUNDS=2000 $(CARGO_AS_ROOT) test --release --locked --test kernel -- --ignored \
		--nocapture hostile_races
	ITERCTL_SETS=500 $(CARGO_AS_ROOT) test --release --locked --test kernel -- --ignored many::
	ITERCTL_SOAK=3600 $(CARGO_AS_ROOT) test --release --locked --test kernel -- --ignored --nocapture soak
	$(MAKE) fuzz FUZZ_SECONDS=120

fuzz:     deps objects ## feed manifests, stamps and objects to libFuzzer (three minutes)
	@command -v c++ > /dev/null || { set -ex; $(SUDO) apt-get update; \
		$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends g++; }
	cargo fuzz --version || cargo install cargo-fuzz --locked
	mkdir -p $(addprefix fuzz/corpus/,manifest toml stamp object)
	@seed() { cp "$$2" "fuzz/corpus/$$1/$$(echo "$$2" | tr / -)"; }; set -e; \
	for file in $(wildcard tests/cases/*/iters.toml examples/*/iters.toml); do \
		seed manifest $$file; done; \
	for file in $(wildcard fuzz/seeds/stamp/*); do seed stamp $$file; done; \
	for file in $(OBJECTS); do seed object $$file; done
	set -e; for target in $(FUZZ_TARGETS); do $(FUZZ) run $$target -- $(FUZZ_LIMITS); done

mutants:  ## break the core, one place at a time, and list what no test notices (hours; MUTANTS=core/src/plan for a part)
	cargo mutants --version || cargo install cargo-mutants --locked
	mkdir -p target
	$(if $(wildcard /dev/shm),TMPDIR=/dev/shm) CARGO_PROFILE_DEV_DEBUG=none cargo mutants --package iterctl-core \
		--output target $(foreach part,$(MUTANTS:.rs=),--file '$(part).rs' --file '$(part)/**')

bench: deps-packages objects ## measure how long pinning and watch take (five minutes; needs root)
	@{ command -v hyperfine && command -v /usr/bin/time; } > /dev/null || { set -ex; $(SUDO) apt-get update; \
		$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends hyperfine time; }
	$(CARGO_AS_ROOT) bench --locked --features vendored --bench watch --bench pinning

fmt:      ## format the code
	cargo fmt --all

clippy:   ## lint the code
	cargo clippy --locked --workspace --all-targets -- -D warnings

doc:      ## build the documentation
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --document-private-items

clean:    ## remove what was built
	rm -f $(OBJECTS)
	rm -rf fuzz/target fuzz/corpus
	cargo clean

$(VENV)/ready: tests/system/requirements.txt tests/system/constraints.txt
	rm -rf $(VENV)
	/usr/bin/python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

%.bpf.o: %.bpf.c Makefile
	$(CLANG) $(BPF_CFLAGS) -c $< -o $@

$(filter tests/objects/%,$(OBJECTS)): tests/objects/iter.h
tests/objects/rodata2.bpf.o: tests/objects/rodata.bpf.c
tests/objects/big_endian.bpf.o: tests/objects/tasks_v1.bpf.c
tests/objects/big_endian.bpf.o: BPF_CFLAGS := $(subst -target bpf,-target $(OTHER_ENDIAN),$(BPF_CFLAGS))
tests/objects/no_btf.bpf.o: tests/objects/no_core.bpf.c
tests/objects/no_btf.bpf.o: BPF_CFLAGS := $(filter-out -g,$(BPF_CFLAGS))
tests/objects/unoptimised.bpf.o: tests/objects/no_core.bpf.c
tests/objects/unoptimised.bpf.o: BPF_CFLAGS := $(subst -O2,-O0,$(BPF_CFLAGS))

# For each package, a command or a file that shows that it is installed, and the package.
define need
set -eu; PATH="$$PATH:/usr/sbin"; missing=; \
need() { command -v "$$1" > /dev/null || [ -e "$$1" ] || missing="$$missing $$2"; }
endef

define needed
need make make; \
need gcc gcc; \
need /usr/include/stdio.h libc6-dev; \
need pkg-config pkg-config; \
need $(CLANG) clang; \
need /usr/include/libelf.h libelf-dev; \
need /usr/include/zlib.h zlib1g-dev; \
need /usr/include/bpf/bpf_helpers.h libbpf-dev; \
need bpftool bpftool; \
need strace strace
endef

# The first six are needed to build libelf.
define needed_for_packages
need autoreconf autoconf; \
need automake automake; \
need autopoint autopoint; \
need flex flex; \
need bison bison; \
need gawk gawk; \
need dpkg-shlibdeps dpkg-dev; \
need /usr/bin/python3 python3
endef

define install_missing
[ "$$missing" ] || exit 0; \
echo "missing:$$missing"; \
command -v apt-get > /dev/null || { \
	echo "error: no apt-get here: install these by hand" >&2; exit 1; }; \
set -x; \
$(SUDO) apt-get update; \
$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y \
	--no-install-recommends $$($(package_names))
endef

# Ubuntu 24.04 has no package `bpftool`, only the name: there it is part of the kernel's tools.
define package_names
apt-cache show bpftool 2> /dev/null | grep -q . && echo $$missing || \
echo $$missing | sed 's/bpftool/linux-tools-common linux-tools-generic/'
endef
