#!/bin/bash
# deps.sh GROUP...: install what the groups need and this machine lacks, with apt-get.
# Says what it installs and why, one line a package; says nothing when all is there.
set -euo pipefail
export LC_ALL=C DEBIAN_FRONTEND=noninteractive

# group | package | what shows that it is there (a command, or - to ask dpkg) | why
table="
build    | gcc               | gcc          | the C compiler
build    | g++               | g++          | the C++ compiler: operator new is part of the malloc front
build    | libc6-dev         | -            | the C library's headers
build    | meson             | meson        | the build system
build    | ninja-build       | ninja        | runs the build that meson plans
build    | pkg-config        | pkg-config   | finds libraries for meson
build    | libjansson-dev    | -            | JSON output of the cooper command
build    | libdw-dev         | -            | functions and lines in the laboratory's explanations
test     | libcmocka-dev     | -            | the unit tests' framework
test     | spin              | spin         | verifies the model of the tag protocol
test     | binutils          | objdump      | a test reads the hot path's instructions
test     | gdb               | gdb          | a test steps through an allocation
test     | valgrind          | valgrind     | tests run in it, and count instructions
test     | strace            | strace       | a test records a small build's system calls
test     | clang             | clang        | a test compiles the other machine's sequences with it
test     | chromium          | chromium     | a test opens the laboratory's page in it
lint     | clang-format-14   | clang-format-14 | a test checks the tree's formatting
programs | python3           | /usr/bin/python3 | a real program to run on Cooper
programs | libpython3.11-testsuite | -      | python's own tests, run on Cooper
programs | redis-tools       | redis-benchmark | redis and its benchmark, run on Cooper (no service is started)
programs | sqlite3           | sqlite3      | a real program to run on Cooper
programs | git               | git          | a real program to run on Cooper
programs | make              | make         | a real program to run on Cooper
bench    | libjemalloc2      | -            | a peer that the benchmarks compare with
bench    | libmimalloc2.0    | -            | a peer that the benchmarks compare with
bench    | libtcmalloc-minimal4 | -         | a peer that the benchmarks compare with
kernel   | qemu-system-x86   | qemu-system-i386 | boots the bare-metal images
kernel   | gcc-multilib      | -            | 32-bit code from the same compiler
guest    | qemu-system-x86   | qemu-system-x86_64 | boots a Linux with cgroup v2
guest    | qemu-system-arm   | qemu-system-aarch64 | boots a Linux for 64-bit Arm
guest    | cpio              | cpio         | makes the guests' file systems
guest    | libstdc++-12-dev-arm64-cross | - | the C++ library for 64-bit Arm
guest    | libc6-dev-arm64-cross | -        | the C library for 64-bit Arm
cross    | cpp-12-aarch64-linux-gnu | /usr/lib/gcc-cross/aarch64-linux-gnu/12/cc1 | compiles the core for 64-bit Arm
cross    | binutils-aarch64-linux-gnu | aarch64-linux-gnu-as | assembles it
cross    | libgcc-12-dev-arm64-cross | -    | the compiler's own headers
cross    | cpp-12-riscv64-linux-gnu | /usr/lib/gcc-cross/riscv64-linux-gnu/12/cc1 | compiles the core for 64-bit RISC-V
cross    | binutils-riscv64-linux-gnu | riscv64-linux-gnu-as | assembles it
cross    | libgcc-12-dev-riscv64-cross | -  | the compiler's own headers
clang    | clang             | clang        | the second compiler that Cooper is built with
m32      | gcc-multilib      | -            | 32-bit code from the same compiler
m32      | g++-multilib      | -            | 32-bit C++ from the same compiler
m32      | libcmocka-dev:i386 | -           | the unit tests' framework, 32 bit
m32      | busybox:i386      | -            | a real 32-bit program to run on Cooper
m32      | libjansson-dev:i386 | -          | JSON output of the cooper command, 32 bit
"

die()
{
    echo "deps: $*" >&2
    exit 1
}

# A package of this machine's architecture, or of the one after the colon.
installed()
{
    local arch=${1#*:}
    [ "$arch" != "$1" ] || arch=$(dpkg --print-architecture)
    dpkg-query -W -f '${Architecture} ${db:Status-Status}\n' "${1%:*}" 2>/dev/null |
        grep -qE "^($arch|all) installed$"
}

[ $# -gt 0 ] || die "usage: deps.sh GROUP...; groups: build test lint programs bench kernel guest cross clang m32"
wanted=() missing=() reasons=()
for group in "$@"; do
    grep -q "^$group " <<<"$table" || die "no group '$group'; groups: build test lint programs bench kernel guest cross clang m32"
done
while IFS='|' read -r group package probe why; do
    group=${group// /} package=${package// /} probe=${probe// /}
    [ -n "$group" ] && [[ " $* " == *" $group "* ]] || continue
    wanted+=("$package")
    if [ "$probe" = - ]; then
        command -v dpkg-query >/dev/null && installed "$package" && continue
    else
        command -v "$probe" >/dev/null && continue
    fi
    missing+=("$package")
    reasons+=("deps: installing $package:$why")
done <<<"$table"
[ ${#missing[@]} -gt 0 ] || exit 0

command -v apt-get >/dev/null ||
    die "missing: ${missing[*]}; there is no apt-get here, so please install them yourself"
sudo=()
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || die "missing: ${missing[*]}; neither root nor sudo to install them"
    sudo=(sudo)
    [ -t 0 ] || sudo=(sudo -n)
    "${sudo[@]}" true || die "missing: ${missing[*]}; not root, and sudo was refused"
fi
apt=("${sudo[@]}" apt-get -qq -o Acquire::Retries=3 -o DPkg::Lock::Timeout=600)

printf '%s\n' "${reasons[@]}"
if [[ "${missing[*]}" == *:i386* ]] && ! dpkg --print-foreign-architectures | grep -qx i386; then
    "${sudo[@]}" dpkg --add-architecture i386
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# A source that does not answer need not matter: what counts is whether the packages come.
"${apt[@]}" update >"$log" 2>&1 </dev/null || true
if ! "${apt[@]}" install -y --no-install-recommends "${missing[@]}" >>"$log" 2>&1 </dev/null; then
    grep -E '^[EW]:' "$log" >&2 || tail -5 "$log" >&2
    die "apt-get could not install ${missing[*]}: is Debian's package mirror within reach?"
fi
