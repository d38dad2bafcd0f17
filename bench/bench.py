"""Measure Cooper, in both shapes, against the allocators that Debian packages.

usage: bench.py BUILD [ROUNDS]

All contestants take part in every round, one after the other, in an order that rotates, so that
what else the machine does meets them alike. Each malloc contestant is a process of the same driver
under its own LD_PRELOAD. Reported is the median of the rounds, with the least and the greatest.
Writes BUILD/bench.json and prints a table.

A zone has no peer among them: it stands beside what a program would call instead, malloc and free
of the same size. Arenas have no peer here at all, nor has a scheduling point of the laboratory.
"""

import glob
import json
import os
import platform
import statistics
import subprocess
import sys

SHAPES = ('amd64', 'i386')
PEERS = {'glibc': '', 'jemalloc': 'libjemalloc.so.2', 'mimalloc': 'libmimalloc.so.2.0',
         'tcmalloc': 'libtcmalloc_minimal.so.4'}
INSTEAD = {'zone_pair_256': 'malloc_pair_256', 'zone_lifo_256': 'malloc_lifo_256'}
STARTS = 40  # processes that a round starts for each contestant


def run(command, preload, **extra):
    """{name: nanoseconds} that a driver prints."""
    env = {'PATH': '/usr/bin:/bin', **extra}
    if preload:
        env['LD_PRELOAD'] = preload
    out = subprocess.run(command, env=env, check=True, capture_output=True, text=True, timeout=300)
    if 'cannot be preloaded' in out.stderr:
        sys.exit(f'bench: {out.stderr.strip()}')
    return {name: float(value) for name, value in (line.split() for line in out.stdout.splitlines())}


class Contestant:
    def __init__(self, name, build, preload, shape=None):
        self.name, self.build, self.preload, self.shape = name, build, preload, shape
        self.options = {'COOPER_OPTIONS': f'shape={shape}'} if shape else {}
        self.rounds = {}

    def round(self):
        driver = os.path.join(self.build, 'bench', 'driver_malloc')
        found = run([driver], self.preload, **self.options)
        found |= run([driver, 'spawn', str(STARTS), os.path.join(self.build, 'bench', 'empty')], '',
                     BENCH_PRELOAD=self.preload, **self.options)
        if self.shape:
            for driver in ('driver_core', 'driver_lab'):
                found |= run([os.path.join(self.build, 'bench', driver), self.shape], '')
        for name, value in found.items():
            self.rounds.setdefault(name, []).append(value)

    def summary(self, name):
        values = self.rounds[name]
        return {'min': min(values), 'median': statistics.median(values), 'max': max(values)}


def find_peer(library):
    if not library:
        return ''
    found = sorted(glob.glob(f'/usr/lib/*/{library}'))
    native = [path for path in found if f'/{platform.machine()}-' in path]
    if not native:
        sys.exit(f'bench: no {library}: run scripts/deps.sh bench')
    return native[0]


def results(ours, peers):
    """One record for each benchmark and shape."""
    for contestant in ours:
        for name in contestant.rounds:
            theirs = {peer.name: peer.summary(INSTEAD.get(name, name)) for peer in peers
                      if INSTEAD.get(name, name) in peer.rounds}
            best = min(theirs, key=lambda peer: theirs[peer]['median']) if theirs else None
            mine = contestant.summary(name)
            yield {'name': name, 'unit': 'ns', 'shape': contestant.shape, 'ours': mine,
                   'peers': theirs, 'peers_measure': INSTEAD.get(name, name) if theirs else None,
                   'best_peer': best,
                   'ratio': round(mine['median'] / theirs[best]['median'], 3) if best else None}


def cell(value):
    return f'{value / 1000:.0f}k' if value >= 10000 else f'{value:.1f}' if value < 100 else f'{value:.0f}'


def table(records, peers):
    yield (f"{'benchmark, ns':26} {'shape':6} {'ours':>8} {'min..max':>14} " +
           ' '.join(f'{peer.name:>9}' for peer in peers) + '   ours / best peer')
    for record in sorted(records, key=lambda r: (r['name'], r['shape'])):
        mine = record['ours']
        theirs = ' '.join(f"{cell(record['peers'][peer.name]['median']) if record['peers'] else '-':>9}"
                          for peer in peers)
        ratio = f"{record['ratio']:.2f} {record['best_peer']}" if record['ratio'] else '-'
        note = ', its malloc pair' if record['name'] in INSTEAD else ''
        yield (f"{record['name']:26} {record['shape']:6} {cell(mine['median']):>8} "
               f"{cell(mine['min']) + '..' + cell(mine['max']):>14} {theirs}   {ratio}{note}")


def processor():
    with open('/proc/cpuinfo') as file:
        return next((line.split(':')[1].strip() for line in file if line.startswith('model name')), '')


def main():
    build, rounds = os.path.abspath(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 15
    library = os.path.join(build, 'src', 'malloc', 'front', 'libcooper-malloc.so')
    if not os.path.exists(library):
        sys.exit(f'bench: no {library}')
    ours = [Contestant(f'cooper-{shape}', build, library, shape) for shape in SHAPES]
    peers = [Contestant(name, build, find_peer(file)) for name, file in PEERS.items()]
    everyone = ours + peers
    for number in range(rounds):
        print(f'\rround {number + 1} of {rounds}', end='', file=sys.stderr, flush=True)
        for at in range(len(everyone)):
            everyone[(number + at) % len(everyone)].round()
    print(file=sys.stderr)
    records = list(results(ours, peers))
    with open(os.path.join(build, 'bench.json'), 'w') as file:
        json.dump({'rounds': rounds, 'cpus': os.cpu_count(), 'processor': processor(),
                   'kernel': platform.release(), 'results': records}, file, indent=1)
    print('\n'.join(table(records, peers)))
    for record in records:
        if record['name'] == 'lab_point':
            print(f"the laboratory on {record['shape']}: {1000 / record['ours']['median']:.1f} million points "
                  'a second of one processor')
    print(f'written: {os.path.relpath(build)}/bench.json')


main()
