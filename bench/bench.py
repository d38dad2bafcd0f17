"""Measure Cooper against the allocators that Debian packages.

usage: bench.py BUILD [--rounds N] [--quick] [--only PATTERN] [--peers LIST] [--output FILE] [--list]

  --rounds N      rounds, 1 to 99 (7; 2 with --quick)
  --quick         a minute or two instead of some (also QUICK=1 in the environment)
  --only PATTERN  only the drivers and programs that have a row like PATTERN (*, ? and [] as in a shell,
                  or a row's beginning), and only those rows
  --peers LIST    against these alone, with commas between (glibc,jemalloc,mimalloc,tcmalloc)
  --output FILE   write the results there (BUILD/bench.json)
  --list          say what can be measured, and measure nothing

All contestants take part in each round, one right after the other, in an order that rotates, so that
what else the machine does meets them alike. Each malloc contestant is a process of the same driver
under its own LD_PRELOAD. Ratios are taken within each round; the median of the rounds counts.
Writes the results as JSON and prints a table, and which bars are met. rows.py tells what is measured.
"""

import fnmatch
import glob
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time

import programs
import results
import rows
from results import Bad, Samples

USAGE = 'usage: bench.py BUILD [--rounds N] [--quick] [--only PATTERN] [--peers LIST] [--output FILE] [--list]'
SOURCE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Options:
    def __init__(self, words, quick):
        self.rounds, self.quick, self.only, self.output = None, quick, '*', None
        self.peers, self.list = list(rows.PEERS), False
        valued = {'--rounds': self.set_rounds, '--only': self.set_only, '--peers': self.set_peers,
                  '--output': self.set_output}
        build, words = [], list(words)
        while words:
            word = words.pop(0)
            if word == '--quick':
                self.quick = True
            elif word == '--list':
                self.list = True
            elif word in valued:
                if not words:
                    raise Bad(f'{word} wants a value')
                valued[word](words.pop(0))
            elif word.startswith('-'):
                raise Bad(f'no option {word}; the options are {", ".join(valued)}, --quick, --list')
            else:
                build.append(word)
        if len(build) != 1:
            raise Bad(USAGE)
        self.build = os.path.abspath(build[0])
        self.output = self.output or os.path.join(self.build, 'bench.json')
        self.rounds = self.rounds or (2 if self.quick else 7)

    def set_rounds(self, value):
        if not (value.isascii() and value.isdigit() and 1 <= int(value) <= 99):
            raise Bad(f'--rounds wants a number from 1 to 99, not {value!r}')
        self.rounds = int(value)

    def set_only(self, value):
        self.only = value

    def set_peers(self, value):
        self.peers = value.split(',')
        unknown = [name for name in self.peers if name not in rows.PEERS]
        if unknown:
            raise Bad(f'no peer {unknown[0]!r}; there are {", ".join(rows.PEERS)}')

    def set_output(self, value):
        folder = os.path.dirname(os.path.abspath(value))
        if not os.path.isdir(folder):
            raise Bad(f'--output: no folder {folder}')
        self.output = value

    def wants(self, row):
        mine = self.only if any(mark in self.only for mark in '*?[') else self.only + '*'
        return fnmatch.fnmatchcase(row, mine)

    def may_want(self, pattern):
        """A row of a pattern that has no wildcard but at its end: runs too much rather than too little."""
        if not pattern.endswith('*'):
            return self.wants(pattern)
        begin, mine = pattern[:-1], re.split(r'[*?[]', self.only)[0]
        return begin.startswith(mine) or mine.startswith(begin)


class Contestant:
    def __init__(self, who, preload, shape=None):
        self.who, self.preload, self.shape = who, preload, shape
        # A direct map is the default: Cooper as a user has it, who sets no option.
        self.options = {'COOPER_OPTIONS': f'shape={shape}'} if shape not in (None, rows.BAR_SHAPE) else {}

    def run(self, driver, options):
        """The figures that a driver prints."""
        base = os.path.join(options.build, 'bench')
        args = [word.format(build=options.build, source=SOURCE) for word in (driver.quick if options.quick else driver.args)]
        if driver.who == 'cooper':
            args = [self.shape, *args]
        env = {'PATH': '/usr/bin:/bin', **self.options, **({'BENCH_QUICK': '1'} if options.quick else {})}
        if driver.who == 'malloc' and self.preload:
            env['BENCH_PRELOAD' if driver.preload_child else 'LD_PRELOAD'] = self.preload
        program = os.path.join(SOURCE, driver.name) if '/' in driver.name else os.path.join(base, driver.name)
        out = subprocess.run([program, *args], env=env, capture_output=True, text=True, timeout=600)
        if driver.may_lack and out.returncode == 77:
            print(f'\r{out.stderr.strip().splitlines()[-1]}', file=sys.stderr)
            return ()
        if out.returncode != 0 or 'cannot be preloaded' in out.stderr:
            said = (out.stderr.strip() or out.stdout.strip()).split('\n')[-1]
            raise Bad(f'{driver.name} under {self.who}: exit {out.returncode}: {said}')
        return results.parse(out.stdout, driver.name)


def find_peer(library):
    if not library:
        return ''
    found = sorted(glob.glob(f'/usr/lib/*/{library}'))
    native = [path for path in found if f'/{platform.machine()}-' in path]
    if not native:
        raise Bad(f'no {library}: run scripts/deps.sh bench')
    return native[0]


def rotated(items, by):
    by %= len(items)
    return items[by:] + items[:by]


def measure_driver(driver, number, cooper, peers, options, samples):
    who = [one for one in cooper if one.shape in ((rows.BAR_SHAPE,) if driver.who == 'alone' else driver.shapes)]
    who += peers if driver.who == 'malloc' else []
    for contestant in rotated(who, number):
        for row, value, unit, peer in contestant.run(driver, options):
            # A shape's own references stand beside that shape: the first shape's are kept.
            if peer is None or contestant.shape == driver.shapes[0]:
                samples.add(row, peer or contestant.who, number, value, unit)


def measure_program(name, number, cooper, peers, options, samples, said):
    for contestant in rotated(cooper[:1] + peers, number):
        bench = programs.Bench(options.build, SOURCE, contestant.preload, contestant.options)
        try:
            text, found = programs.figures(name, bench)
        except programs.Failed as failure:
            raise Bad(f'{name} under {contestant.who}: {failure}') from failure
        if said.setdefault(name, text) != text:
            raise Bad(f'{name} under {contestant.who} printed something else')
        for row, value, unit in found:
            samples.add(row, contestant.who, number, value, unit)


def measure(options, cooper, peers):
    samples, said = Samples(), {}
    beside = [row for row in rows.INSTEAD.values() if any(options.wants(ours) for ours, theirs in
                                                          rows.INSTEAD.items() if theirs == row)]

    def wanted(pattern):
        return options.may_want(pattern) or any(fnmatch.fnmatchcase(row, pattern) for row in beside)

    drivers = [driver for driver in rows.DRIVERS if any(wanted(row) for row in driver.rows)]
    names = [name for name in programs.PROGRAMS
             if any(options.wants(row) for row in (*programs.rows_of(name), *results.PROGRAM_RECORDS))]
    if not drivers and not names:
        raise Bad(f'no row is like {options.only!r}; --list tells all')
    start = time.monotonic()
    for number in range(options.rounds):
        for driver in drivers:
            if number < driver.most:
                progress(options, number, driver.name)
                measure_driver(driver, number, cooper, peers, options, samples)
        if number < (1 if options.quick else rows.PROGRAMS_ROUNDS):
            for name in names:
                progress(options, number, name)
                measure_program(name, number, cooper, peers, options, samples, said)
    print(f'\rmeasured in {time.monotonic() - start:.0f} s' + 30 * ' ', file=sys.stderr)
    return samples


def progress(options, number, what):
    if sys.stderr.isatty():
        print(f'\rround {number + 1} of {options.rounds}: {what:20}', end='', file=sys.stderr, flush=True)


def machine():
    with open('/proc/cpuinfo') as file:
        model = next((line.split(':')[1].strip() for line in file if line.startswith('model name')), '')
    return {'processor': model, 'cpus': os.cpu_count(), 'kernel': platform.release(),
            'load': os.getloadavg()[0]}


def commit():
    done = subprocess.run(['git', '-C', SOURCE, 'describe', '--always', '--dirty'], capture_output=True, text=True)
    return done.stdout.strip() or 'unknown'


def listing():
    for driver in rows.DRIVERS:
        yield from driver.rows
    for name in programs.PROGRAMS:
        yield from programs.rows_of(name)
    yield from results.PROGRAM_RECORDS


def write(options, found, verdicts):
    with open(options.output, 'w') as file:
        json.dump({'commit': commit(), 'machine': machine(), 'rounds': options.rounds, 'quick': options.quick,
                   'only': options.only, 'results': found, 'bars': verdicts}, file, indent=1)
        file.write('\n')


def main():
    options = Options(sys.argv[1:], os.environ.get('QUICK', '') not in ('', '0'))
    if options.list:
        print('\n'.join(listing()))
        return
    library = os.path.join(options.build, 'src', 'malloc', 'front', 'libcooper-malloc.so')
    if not os.path.exists(library):
        raise Bad(f'no {library}: build first')
    # A copy, as installing makes one and the peers are: what a linker wrote piece by piece lies in small
    # pieces in the page cache, and each process that maps it pays for that.
    library = shutil.copyfile(library, os.path.join(options.build, 'bench', 'libcooper-malloc.so'))
    cooper = [Contestant(f'cooper-{shape}', library, shape) for shape in rows.SHAPES]
    peers = [Contestant(name, find_peer(rows.PEERS[name])) for name in options.peers]
    samples = measure(options, cooper, peers)
    found = list(results.records(samples, rows.INSTEAD))
    found += results.program_records([record for record in found if record['shape'] == rows.BAR_SHAPE])
    found = [record for record in found if options.wants(record['name'])]
    verdicts = [verdict for verdict in results.judge(found, rows.BARS, rows.BAR_SHAPE)
                if options.only == '*' or verdict['seen'] is not None]
    write(options, found, verdicts)
    print('\n'.join(results.table(found, options.peers)))
    print()
    print('\n'.join(results.bar_lines(verdicts)))
    print(f'written: {os.path.relpath(options.output)}')


if __name__ == '__main__':
    try:
        main()
    except Bad as bad:
        print(f'bench: {bad}', file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
