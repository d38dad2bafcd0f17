"""Zones against malloc, pattern by pattern, in one interleaved run.

usage: zones.py BUILD [ROUNDS]

Each round starts every contestant once, in an order that rotates; a ratio is made within a round, from
neighbours in time, and what is printed is the median of the rounds' ratios to the peer that is best by
the median. The pattern's names: see driver_zone.c. Writes BUILD/bench-zones.json.
"""

import glob
import json
import os
import platform
import statistics
import subprocess
import sys

PEERS = {'glibc': '', 'jemalloc': 'libjemalloc.so.2', 'mimalloc': 'libmimalloc.so.2.0',
         'tcmalloc': 'libtcmalloc_minimal.so.4'}
OURS = {'inline': 'driver_zone_inline', 'call': 'driver_zone'}


def library(name):
    found = [path for path in glob.glob(f'/usr/lib/{platform.machine()}-*/{name}')] if name else ['']
    if not found:
        sys.exit(f'zones: no {name}: run scripts/deps.sh bench')
    return found[0]


def once(path, preload):
    env = {'PATH': '/usr/bin:/bin'} | ({'LD_PRELOAD': preload} if preload else {})
    out = subprocess.run([path, '1'], env=env, check=True, capture_output=True, text=True, timeout=120)
    return {name: float(value) for name, value, _ in (line.split() for line in out.stdout.splitlines())}


def main():
    build, rounds = os.path.abspath(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 21
    bench = os.path.join(build, 'bench')
    entrants = [(name, os.path.join(bench, file), '') for name, file in OURS.items()]
    entrants += [(name, os.path.join(bench, 'driver_zone_malloc'), library(file))
                 for name, file in PEERS.items()]
    seen = []
    for number in range(rounds):
        turn = {}
        for at in range(len(entrants)):
            name, path, preload = entrants[(number + at) % len(entrants)]
            turn[name] = once(path, preload)
        seen.append(turn)
    table = {}
    for pattern in seen[0]['call']:
        median = {name: statistics.median(turn[name][pattern] for turn in seen) for name, *_ in entrants}
        best = min(PEERS, key=median.get)
        ratio = {name: round(statistics.median(turn[name][pattern] / turn[best][pattern] for turn in seen), 3)
                 for name in OURS}
        table[pattern] = {'unit': 'ns', 'median': median, 'best_peer': best, 'ratio': ratio}
        print(f'{pattern:12}' + ''.join(f' {name} {median[name]:6.2f}' for name in median) +
              f'   best {best}; inline {ratio["inline"]:.2f}, call {ratio["call"]:.2f}')
    with open(os.path.join(build, 'bench-zones.json'), 'w') as file:
        json.dump({'rounds': rounds, 'kernel': platform.release(), 'results': table}, file, indent=1)


main()
