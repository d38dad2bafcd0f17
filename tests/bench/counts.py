"""Instructions of the hot pairs against the recorded counts: over 5 % more fails.

usage: counts.py BUILD COUNTS [--record]

COUNTS is a file of lines `PAIR HOW INSTRUCTIONS`; --record writes it anew. A count is of one pair and
its turn of the loop: the difference of two runs of bench/driver_count, so it does not depend on the
machine's load. How: `stepped` one instruction at a time, with restartable sequences; by `callgrind`,
which has none, so that the per-CPU caches fall back to their lock.
"""

import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
from tap import Tap

PAIRS = ('zone', 'zone_inline', 'malloc', 'arena', 'arena_plain', 'arena_shaped')
FEW, MANY = 2000, 12000
MORE = 1.05
COLLECTED = re.compile(r'Collected : (\d+)')
STEPPED = re.compile(r'_pair ([0-9.]+) instructions')
HEAD = '# Instructions of a pair, built by gcc 12 -O2 for x86-64: written by scripts/counts.sh --record\n'


def driver_of(build, pair):
    return os.path.join(build, 'bench', 'driver_count' + ('_inline' if pair.endswith('_inline') else ''))


def environment(build, pair, preload):
    library = os.path.join(build, 'src', 'malloc', 'front', 'libcooper-malloc.so')
    return {'PATH': '/usr/bin:/bin', 'COOPER_OPTIONS': 'shape=amd64 physmem=256M',
            **({preload: library} if pair == 'malloc' else {})}


def run(command, env, wanted, stream):
    """What `wanted` finds in what the command says."""
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=200)
    found = wanted.search(getattr(done, stream))
    if done.returncode != 0 or not found or 'cannot be preloaded' in done.stderr:
        sys.exit(f'counts: {" ".join(command)}: exit {done.returncode}: {done.stderr[-400:]}')
    return float(found[1])


def by_callgrind(build, pair):
    driver, env = driver_of(build, pair), environment(build, pair, 'LD_PRELOAD')
    with tempfile.TemporaryDirectory() as scratch:
        few, many = (run(['/usr/bin/valgrind', '--tool=callgrind', f'--callgrind-out-file={scratch}/out', driver,
                          pair, str(number)], env, COLLECTED, 'stderr') for number in (FEW, MANY))
    return round((many - few) / (MANY - FEW), 1)


def stepped(build, pair):
    return round(run([os.path.join(build, 'bench', 'count_steps'), 'pair', driver_of(build, pair), pair],
                     environment(build, pair, 'BENCH_PRELOAD'), STEPPED, 'stdout'), 1)


WAYS = {'stepped': stepped, 'callgrind': by_callgrind}


def recorded(path):
    with open(path) as file:
        lines = [line.split() for line in file if not line.startswith('#')]
    return {(pair, how): float(value) for pair, how, value in lines}


def main():
    build, path = sys.argv[1:3]
    counts = {(pair, how): count(build, pair) for how, count in WAYS.items() for pair in PAIRS}
    if sys.argv[3:] == ['--record']:
        lines = ''.join(f'{pair} {how} {value}\n' for (pair, how), value in counts.items())
        with open(path, 'w') as file:
            file.write(HEAD + lines)
        print(lines, end='')
        return
    tap, want = Tap(), recorded(path)
    for (pair, how), value in counts.items():
        limit = want.get((pair, how), 0)
        tap.check(value <= limit * MORE, f'{pair}_pair, {how}: {value} instructions, recorded {limit}',
                  ['over 5 % more than recorded; if that is meant: scripts/counts.sh --record, and say why'])
        tap.check(value > 10, f'{pair}_pair, {how}, was counted')
    tap.done()


main()
