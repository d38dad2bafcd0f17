"""A recorded trace -> C: the packed records that lab/workloads/build.c plays.

usage: embed.py TRACE OUTPUT.c

Format: README.md beside this file. A trace that is damaged: one line, exit status 2, nothing written.
"""

import os
import re
import sys

MAX_PROCESSES, MAX_FDS, USER_END, NO_PATH = 16, 256, 0xc0000, 0xffff  # as in build.h

# letter -> (name in build.h, its words); words: c child, f fd, g second fd, p path, q path if any,
# h page and pages (hexadecimal), n number
OPS = {
    'f': ('FORK', 'c'), 'v': ('VFORK', 'c'), 't': ('THREAD', ''), 'e': ('THREAD_X', ''),
    'x': ('EXEC', 'pn'), 'm': ('MAP', 'hhq'), 'u': ('UNMAP', 'hh'), 'p': ('PROTECT', 'hh'),
    'o': ('OPEN', 'fp'), 'c': ('CLOSE', 'f'), 'd': ('DUP', 'fg'), 'i': ('PIPE', 'fg'),
    'r': ('READ', 'fn'), 'w': ('WRITE', 'fn'), 'l': ('LOOKUP', 'p'), 'n': ('MISS', 'p'),
    'z': ('REAP', 'c'), 'q': ('EXIT', ''),
}


class Damaged(Exception):
    pass


class Event:
    def __init__(self, op, process):
        self.op, self.process = op, process
        self.fd = self.fd2 = self.a = self.b = 0
        self.path = NO_PATH


class Trace:
    """The text, checked. `where` is the line that a complaint is about."""

    def __init__(self, lines):
        self.where, self.lines = 0, lines
        if self.next() != 'cooper-trace 1':
            raise Damaged('not a trace of version 1')
        self.source = self.next()
        if not self.source.startswith('# '):
            raise Damaged('no word of where it comes from')
        self.nprocesses, self.npaths, nevents = map(self.number_of, ('processes', 'paths', 'events'))
        if not 0 < self.npaths < NO_PATH:
            raise Damaged(f'{self.npaths} paths')
        self.alive, self.ended, self.parent = {0}, set(), {0: None}
        self.events = [self.event() for _ in range(nevents)]
        if self.next() != 'end' or self.where != len(lines):
            raise Damaged(f'more than {nevents} events, or no end')
        if self.alive:
            raise Damaged(f'process {min(self.alive)} never ends')
        if len(self.parent) != self.nprocesses:
            raise Damaged(f'{len(self.parent)} processes, not {self.nprocesses}')

    def next(self):
        self.where += 1
        if self.where > len(self.lines):
            raise Damaged('the file ends here')
        return self.lines[self.where - 1]

    def number_of(self, what):
        match = re.fullmatch(what + r' (\d{1,7})', self.next())
        if not match:
            raise Damaged(f'no number of {what}')
        return int(match[1])

    def word(self, text, base, end, what):
        try:
            value = int(text, base)
        except ValueError:
            value = -1
        if not 0 <= value < end:
            raise Damaged(f'{text} is no {what}')
        return value

    def event(self):
        words = self.next().split(' ')
        if len(words) < 2 or words[1] not in OPS:
            raise Damaged('not an event')
        name, kinds = OPS[words[1]]
        e = Event(name, self.word(words[0], 10, self.nprocesses, 'process'))
        words = words[2:]
        if not len(kinds.rstrip('q')) <= len(words) <= len(kinds):
            raise Damaged(f'{len(words)} words for {name.lower()}')
        if e.process not in self.alive:
            raise Damaged(f'process {e.process} acts before its birth or after its end')
        for i, (kind, text) in enumerate(zip(kinds, words)):
            self.take(e, kind, text, i)
        if 'h' in kinds and (e.b == 0 or e.a + e.b > USER_END):
            raise Damaged('pages outside of a process')
        self.live(e)
        return e

    def take(self, e, kind, text, i):
        if kind == 'c':
            e.a = self.word(text, 10, self.nprocesses, 'process')
        elif kind == 'f':
            e.fd = self.word(text, 10, MAX_FDS, 'descriptor')
        elif kind == 'g':
            e.fd2 = self.word(text, 10, MAX_FDS, 'descriptor')
        elif kind in 'pq':
            e.path = self.word(text, 10, self.npaths, 'path')
        elif kind == 'n':
            e.a = self.word(text, 10, 1 << 31, 'size')
        elif i == 0:
            e.a = self.word(text, 16, USER_END, 'page')
        else:
            e.b = self.word(text, 16, USER_END + 1, 'number of pages')

    def live(self, e):
        if e.op in ('FORK', 'VFORK'):
            if e.a in self.parent:
                raise Damaged(f'process {e.a} is born twice')
            self.parent[e.a] = e.process
            self.alive.add(e.a)
        elif e.op == 'EXIT':
            self.alive.remove(e.process)
            self.ended.add(e.process)
        elif e.op == 'REAP':
            if e.a not in self.ended:
                raise Damaged(f'process {e.a} is waited for before its end, or twice')
            self.ended.remove(e.a)
        elif e.op == 'EXEC' and e.a > 1 << 20:
            raise Damaged('arguments of more than 1 MiB')


# ---- jobs -------------------------------------------------------------------------------------------


def jobs_of(trace):
    """[[process]]: the maker and what is nobody's job first, then each child of the maker's."""
    children = {}
    for process, parent in trace.parent.items():
        children.setdefault(parent, []).append(process)
    maker = max(trace.parent, key=lambda p: len(children.get(p, [])))
    job = {}

    def descend(process, root):
        job[process] = root
        for child in children.get(process, []):
            descend(child, child if process == maker else root)

    descend(0, 0)
    roots = [0] + [root for root in children.get(maker, [])]
    return [[p for p in trace.parent if job[p] == root] for root in roots]


def pack(trace):
    """[(processes, [event])], with processes numbered within their jobs."""
    jobs = jobs_of(trace)
    place = {p: (j, i) for j, job in enumerate(jobs) for i, p in enumerate(job)}
    out = [(len(job), [Event('SPAWN', 0)]) for job in jobs]
    for job in jobs:
        if len(job) > MAX_PROCESSES:
            raise Damaged(f'{len(job)} processes in one job; at most {MAX_PROCESSES}')
    for e in trace.events:
        j, e.process = place[e.process]
        if e.op in ('FORK', 'VFORK', 'REAP'):
            child, e.a = place[e.a]
            if child != j:
                continue  # a job's first process comes into being by itself and leaves at its end
        out[j][1].append(e)
    return out


def fnv(data, value):
    for byte in data:
        value = (value ^ byte) * 16777619 & 0xffffffff
    return value


def names():
    """The numbers of build.h's enum build_op."""
    here = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(here, '..', 'workloads', 'build.h')) as file:
        return {name: i for i, name in enumerate(re.findall(r'^\tBUILD_(\w+),', file.read(), re.M))}


def words(*values):
    return b''.join(v.to_bytes(4, 'little') for v in values)


def write(trace, packed, path):
    number, first, value = names(), 0, 2166136261
    for count, events in packed:
        value = fnv(words(first, len(events), count), value)
        first += len(events)
    for _, events in packed:
        for e in events:
            value = fnv(bytes([number[e.op], e.process, e.fd, e.fd2]) +
                        words(e.path, e.a, e.b), value)
    lines = ['/* Made by lab/traces/embed.py. */', '#include "workloads/build.h"', '',
             'static const struct build_event event[] = {']
    for _, events in packed:
        for e in events:
            lines.append(f'\t{{ BUILD_{e.op}, {e.process}, {e.fd}, {e.fd2}, {e.path}, 0, {e.a}, {e.b} }},')
    lines += ['};', '', 'static const struct build_job job[] = {']
    first = 0
    for count, events in packed:
        lines.append(f'\t{{ {first}, {len(events)}, {count} }},')
        first += len(events)
    lines += ['};', '', 'const struct build_trace build_trace = {',
              f'\tevent, job, {first}, {len(packed)}, {trace.npaths}, {value}u', '};', '']
    with open(path, 'w') as file:
        file.write('\n'.join(lines))


def main():
    if len(sys.argv) != 3:
        print('usage: embed.py TRACE OUTPUT.c', file=sys.stderr)
        sys.exit(2)
    source, trace = sys.argv[1], None
    try:
        with open(source, encoding='ascii', errors='replace') as file:
            text = file.read()
        lines = text.split('\n')
        if lines.pop() != '':
            raise Damaged('the last line is cut off')
        trace = Trace.__new__(Trace)
        trace.__init__(lines)
        packed = pack(trace)
    except OSError as why:
        print(f'embed.py: {source}: {why.strerror}', file=sys.stderr)
        sys.exit(2)
    except Damaged as why:
        where = f':{trace.where}' if trace is not None else ''
        print(f'embed.py: {source}{where}: {why}', file=sys.stderr)
        sys.exit(2)
    write(trace, packed, sys.argv[2])


main()
