#!/bin/bash
# lab.sh DIR: the story of FreeBSD's PR 248008, told by the laboratory that is built in DIR.
# Ends with the path of a page about the hang, alone on the last line.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/.."
lab="$1/tools/cooper/cooper lab"
page=$PWD/$1/lab.html

# expect STATUS COMMAND...: run it; anything but this exit status ends the story.
expect()
{
    local wanted=$1 status=0
    shift
    echo "\$ cooper ${*:2}"
    $lab "${@:3}" || status=$?
    [ $status -eq "$wanted" ] || { echo "lab: exit status $status, where $wanted was expected"; exit 1; }
    echo
}

cat <<'TEXT'
1. A machine without a direct map (i386), where a drain ignores the reserve of boundary tags, as
   r358097 had it. Which schedule hangs?

TEXT
expect 3 cooper lab run btalloc --fault drain_ignores_reserve --release --hangs \
    --save "$1/lab.lab" --html "$page"

cat <<'TEXT'
2. The remedies side by side. The interim fix, which never frees tag slabs where there is no direct
   map, does not hang, but what a storm leaves behind is lost. What Cooper ships does neither.

TEXT
expect 0 cooper lab compare btalloc
expect 0 cooper lab compare tag-storm --schedules 60

echo "The run of 1. once more: cooper lab replay $1/lab.lab"
echo "$page"
