"""Whole programs under an allocator: what each one is, and how it is run and measured.

Each is run by `run_measured`, a small process that reports time and peak resident memory of the
program and of its children. A program of one thread is measured in processor time, which neighbours
on the machine disturb little, one of several threads in time on the wall; both are in the records.
"""

import glob
import os
import shutil
import subprocess
import time

ENV = {'PATH': '/usr/bin:/bin', 'HOME': '/nonexistent', 'LC_ALL': 'C.UTF-8'}
LIBC = '/lib/{machine}-linux-gnu/libc.so.6'


class Failed(Exception):
    """One line that says what is wrong."""


class Bench:
    """Where things are, and one contestant's environment."""

    def __init__(self, build, source, preload, options):
        self.build, self.source, self.preload, self.options = build, source, preload, options
        self.scratch = os.path.join(build, 'bench', 'scratch')
        shutil.rmtree(self.scratch, ignore_errors=True)
        os.makedirs(self.scratch)

    def command(self, *command):
        return [os.path.join(self.build, 'bench', 'run_measured'), os.path.join(self.scratch, 'result'), *command]

    def env(self, **extra):
        return {**ENV, 'BENCH_PRELOAD': self.preload, **self.options, **extra}

    def result(self):
        with open(os.path.join(self.scratch, 'result')) as file:
            wall, cpu, peak = (float(word) for word in file.read().split())
        return {'wall': wall, 'cpu': cpu, 'peak': peak}

    def run(self, *command, stdin=None, **env):
        done = subprocess.run(self.command(*command), cwd=self.scratch, env=self.env(**env), stdin=stdin,
                              capture_output=True, text=True, timeout=600)
        if done.returncode != 0:
            raise Failed(f'{command[0]}: exit {done.returncode}: {(done.stdout + done.stderr)[-300:]}')
        return done.stdout, self.result()


def gcc(bench):
    """The compiler on every second source of the zone and arena rooms."""
    files = sorted(glob.glob(os.path.join(bench.source, 'src', room, '*.c')) for room in ('uma', 'vmem'))
    files = [path for room in files for path in sorted(room)[::4]]
    include = [f'-I{os.path.join(bench.source, folder)}' for folder in ('include', 'src', 'src/machine/posix')]
    return bench.run('/usr/bin/gcc', '-O2', '-g', '-c', '-std=gnu17', *include, *files)


def python(bench):
    return bench.run('/usr/bin/python3', '-S', os.path.join(bench.source, 'bench', 'workloads', 'objects.py'),
                     PYTHONMALLOC='malloc')


def sqlite(bench):
    with open(os.path.join(bench.source, 'bench', 'workloads', 'database.sql')) as script:
        return bench.run('/usr/bin/sqlite3', ':memory:', stdin=script)


def workload(name):
    return lambda bench: bench.run(os.path.join(bench.build, 'bench', name))


def redis(bench):
    """A server under its benchmark; the server alone is measured, the benchmark always has glibc's
    malloc. Debian's server links jemalloc, so glibc's malloc has to be put in front of it as well."""
    socket = os.path.join(bench.scratch, 's')
    env = bench.env()
    if not bench.preload:
        env['BENCH_PRELOAD'] = LIBC.format(machine=os.uname().machine)
    # Debian keeps the server's program in redis-tools, where it also checks dump files.
    server = subprocess.Popen(
        bench.command('/bin/bash', '-c', 'exec -a redis-server /usr/bin/redis-check-rdb "$@"', 'redis',
                      '--port', '0', '--unixsocket', socket, '--save', '', '--daemonize', 'no'),
        cwd=bench.scratch, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 30
        while not os.path.exists(socket):
            if server.poll() is not None or time.monotonic() > end:
                raise Failed('redis-server did not start')
            time.sleep(0.01)
        load = subprocess.run(['redis-benchmark', '-s', socket, '-q', '-n', '60000', '-c', '20', '-P', '8',
                               '-r', '20000', '-d', '200', '-t', 'set,get,lpush,rpop,hset,sadd'],
                              env=ENV, capture_output=True, text=True, timeout=300)
        if load.returncode != 0:
            raise Failed(f'redis-benchmark: {load.stdout[-300:]}')
        subprocess.run(['redis-cli', '-s', socket, 'shutdown', 'nosave'], env=ENV, capture_output=True,
                       timeout=60)
        server.wait(60)
    finally:
        if server.poll() is None:
            server.kill()
            server.wait()
    return None, bench.result()  # its output is rates: nothing to compare


# name: (how to run it, which time counts)
PROGRAMS = {
    'gcc': (gcc, 'cpu'), 'python': (python, 'cpu'), 'redis': (redis, 'cpu'), 'sqlite': (sqlite, 'cpu'),
    'espresso': (workload('espresso'), 'cpu'), 'larson': (workload('larson'), 'wall'),
    'xmalloc': (workload('xmalloc'), 'wall'), 'cache_scratch': (workload('cache_scratch'), 'wall'),
}


def rows_of(name):
    return [f'program_{name}_{kind}' for kind in ('time', 'peak', 'wall', 'cpu')]


def figures(name, bench):
    """What the program wrote, and (row, value, unit) of one run of it."""
    run, clock = PROGRAMS[name]
    said, result = run(bench)
    values = ((result[clock], 's'), (result['peak'], 'KiB'), (result['wall'], 's'), (result['cpu'], 's'))
    return said, [(row, *value) for row, value in zip(rows_of(name), values)]
