#!/bin/bash
# kernel.sh BUILD: boot the bare-metal images in QEMU and see that they do what they must.
# Prints a line a boot and `N passed, N failed` at the end; BUILD/kernel/*.log keeps what each said.
# ACCEL=kvm where that works; by itself it takes QEMU's own emulation, which is the same everywhere.
set -uo pipefail
export LC_ALL=C
build=$1
accel=${ACCEL:-tcg}
width=$(nproc)
results=$(mktemp)
trap 'rm -f "$results"' EXIT

result()
{
    echo "$1" >>"$results"
    shift
    printf '%s\n' "$@"
}

qemu_of()
{
    [[ $1 == amd64* ]] && echo qemu-system-x86_64 || echo qemu-system-i386
}

# boot NAME IMAGE CPUS MEGABYTES STATUS PATTERN OPTIONS...: the machine must end with STATUS (33: passed,
# 35: stopped by itself) and have said PATTERN. A hang is the watchdog's to find: the limit here is for a
# machine that does not come to that.
boot()
{
    local name=$1 image=$build/kernel/kernel-$2 cpus=$3 memory=$4 want=$5 pattern=$6 qemu
    local log=$build/kernel/$name.log start=$SECONDS status
    qemu=$(qemu_of "$2")
    [ -f "$image" ] || image=$image.elf
    shift 6
    timeout "${LIMIT:-600}" "$qemu" -M "pc,accel=$accel" -kernel "$image" -m "$memory" -smp "$cpus" \
        -append "$*" -display none -serial "file:$log" -monitor none -no-reboot \
        -device isa-debug-exit,iobase=0xf4,iosize=0x04 </dev/null 2>"$log.qemu"
    status=$?
    if [ $status -eq "$want" ] && grep -qE "$pattern" "$log"; then
        result passed "ok      $name: $(grep -E "$pattern" "$log" | tail -n 1 | tr -d '\r') ($((SECONDS - start)) s)"
    else
        result failed "failed: $name: status $status, not $want, or not \"$pattern\"; the last of $log:" \
            "$(tail -n 15 "$log" "$log.qemu" | sed 's/^/        /')"
    fi
}

# A boot by a loader that leaves no magic number: a debugger takes it away at the first instruction.
boot_by_another_loader()
{
    local name=loader-$1 image=$build/kernel/kernel-$1 qemu log=$build/kernel/loader-$1.log start=$SECONDS status
    local socket entry
    qemu=$(qemu_of "$1")
    socket=$(mktemp -u)
    entry=$(nm "$image.elf" | awk '$3 == "_start" { print $1 }')
    [ -f "$image" ] || image=$image.elf
    (sleep 1 && gdb -nx -batch -ex "target remote $socket" -ex "hbreak *0x$entry" -ex continue -ex 'set $eax = 0' \
        -ex continue >"$log.gdb" 2>&1) &
    timeout 60 "$qemu" -M "pc,accel=$accel" -kernel "$image" -m 64 -display none -serial "file:$log" -monitor none \
        -no-reboot -device isa-debug-exit,iobase=0xf4,iosize=0x04 -S -gdb "unix:$socket,server=on,wait=off" \
        </dev/null 2>"$log.qemu"
    status=$?
    rm -f "$socket"
    if [ $status -eq 35 ] && grep -q 'cannot start: the loader does not speak Multiboot 1' "$log"; then
        result passed "ok      $name: $(tr -d '\r' <"$log") ($((SECONDS - start)) s)"
    else
        result failed "failed: $name: status $status; the last of $log:" \
            "$(tail -n 15 "$log" "$log.qemu" "$log.gdb" | sed 's/^/        /')"
    fi
}

# spawn CPUS COMMAND...: put it on the list; run_all runs it. As many at a time as their CPUs fit in ours, the
# first of the list that fits; whoever has more than those alone: a machine whose spinning CPUs have to share
# ours takes ten times as long.
jobs=() weights=()
spawn()
{
    weights+=($(($1 < width ? $1 : width)))
    shift
    jobs+=("$(printf '%q ' "$@")")
}

run_all()
{
    local free=$width pid i started
    local -A cpus_of
    while [ ${#jobs[@]} -gt 0 ]; do
        started=
        for i in "${!jobs[@]}"; do
            [ "${weights[i]}" -le "$free" ] || continue
            eval "${jobs[i]}" &
            cpus_of[$!]=${weights[i]}
            free=$((free - weights[i]))
            unset 'jobs[i]' 'weights[i]'
            started=yes
            break
        done
        if [ -z "$started" ]; then
            wait -n -p pid
            free=$((free + cpus_of[$pid]))
        fi
    done
    wait
}

# spawn_boot NAME IMAGE CPUS ...: what boot() takes.
spawn_boot()
{
    spawn "$3" boot "$@"
}

# No C library in an image, and in it the core as every build has it, file by file.
image_is_the_core()
{
    local want have missing
    missing=$(nm -u "$build/kernel/kernel-$1.elf"; nm "$build/kernel/kernel-$1.elf" | grep -E ' (puts|__libc|_IO_|__stdio)')
    want=$(find src -name '*.c' ! -path 'src/machine/*' ! -path '*/posix/*' ! -path 'src/malloc/front/*' |
        sed 's|/|_|g; s|^|.._|; s|$|.o|' | sort)
    have=$(ar t "$build/kernel/libcore-$1.a" | sed 's|.*/||' | grep -v machine_ | sort)
    if [ -z "$missing" ] && [ "$want" = "$have" ]; then
        result passed "ok      image-$1: $(wc -l <<<"$have") files of the core, nothing from a C library"
    else
        result failed "failed: image-$1: $missing" "$(diff <(echo "$want") <(echo "$have"))"
    fi
}

# The build under which a machine without a direct map hung (r358097): programs have all memory that the
# kernel does not have, its daemon gets four pages a pass, and the tags are nearly used up at the start.
pressure=(run=build mem=2M kva=16M workers=4 jobs=8 pageout=4 tags=40)

# Whole, on one CPU; what is about several threads again on four.
spawn_boot tests-i386 i386 1 256 33 '^tests: [0-9]+ passed, 0 failed' run=tests watchdog=300
spawn_boot tests-amd64 amd64 1 256 33 '^tests: [0-9]+ passed, 0 failed' run=tests watchdog=300
spawn_boot r358097 i386-lab 2 64 35 '^  thread .* sleeps on "btalloc"' "${pressure[@]}" rounds=50 \
    fault=drain_ignores_reserve watchdog=5
for i in {1..20}; do
    spawn_boot "shipped-$i" i386 2 64 33 '^build: .*, [1-9][0-9]* passes' "${pressure[@]}" watchdog=60
done
# Suites in which several threads meet: what is on one CPU above is here on four.
threads=mtx,waitq,page_threads,page_daemon_thread,smr,smr_threads,uma_bulk,uma_limit,uma_reserve,uma_wait,uma_smrzone
threads+=,uma_scenarios,vmem_scenarios,vmem_progress,kmem_refill,kmem_storm,kmem_storm_all,kmem_progress
for image in i386 amd64; do
    memory=1M # such that the page daemon has work
    [ $image = i386 ] || memory=1200K
    spawn 1 image_is_the_core $image
    for cpus in 1 2 4; do
        spawn_boot "tables-$image-$cpus" $image $cpus 64 33 '^kernel: passed' run=tables
        spawn_boot "build-$image-$cpus" $image $cpus 64 33 '^build: .*, [1-9][0-9]* passes' \
            run=build mem=$memory kva=16M workers=2 watchdog=60
    done
    spawn_boot "storm-$image-4" $image 4 256 33 '^tests: [0-9]+ passed, 0 failed' \
        run=tests suite="$threads" watchdog=60
    spawn_boot "hole-$image" $image 1 64 33 '^hole: none of [0-9]+ pages' hole=32M,8M
    spawn_boot "hang-$image" $image 2 64 35 '^  thread .* sleeps on "one address"' run=hang watchdog=2
    spawn_boot "overflow-$image" $image 2 64 35 'stack overflow: thread deep at' run=overflow
    spawn_boot "touch-$image" $image 2 64 35 'page fault: write of .* free in arena' touch
    spawn_boot "overrun-$image" $image 2 64 35 'page fault: write of .* zone "objects"' overrun nodmap
    spawn_boot "line-$image" $image 1 64 35 "cannot start: the loader's line is longer" "$(printf '%01024d' 0)"
    spawn 1 boot_by_another_loader $image
    spawn_boot "nomap-$image" $image 1 64 35 'cannot start: the loader gave no memory map' nomap
    spawn_boot "memory-$image" $image 1 64 35 'cannot start: physmem 102400: .* need at least' mem=100K
    spawn_boot "kva-$image" $image 1 64 35 'cannot start: kva_size 131072: too small for the tag reserve' \
        kva=128K nodmap
done
run_all

echo "What a machine says, $build/kernel/tables-i386-2.log:"
tr -d '\r' <"$build/kernel/tables-i386-2.log"
passed=$(grep -c passed "$results") failed=$(grep -c failed "$results")
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
