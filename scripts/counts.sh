#!/bin/bash
# counts.sh [--record] [BUILD]: count the instructions of the hot pairs, compare them with
# tests/bench/counts.txt, or write them there.
set -euo pipefail
cd "$(dirname "$0")/.."
record=()
if [ "${1:-}" = --record ]; then
    record=(--record)
    shift
fi
if [ $# -gt 1 ] || [[ "${1:-}" == -* ]]; then
    echo "counts: usage: counts.sh [--record] [BUILD]" >&2
    exit 2
fi
build=$(realpath -m "${1:-build}")
if [ ! -f "$build/build.ninja" ]; then
    echo "counts: no build in $build: make build" >&2
    exit 2
fi
scripts/deps.sh build test
ninja -C "$build" >/dev/null || { ninja -C "$build"; exit 1; }
/usr/bin/python3 tests/bench/counts.py "$build" tests/bench/counts.txt "${record[@]}"
