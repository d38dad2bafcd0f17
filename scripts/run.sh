#!/bin/bash
# run.sh BUILD: the main job. Cooper's own sources are configured and built in a scratch folder,
# in parallel, with the real gcc, as and ld, and every process of that takes its memory from Cooper
# in the shape that has no direct map, with little physical memory. Fails if the build does, if
# what it makes is not what a build on glibc's malloc makes, or if anything hangs.
set -euo pipefail
export LC_ALL=C
# The compiler itself, each time: what a cache had from the first build would not be compiled on Cooper.
export CC=gcc CXX=g++ CCACHE_DISABLE=1
cd "$(dirname "$0")/.."
build=$(realpath "$1")
scratch=$build/run
# Physical memory of each process: so little that the static link of libc.a, the largest link here,
# must reclaim several times, and yet all can finish. Meson alone needs more: its python keeps 34 MB.
physmem=${PHYSMEM:-26M}
configure_physmem=64M
jobs=$(($(nproc) + 1))
cooper=$build/tools/cooper/cooper

fail()
{
    echo "run: $*" >&2
    exit 1
}

# All but the programs of the unit tests and the laboratory, of which there are too many for two
# minutes. The folder is the same both times: debug information names it.
build_sources='
set -e
rm -rf obj
COOPER_OPTIONS="$COOPER_OPTIONS physmem=$2" meson setup obj src >configure.log 2>&1 ||
    { tail -n 20 configure.log; exit 1; }
targets=$({ ninja -C obj -t targets rule c_LINKER; ninja -C obj -t targets rule cpp_LINKER; } |
    grep -vE "^(lab/|bench/driver_lab|tests/(test_|kmem/|lab/|sim/|uma/))")
ninja -C obj -j "$1" $targets >build.log 2>&1 ||
    { tail -n 40 build.log; exit 1; }
'

# objects: what the build made, each with its digest
objects()
{
    (cd "$scratch/obj" && find . \( -name '*.o' -o -name '*.so*' \) -type f | sort | xargs sha256sum)
}

rm -rf "$scratch"
mkdir -p "$scratch/src"
cp -r meson.build include src tools examples bench tests lab kernel "$scratch/src"
cd "$scratch"
export PYTHONMALLOC=malloc PYTHONDONTWRITEBYTECODE=1 # meson: its objects from malloc too, not from mmap

echo "run: reference build of Cooper on glibc's malloc, $jobs jobs"
start=$SECONDS
bash -c "$build_sources" reference "$jobs" "$configure_physmem" </dev/null || fail "the sources do not build on glibc's malloc"
objects >reference
glibc_took=$((SECONDS - start))

echo "run: the same on Cooper: shape i386 (no direct map), page daemon, $physmem of memory a process" \
    "($configure_physmem for meson)"
start=$SECONDS
status=0
COOPER_OPTIONS=daemon timeout -k 10 600 "$cooper" run --shape i386 --physmem "$physmem" --stats run.json --progress -- \
    bash -c "$build_sources" cooper "$jobs" "$configure_physmem" </dev/null >said || status=$?
[ $status -eq 0 ] || { cat said; fail "the build failed on Cooper: status $status"; }
objects >made
took=$((SECONDS - start))

cmp -s reference made || { diff reference made | head -n 10 >&2; fail "what it made differs"; }
line=$(tail -n 1 said)
[[ $line =~ ^run:\ [0-9]+\ processes,.*,\ ([0-9]+)\ hangs$ ]] || { cat said; fail "there is no summary"; }
echo "run: $(wc -l <made) objects and libraries, equal to the reference; $took s, on glibc $glibc_took s"
cat said
[ "${BASH_REMATCH[1]}" -eq 0 ] || fail "hangs were seen"
