#!/bin/bash
# kernel.sh BUILD [quick]: boot the bare-metal images in QEMU and see that they do what they must. Prints a
# line a boot and `N passed, N failed` at the end; BUILD/kernel/*.log keeps what each said.
set -uo pipefail
export LC_ALL=C
build=$1
passed=0 failed=0
accel=tcg
[ -w /dev/kvm ] && accel=kvm:tcg

# boot NAME MACHINE CPUS MEGABYTES SECONDS STATUS PATTERN OPTIONS...: the machine must end with STATUS
# (33: passed, 35: stopped by itself) and have said PATTERN.
boot()
{
    local name=$1 machine=$2 cpus=$3 memory=$4 seconds=$5 want=$6 pattern=$7 image qemu log start=$SECONDS status
    shift 7
    image=$build/kernel/kernel-$machine
    [ -f "$image" ] || image=$image.elf
    qemu=qemu-system-i386
    [[ $machine = amd64* ]] && qemu=qemu-system-x86_64
    log=$build/kernel/$name.log
    timeout "$seconds" "$qemu" -M "pc,accel=$accel" -kernel "$image" -m "$memory" -smp "$cpus" -append "$*" \
        -display none -serial "file:$log" -monitor none -no-reboot \
        -device isa-debug-exit,iobase=0xf4,iosize=0x04 </dev/null 2>"$log.qemu"
    status=$?
    if [ $status -eq "$want" ] && grep -qE "$pattern" "$log"; then
        passed=$((passed + 1))
        echo "ok      $name: $(grep -E "$pattern" "$log" | tail -n 1 | tr -d '\r') ($((SECONDS - start)) s)"
    else
        failed=$((failed + 1))
        [ $status -ne 124 ] || echo "        $name: no end after $seconds s"
        echo "FAILED  $name: status $status, not $want, or not \"$pattern\"; the last lines of $log:"
        tail -n 15 "$log" | sed 's/^/        /'
    fi
}

for machine in i386 amd64; do
    for cpus in 1 2 4; do
        boot "tables-$machine-$cpus" $machine $cpus 64 60 33 '^kernel: passed' run=tables
        boot "build-$machine-$cpus" $machine $cpus 64 120 33 '^build: .* events' run=build mem=1600K kva=12M workers=2
    done
    boot "touch-$machine" $machine 2 64 60 35 'page fault: write of .* free in arena|of no arena' run=tables touch
    boot "nomap-$machine" $machine 1 64 60 35 'cannot start: the loader gave no memory map' nomap
    boot "memory-$machine" $machine 1 64 60 35 'cannot start: physmem 102400: .* need at least' mem=100K
    boot "kva-$machine" $machine 1 64 60 35 'cannot start: kva_size 131072: too small for the tag reserve' kva=128K
done
before=$failed
# The long ones side by side; a subshell says by its status what became of its boot.
(boot tests-i386 i386 2 256 900 33 '^tests: [0-9]+ passed, 0 failed' run=tests watchdog=300
    [ $failed -eq "$before" ]) &
boot tests-amd64 amd64 2 256 900 33 '^tests: [0-9]+ passed, 0 failed' run=tests watchdog=300
if wait $!; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
