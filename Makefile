# What a person types. Each target installs what it needs (scripts/deps.sh) and builds into build/.
MAKEFLAGS += --no-print-directory
B = build
CONFIGURE = [ -f $(B)/build.ninja ] || meson setup $(B) $(MESON_ARGS)
NINJA = ninja -C $(B) $(NINJA_ARGS)

.DEFAULT_GOAL := build
.PHONY: help build run lab test soak kernel guest amalgamation port bench install clean

help:
	@echo 'make build   build the libraries and the command'
	@echo 'make run     a real parallel build in which every process takes its memory from Cooper'
	@echo 'make lab     a hang found, explained and ruled out; under a minute'
	@echo 'make test    all tests; under ten minutes on two cores'
	@echo 'make soak    the tests that take longer'
	@echo 'make kernel  boot the core on bare metal, i386 without a direct map and amd64 with one, in QEMU'
	@echo 'make guest   boot a Linux in QEMU for what this machine may lack: cgroup v2, 64-bit Arm'
	@echo 'make amalgamation  write the core as two files, build/amalgamation/cooper.h and cooper.c'
	@echo 'make port    boot the example kernel made from them; compile the core for Arm and RISC-V'
	@echo 'make bench   measure Cooper against other allocators; writes build/bench.json (QUICK=1: in less time)'
	@echo 'make install install headers, libraries, pkg-config files and the command'
	@echo 'make clean   remove what was built'

build:
	@scripts/deps.sh build test
	@$(CONFIGURE)
	@$(NINJA)

run:
	@scripts/deps.sh build test
	@$(CONFIGURE)
	@$(NINJA)
	@scripts/run.sh $(B)

lab:
	@scripts/deps.sh build test
	@$(CONFIGURE)
	@$(NINJA)
	@scripts/lab.sh $(B)

test:
	@scripts/deps.sh build test lint programs
	@scripts/suite.sh $(B) $(MESON_ARGS)

soak:
	@scripts/deps.sh build test lint programs
	@LEVEL=soak scripts/suite.sh $(B) $(MESON_ARGS)

kernel:
	@scripts/deps.sh build test kernel
	@$(CONFIGURE)
	@ninja -C $(B) $(NINJA_ARGS) kernel-images
	@scripts/kernel.sh $(B)

guest:
	@scripts/deps.sh build test guest cross
	@$(CONFIGURE)
	@ninja -C $(B) $(NINJA_ARGS) tests/guest/test_cgroup tests/malloc/front/test_front \
	    src/malloc/front/libcooper-malloc.so
	@scripts/guest.sh $(B) $(JOBS)

amalgamation:
	@/usr/bin/python3 scripts/amalgamation.py . $(B)/amalgamation
	@echo 'written: $(B)/amalgamation/cooper.h and cooper.c'

port:
	@scripts/deps.sh build kernel cross
	@scripts/port.sh $(B)

bench:
	@scripts/deps.sh build test programs bench kernel
	@$(CONFIGURE)
	@$(NINJA)
	@/usr/bin/python3 bench/bench.py $(B) $(BENCH_ARGS)

install: build
	@meson install -C $(B) --no-rebuild

clean:
	rm -rf build build-asan build-ubsan build-tsan build-clang build-m32
