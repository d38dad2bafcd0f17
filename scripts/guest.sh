#!/bin/bash
# guest.sh BUILD [JOB...]: boot Debian's own kernel in QEMU and run there what this machine's kernel, or its
# processor, may not have: cgroup v2 with the memory controller (job cgroup, x86-64) and restartable
# sequences on 64-bit Arm (job rseq). Prints what each case came to and `N passed, N failed` at the end;
# BUILD/guest/*.log keeps what each machine said. tests/guest has the first process, the jobs and their programs.
# guest.sh BUILD bench: the figures `cgroup_*` for bench/bench.py instead; 77 and one line if there is no guest.
#
# Nothing is installed that is not in scripts/deps.sh: kernels, the guests' busybox and what is of another
# architecture are fetched as packages and unpacked into BUILD/guest.
set -uo pipefail
export LC_ALL=C
cd "$(dirname "$0")/.."
source=$PWD
build=$(realpath "$1")
shift
out=$build/guest
passed=0 failed=0
mkdir -p "$out"

# What cannot be got ends the run: none of its cases has been seen.
die()
{
    echo "guest: $*" >&2
    [ "${bench:-}" ] && exit 77
    echo "failed: $*"
    echo "$passed passed, $((failed + 1)) failed"
    exit 1
}

# ---- packages --------------------------------------------------------------------------------------------

# apt with lists of its own that know both architectures; the system's stay as they are.
apt()
{
    local tool=$1
    shift
    mkdir -p "$out/apt/lists/partial" "$out/apt/cache/archives/partial"
    "$tool" -qq -o APT::Architectures::=amd64 -o APT::Architectures::=arm64 -o APT::Sandbox::User=root \
        -o Dir::State::Lists="$out/apt/lists" -o Dir::Cache="$out/apt/cache" -o Acquire::Retries=3 "$@" </dev/null
}

# unpack ROOT PACKAGE...: what they hold, into BUILD/guest/ROOT; once.
unpack()
{
    local root=$out/$1 package deb
    shift
    mkdir -p "$root"
    for package in "$@"; do
        [ ! -e "$root/.has-$package" ] || continue
        [ -e "$out/apt/fresh" ] || apt apt-get update >"$out/apt.log" 2>&1 || die "apt-get cannot update, see $out/apt.log"
        touch "$out/apt/fresh"
        echo "guest: fetching $package"
        deb=$(mktemp -d)
        (cd "$deb" && apt apt-get download "$package") >"$out/apt.log" 2>&1 && dpkg-deb -x "$deb"/*.deb "$root" ||
            die "$package cannot be fetched: $(tail -n 1 "$out/apt.log")"
        rm -r "$deb"
        touch "$root/.has-$package"
    done
}

# unpack_kernel ROOT PACKAGE: the kernel that the package stands for.
unpack_kernel()
{
    local real
    compgen -G "$out/$1/boot/vmlinuz-*" >/dev/null && return
    unpack "$1" "$2" # empty; says which
    real=$(apt apt-cache depends "$2" | sed -n 's/.*Depends: \(linux-image-[^ ]*\).*/\1/p' | head -n 1)
    [ -n "$real" ] || die "$2 names no kernel"
    unpack "$1" "${real%:*}${2#"${2%:*}"}"
}

# ---- machines -----------------------------------------------------------------------------------------------

# image ROOT: the guest's first file system, of what is in BUILD/guest/ROOT/image by now.
image()
{
    local top=$out/$1/image
    mkdir -p "$top"/{bin,proc,sys,dev,tmp,job}
    install -m 755 "$out/$1/bin/busybox" tests/guest/in_group "$top/bin/"
    install -m 755 tests/guest/init "$top/"
    for job in tests/guest/job-*; do
        cp "$job" "$top/job/${job##*/job-}"
    done
    (cd "$top" && find . | cpio -o -H newc --quiet | gzip -1) >"$out/$1/image.gz"
}

# boot LOG LIMIT ROOT JOB QEMU OPTIONS...: what it says goes to BUILD/guest/LOG.log. It must come to its end.
boot()
{
    local log=$out/$1.log limit=$2 root=$out/$3 job=$4 console=ttyS0
    shift 4
    [[ $root == *arm64 ]] && console=ttyAMA0
    timeout "$limit" "$@" -kernel "$root"/boot/vmlinuz-* -initrd "$root/image.gz" \
        -append "console=$console loglevel=1 panic=-1 job=$job" -display none -serial "file:$log" -no-reboot 2>"$log.qemu"
    sed -i 's/\r$//' "$log"
    grep -q '^guest: end' "$log"
}

# The host's own processor where that works, which only trying tells.
x86()
{
    local accel=(-accel "tcg,thread=multi" -cpu max)
    if [ -z "${ACCEL:-}" ] && [ -w /dev/kvm ]; then
        boot probe 15 amd64 nothing qemu-system-x86_64 -accel kvm -cpu host -smp 2 -m 256 -monitor none </dev/null 2>/dev/null &&
            ACCEL=kvm
    fi
    [ "${ACCEL:-}" != kvm ] || accel=(-accel kvm -cpu host)
    ACCEL=${ACCEL:-tcg}
    boot "$1" "$2" amd64 "$3" qemu-system-x86_64 "${accel[@]}" -smp 2 -m 1024 -monitor none </dev/null
}

# Single steps, that is, interrupts between any two instructions: QEMU is told when the guest says so, for a
# start in single steps would take minutes.
stepper()
{
    local mode log=$out/$1.log
    for mode in on off; do
        until grep -q "^guest: steps $mode" "$log" 2>/dev/null; do sleep 0.3; done
        echo "singlestep $mode"
    done
}

arm()
{
    local status=0 pid
    rm -f "$out/$1.log" "$out/monitor"
    mkfifo "$out/monitor"
    stepper "$1" >"$out/monitor" &
    pid=$!
    boot "$1" "$2" arm64 "$3" qemu-system-aarch64 -M virt -accel "tcg,thread=multi" -cpu cortex-a72 -smp 2 -m 1024 \
        -monitor stdio <"$out/monitor" >/dev/null || status=1
    kill "$pid" 2>/dev/null
    return $status
}

# count LOG: its cases, and those that failed by name.
count()
{
    local good bad log=$out/$1.log
    good=$(grep -c '^ok ' "$log") bad=$(grep -cE '^(not ok|Bail out!) ' "$log")
    grep -q '^guest: end' "$log" || { echo "failed: $1: the guest did not come to its end, see $log"; bad=$((bad + 1)); }
    sed -n "s/^not ok [0-9]* *- /failed: $1: /p" "$log"
    [ "$bad" -eq 0 ] || tail -n 40 "$log" "$log.qemu" | sed 's/^/        /'
    grep '^guest: .*,' "$log"
    echo "$1: $good of $((good + bad)) ($((SECONDS - started)) s)"
    passed=$((passed + good)) failed=$((failed + bad))
}

# ---- jobs ------------------------------------------------------------------------------------------------------

# A cross file for meson: Debian's gcc, unpacked, with what scripts/deps.sh has installed for it.
cross_file()
{
    cat <<END
[constants]
gcc = '$out/cross/usr/bin/aarch64-linux-gnu-'
parts = ['-B/usr/lib/gcc-cross/aarch64-linux-gnu/12']
[binaries]
c = [gcc + 'gcc-12'] + parts
cpp = [gcc + 'g++-12'] + parts
ar = 'aarch64-linux-gnu-ar'
strip = 'aarch64-linux-gnu-strip'
pkgconfig = 'pkg-config'
[properties]
needs_exe_wrapper = true
sys_root = '$out/arm64'
pkg_config_libdir = '$out/arm64/usr/lib/aarch64-linux-gnu/pkgconfig'
[host_machine]
system = 'linux'
cpu_family = 'aarch64'
cpu = 'aarch64'
endian = 'little'
END
}

# Restartable sequences on 64-bit Arm, programs built by gcc for it.
job_rseq()
{
    local top=$out/arm64/image lib=/usr/aarch64-linux-gnu/lib programs
    programs=(tests/test_hot tests/test_percpu tests/test_pressure tests/machine/modes tests/machine/modes_inline
        tests/malloc/front/test_front src/malloc/front/libcooper-malloc.so)
    scripts/deps.sh build guest cross || die "packages are missing"
    unpack cross gcc-12-aarch64-linux-gnu g++-12-aarch64-linux-gnu
    ln -sfn /usr/aarch64-linux-gnu "$out/cross/usr/aarch64-linux-gnu"
    unpack arm64 busybox-static:arm64 libcmocka0:arm64 libcmocka-dev:arm64 libjansson4:arm64 libjansson-dev:arm64
    unpack_kernel arm64 linux-image-cloud-arm64:arm64
    cross_file >"$out/arm64.ini"
    [ -f "$out/build-arm64/build.ninja" ] ||
        meson setup "$out/build-arm64" --cross-file "$out/arm64.ini" -Dwerror=true >"$out/build-arm64.log" 2>&1 ||
        die "the build for Arm cannot be configured, see $out/build-arm64.log"
    ninja -C "$out/build-arm64" "${programs[@]}" >"$out/build-arm64.log" 2>&1 ||
        die "the build for Arm fails, see $out/build-arm64.log"
    mkdir -p "$top"/{bin,lib}
    cp "$lib"/{ld-linux-aarch64.so.1,libc.so.6,libgcc_s.so.1} "$top/lib/"
    cp "$out"/arm64/usr/lib/aarch64-linux-gnu/libcmocka.so.0 "$top/lib/"
    for program in "${programs[@]}"; do
        case $program in
        *.so) cp "$out/build-arm64/$program" "$top/lib/" ;;
        *) cp "$out/build-arm64/$program" "$top/bin/" ;;
        esac
    done
    image arm64
    arm rseq 900 rseq
    count rseq
}

# x86_image PROGRAM...: of BUILD, with the libraries that they name.
x86_image()
{
    local top=$out/amd64/image program library
    unpack amd64 busybox-static
    unpack_kernel amd64 linux-image-cloud-amd64
    mkdir -p "$top/bin"
    for program in "$@"; do
        case $program in
        *.so*) mkdir -p "$top/lib" && cp -L "$program" "$top/lib/" ;;
        *) cp -L "$program" "$top/bin/" ;;
        esac
        for library in $(ldd "$program" | grep -o '/[^ ]*'); do
            mkdir -p "$top/${library%/*}"
            cp -L "$library" "$top/$library"
        done
    done
    image amd64
}

# Pressure from a cgroup v2.
job_cgroup()
{
    x86_image "$build/tests/guest/test_cgroup" "$build/tests/malloc/front/test_front" \
        "$build/src/malloc/front/libcooper-malloc.so"
    x86 cgroup 600 cgroup
    count cgroup
}

# The same under load, in figures: a line each, with the peer's name before those that are a peer's.
job_bench()
{
    local peers=(/usr/lib/x86_64-linux-gnu/lib{jemalloc.so.2,mimalloc.so.2.0,tcmalloc_minimal.so.4})
    x86_image "$build"/bench/driver_cgroup{,_malloc} "${peers[@]}" >&2
    x86 bench 600 bench || die "not measured: the guest did not come to its end, see $out/bench.log"
    grep -q '^not ok' "$out/bench.log" && die "not measured: $(grep -m 1 '^not ok' "$out/bench.log"), see $out/bench.log"
    sed -n 's/^figure: //p' "$out/bench.log"
}

if [ "${1:-}" = bench ]; then
    bench=yes
    [ "$(uname -m)" = x86_64 ] || die 'not measured: the guest is for x86-64'
    job_bench
    exit 0
fi
for job in "${@:-cgroup rseq}"; do
    for name in $job; do
        started=$SECONDS
        "job_$name"
    done
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
