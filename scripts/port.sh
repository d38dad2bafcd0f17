#!/bin/bash
# port.sh BUILD: the one file for other CPUs, and the example kernel booted from it. Prints a line for each
# thing that fails and `N passed, N failed` at the end; BUILD/port/*.tap keeps what each said.
set -uo pipefail
export LC_ALL=C
cd "$(dirname "$0")/.."
out=$1/port
passed=0 failed=0
mkdir -p "$out"

for part in kernel cross; do
    start=$SECONDS
    /usr/bin/python3 tests/port/$part.py "$PWD" "$out/$part" >"$out/$part.tap" 2>&1
    good=$(grep -c '^ok ' "$out/$part.tap")
    bad=$(grep -c '^not ok ' "$out/$part.tap")
    # what did not come to its end has failed, whatever it said before
    grep -q '^1\.\.[1-9]' "$out/$part.tap" || bad=$((bad + 1))
    if [ "$bad" -ne 0 ]; then
        sed -n "s/^not ok [0-9]* - /failed: $part: /p" "$out/$part.tap"
        grep '^#' "$out/$part.tap" || tail -n 5 "$out/$part.tap"
    fi
    echo "$part: $good of $((good + bad)) ($((SECONDS - start)) s)"
    passed=$((passed + good)) failed=$((failed + bad))
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
