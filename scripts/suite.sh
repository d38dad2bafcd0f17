#!/bin/bash
# suite.sh DIR [MESON_OPTION...]: configure and build DIR, run its tests, count them.
# Ends with `N passed, N failed` alone on a line. LEVEL=soak runs the long tests instead; SUITES="A B"
# those suites alone.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/.."
dir=$1
shift

fail()
{
    echo "suite: $*"
    echo "0 passed, 1 failed"
    exit 1
}

if [ ! -f "$dir/build.ninja" ]; then
    meson setup "$dir" "$@" || fail "$dir cannot be configured"
elif [ $# -gt 0 ]; then
    meson setup --reconfigure "$dir" "$@" || fail "$dir cannot be configured"
fi
ninja -C "$dir" || fail "$dir does not build"

# A sanitizer's finding ends the test that made it.
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:abort_on_error=0}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1:halt_on_error=1}
export TSAN_OPTIONS=${TSAN_OPTIONS:-halt_on_error=1:second_deadlock_stack=1:die_after_fork=0}

rm -f "$dir"/meson-logs/testlog*
setup=(--no-suite soak)
[ "${LEVEL:-test}" = test ] || setup=(--suite "$LEVEL")
for suite in ${SUITES:-}; do
    setup+=(--suite "$suite")
done
# A time limit is for what hangs; sanitizers and busy machines only slow a test down.
setup+=(--timeout-multiplier 4)
meson test -C "$dir" --no-rebuild --num-processes "$(nproc)" --print-errorlogs "${setup[@]}" \
    </dev/null || true
exec /usr/bin/python3 scripts/count.py "$dir"
