"""Run a real program on glibc's malloc and on Cooper in both shapes; what it does must not differ.

usage: programs.py NAME SCRATCH THREADS_BINARY SHAPE=COMMAND...

Each SHAPE is a name for the report, each COMMAND the words to put in front of a program to run it on
the allocator under test (`cooper run --shape i386 --`, or `env LD_PRELOAD=...`). If STATS is among
them it becomes a file in which each process must leave a line, so that a program that never met the
allocator is found out. A program is run once without any such command, and what it yields then is
what it must yield always: named outputs, each a test case.
"""

import hashlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
from tap import Tap

HERE = os.path.dirname(os.path.abspath(__file__))
ENV = {'PATH': '/usr/bin:/bin', 'HOME': '/nonexistent', 'LC_ALL': 'C.UTF-8', 'TZ': 'UTC'}
PYTHON_TESTS = ['test_json', 'test_zlib', 'test_threading', 'test_subprocess', 'test_gc']


class Failed(Exception):
    pass


class Run:
    """One run of a program: where, and behind which command."""

    def __init__(self, prefix, folder):
        self.stats = folder + '.stats'
        self.prefix = [self.stats if word == 'STATS' else word for word in prefix]
        self.folder = folder
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)

    def __call__(self, *command, stdin='', env=(), timeout=240):
        """Run to its end and return what it wrote; a bad exit or a signal is a failure."""
        try:
            done = subprocess.run([*self.prefix, *command], cwd=self.folder, env={**ENV, **dict(env)},
                                  input=stdin, capture_output=True, text=True, timeout=timeout)
        except subprocess.TimeoutExpired as late:
            raise Failed(f'{command[0]} did not end in {timeout} s') from late
        except OSError as error:
            raise Failed(f'{command[0]} cannot be run: {error.strerror}') from error
        if done.returncode != 0:
            tail = (done.stdout + done.stderr)[-2000:]
            raise Failed(f'{" ".join(command)[:200]}: exit {done.returncode}\n{tail}')
        return done.stdout

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'w') as file:
            file.write(text)

    def digest(self, *names):
        """What is in these files, in short."""
        total = hashlib.sha256()
        for name in names:
            with open(os.path.join(self.folder, name), 'rb') as file:
                total.update(file.read())
        return total.hexdigest()


def c_module(number):
    """A C file with enough in it that gcc allocates: types, tables, functions of many blocks."""
    fields = '\n'.join(f'\tunsigned f{i}[{i % 5 + 1}];' for i in range(30))
    table = ', '.join(str((number * 7919 + i * i) % 65521) for i in range(1500))
    functions = '\n'.join(f'''
static unsigned
step{i}(struct record *r, unsigned x)
{{
	switch ((x ^ {i * number}u) % 7) {{
	case 0: r->f{i % 30}[0] += table[x % 1500]; break;
	case 1: for (unsigned k = 0; k < x % 9; k++) r->f{(i + 3) % 30}[0] ^= table[(x + k) % 1500] * k; break;
	case 2: r->f{(i * 7) % 30}[0] = x / (1 + table[x % 1500] % 100); break;
	case 3: if (x > 5) return (step{max(i - 1, 0)}(r, x / 2)); break;
	default: r->f{(i + 11) % 30}[0] -= x; }}
	return (x * {2 * i + 1}u + r->f{i % 30}[0]);
}}''' if i else 'static unsigned\nstep0(struct record *r, unsigned x)\n{\n\treturn (x + r->f0[0]);\n}'
                          for i in range(40))
    calls = ''.join(f'\tx = step{i}(&r, x);\n' for i in range(40))
    return f'''#include <string.h>
struct record {{
{fields}
}};
static const unsigned table[1500] = {{ {table} }};
{functions}

unsigned module{number}(unsigned x);
unsigned
module{number}(unsigned x)
{{
	struct record r;
	memset(&r, 0, sizeof(r));
{calls}	return (x);
}}
'''


def run_gcc(run, _):
    """gcc, as, ld and make build a C project; the objects are equal byte by byte."""
    count = 5
    for number in range(count):
        run.write(f'm{number}.c', c_module(number))
    prototypes = ''.join(f'unsigned module{n}(unsigned);\n' for n in range(count))
    calls = ''.join(f'\tx = module{n}(x);\n' for n in range(count))
    run.write('main.c', f'#include <stdio.h>\n{prototypes}int\nmain(void)\n{{\n\tunsigned x = 1;\n{calls}'
              '\tprintf("%u\\n", x);\n\treturn (0);\n}\n')
    objects = ['main.o'] + [f'm{number}.o' for number in range(count)]
    run.write('Makefile', f'prog: {" ".join(objects)}\n\tgcc -flto -O1 -o $@ $^\n'
              '%.o: %.c\n\tgcc -O2 -g -ffat-lto-objects -flto -frandom-seed=$< -c -o $@ $<\n')
    run('make', '-j2')
    yield 'objects', run.digest(*objects)
    yield 'program', run('./prog')
    yield 'symbols', run('nm', '--defined-only', 'prog')


def run_python(run, _):
    """python's own tests, its objects too from malloc; each test's verdict."""
    folder = os.path.join(run.folder, 'tmp')
    os.makedirs(folder)
    run('/usr/bin/python3', os.path.join(HERE, 'pytests.py'), 'verdicts.json',
        *('test.' + name for name in PYTHON_TESTS), env={'PYTHONMALLOC': 'malloc', 'TMPDIR': folder})
    with open(os.path.join(run.folder, 'verdicts.json')) as file:
        verdicts = json.load(file)
    for module in PYTHON_TESTS:
        mine = {name: what for name, what in verdicts.items() if f'.{module}.' in name}
        if not mine:
            raise Failed(f'{module} ran no test: is libpython3.11-testsuite installed?')
        yield module, '\n'.join(f'{name}: {what}' for name, what in sorted(mine.items()))


def left_statistics(run):
    try:
        with open(run.stats) as file:
            return any(line.startswith('{') for line in file)
    except FileNotFoundError:
        return False


class Redis:
    """A server that listens on a socket in the scratch folder and nowhere else."""

    def __init__(self, run, *options):
        # Debian keeps the server's program in redis-tools, where it also checks dump files
        self.run, self.socket = run, os.path.join(run.folder, 's')
        self.process = subprocess.Popen(
            [*run.prefix, 'bash', '-c', 'exec -a redis-server /usr/bin/redis-check-rdb "$@"', 'redis',
             '--port', '0', '--unixsocket', self.socket, '--enable-debug-command', 'yes', '--save', '',
             '--daemonize', 'no', '--dir', run.folder, *options],
            cwd=run.folder, env=ENV, stdin=subprocess.DEVNULL, stdout=open(run.folder + '/log', 'a'),
            stderr=subprocess.STDOUT)
        self.wait(lambda: os.path.exists(self.socket) and 'PONG' in self.cli('ping', check=False))

    def wait(self, condition, seconds=60):
        end = time.monotonic() + seconds
        while not condition():
            if self.process.poll() is not None or time.monotonic() > end:
                with open(self.run.folder + '/log') as log:
                    raise Failed('redis-server: ' + log.read()[-2000:])
            time.sleep(0.02)

    def cli(self, *words, stdin='', check=True):
        done = subprocess.run(['redis-cli', '-s', self.socket, *words], input=stdin, env=ENV,
                              capture_output=True, text=True, timeout=60)
        if check and (done.returncode != 0 or done.stdout.startswith(('ERR', '(error)'))):
            raise Failed(f'redis-cli {words}: {done.stdout}{done.stderr}')
        return done.stdout

    def save(self):
        """A save in the background: the server forks, the child writes all of it."""
        self.cli('bgsave')
        self.wait(lambda: 'rdb_bgsave_in_progress:0' in self.cli('info', 'persistence'))
        if 'rdb_last_bgsave_status:ok' not in self.cli('info', 'persistence'):
            raise Failed('the background save failed')

    def close(self):
        try:
            if self.process.poll() is None:
                self.cli('shutdown', 'nosave', check=False)
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()


FILL = '''for i = 1, 20000 do
    redis.call('set', 's' .. i, string.rep('v', i % 700))
    redis.call('rpush', 'l' .. i % 50, i, 'e' .. i)
    redis.call('hset', 'h' .. i % 300, 'f' .. i, string.rep('w', i % 90))
    redis.call('zadd', 'z' .. i % 20, i * 7 % 1001, 'm' .. i)
    redis.call('sadd', 'n' .. i % 30, i)
    if i % 3 == 0 then redis.call('del', 's' .. i - 1) end
end
return redis.call('dbsize')'''


def run_redis(run, _):
    """A server under its benchmark, with saves in the background, then a reload of what it saved."""
    server = Redis(run)
    try:
        # the benchmark's keys are random: it is there for the load while a child writes
        load = subprocess.Popen(['redis-benchmark', '-s', server.socket, '-q', '-n', '15000', '-c', '20',
                                 '-r', '5000', '-d', '300', '-t', 'set,get,lpush,rpop,hset,zadd,mset'],
                                env=ENV, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(3):
            server.save()
            time.sleep(0.1)
        report, _ = load.communicate(timeout=120)
        if load.returncode != 0:
            raise Failed('redis-benchmark: ' + report[-500:])
        yield 'benchmark', ' '.join(sorted(line.split(':')[0] for line in report.split('\n')
                                           if 'requests per second' in line))
        server.cli('flushall')
        yield 'keys', server.cli('eval', FILL, '0')
        before = server.cli('debug', 'digest')
        server.save()
        yield 'contents', before
    finally:
        server.close()
    server = Redis(run)
    try:
        yield 'contents after reload', server.cli('debug', 'digest')
        if server.cli('debug', 'digest') != before:
            raise Failed('the reloaded contents differ from what was saved')
    finally:
        server.close()
    yield 'server ended well', str(server.process.returncode)


SQL = '''PRAGMA journal_mode = WAL;
CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT, town TEXT, born INTEGER, notes TEXT);
CREATE TABLE trade (id INTEGER PRIMARY KEY, seller INTEGER REFERENCES person, buyer INTEGER, amount REAL);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40000)
INSERT INTO person SELECT i, 'name' || (i * 7919 % 10007), 'town' || (i % 97), 1900 + i % 120,
    substr(hex(zeroblob(i % 400)), 1, i % 700) FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 80000)
INSERT INTO trade SELECT i, i * 31 % 40000 + 1, i * 17 % 40000 + 1, (i * 104729 % 100003) / 100.0 FROM n;
CREATE INDEX person_town ON person (town, born);
CREATE INDEX trade_seller ON trade (seller);
CREATE VIRTUAL TABLE words USING fts5(body);
INSERT INTO words SELECT name || ' of ' || town FROM person WHERE id % 4 = 0;
SELECT town, count(*), min(born), max(length(notes)) FROM person GROUP BY town ORDER BY town;
SELECT p.town, q.town, printf('%.2f', sum(t.amount)) FROM trade t JOIN person p ON p.id = t.seller
    JOIN person q ON q.id = t.buyer GROUP BY 1, 2 HAVING count(*) > 8 ORDER BY 3 DESC, 1, 2 LIMIT 200;
SELECT name, row_number() OVER (PARTITION BY town ORDER BY born, id) FROM person WHERE id % 501 = 0;
SELECT count(*) FROM words WHERE words MATCH 'town5 OR name77';
SELECT json_group_array(json_object('id', id, 'name', name)) FROM person WHERE id % 1009 = 0;
BEGIN; UPDATE person SET notes = notes || name WHERE id % 3 = 0; DELETE FROM trade WHERE id % 5 = 0; COMMIT;
BEGIN; DELETE FROM person WHERE id % 2 = 0; ROLLBACK;
VACUUM;
PRAGMA integrity_check;
'''


def run_sqlite(run, _):
    """A generated database: joins, windows, full-text search, JSON, roll-back, vacuum."""
    yield 'answers', run('sqlite3', 'db', stdin=SQL)
    yield 'dump', hashlib.sha256(run('sqlite3', 'db', '.dump').encode()).hexdigest()


def run_git(run, _):
    """A repository made from nothing, cloned through the pack protocol, repacked and read."""
    when = {f'GIT_{who}_{what}': value for who in ('AUTHOR', 'COMMITTER') for what, value in
            (('NAME', 'A Cooper'), ('EMAIL', 'cooper@example.org'), ('DATE', '2020-07-17T12:00:00Z'))}
    when.update(GIT_CONFIG_NOSYSTEM='1', GIT_CONFIG_GLOBAL='/dev/null', GIT_TERMINAL_PROMPT='0')

    def git(*words, at='clone'):
        return run('git', '-C', at, '-c', 'protocol.file.allow=always', '-c', 'pack.threads=2', *words,
                   env=when)

    git('init', '-q', '-b', 'main', 'origin', at='.')
    for version in range(12):
        for number in range(version % 4, 120, 4):
            run.write(f'origin/d{number % 9}/f{number}.txt',
                      ''.join(f'line {i * number} of version {version * (i % 13 == 0)}\n'
                              for i in range(number * 3 + version)))
        git('add', '-A', at='origin')
        git('commit', '-q', '-m', f'version {version}', at='origin')
        if version == 5:
            git('tag', '-a', '-m', 'half', 'half', at='origin')
    git('clone', '-q', '--no-local', 'origin', 'clone', at='.')
    git('repack', '-q', '-a', '-d', '-f', '--depth=20', '--window=20')
    git('checkout', '-q', '-b', 'side', 'half')
    run.write('clone/d1/f1.txt', 'another line\n')
    git('commit', '-q', '-a', '-m', 'side')
    git('merge', '-q', '-s', 'ort', '-X', 'ours', '-m', 'merged', 'main')
    yield 'history', git('log', '--graph', '--stat', '--format=%H %T %s')
    yield 'files', git('ls-tree', '-r', 'HEAD')
    yield 'differences', git('diff', '-M', 'half', 'HEAD')
    yield 'blame', git('blame', '-s', 'd5/f113.txt')
    yield 'grep', git('grep', '-n', 'line 11[0-9]* ')
    yield 'archive', hashlib.sha256(git('archive', '--format=tar', 'HEAD').encode()).hexdigest()
    yield 'fsck', git('fsck', '--full', '--strict')


def run_threads(run, binary):
    """A C++ program whose threads free what others allocated, and that forks meanwhile."""
    yield 'output', run(binary, timeout=120)


def run_exhaust(run, binary):
    """A program that uses up the address space that it may have, and goes on."""
    yield 'output', run(binary, timeout=120)


def run_busybox(run, _):
    """Debian's 32-bit busybox: awk with a large table, sort, gzip, diff, a shell's loops."""
    run.write('words', ''.join(f'{i * 7919 % 99991} word{i % 977} {"x" * (i % 61)}\n' for i in range(60000)))
    run.write('old', ''.join(f'line {i * i % 997}\n' for i in range(4000)))
    run.write('new', ''.join(f'line {i * i % 997 + (i % 50 == 0)}\n' for i in range(4000)))
    awk = '{ n[$2] += $1; l[NR % 5000] = $0 } END { for (w in n) print w, n[w]; for (i in l) t += length(l[i]); print t }'
    yield 'sort', hashlib.sha256(run('busybox', 'sort', '-n', '-k1', 'words').encode()).hexdigest()
    yield 'awk', ''.join(sorted(run('busybox', 'awk', awk, 'words').splitlines(True)))
    run('busybox', 'sh', '-c', 'busybox gzip -c words >words.gz && busybox gunzip -c words.gz >words.back')
    yield 'gzip', run.digest('words.gz', 'words.back')
    yield 'diff', run('busybox', 'sh', '-c', 'busybox diff old new; test $? -eq 1')
    yield 'shell', run('busybox', 'sh', '-c', 'i=0; s=; while [ $i -lt 3000 ]; do s="$s.$i"; i=$((i + 1)); done; '
                       'echo ${#s}; echo "$s" | busybox tr . "\\n" | busybox sed -n "s/77/_/gp"')


def difference(want, got):
    """The first lines that differ."""
    want, got = want.split('\n'), got.split('\n')
    for at in range(max(len(want), len(got))):
        a = want[at] if at < len(want) else '(nothing)'
        b = got[at] if at < len(got) else '(nothing)'
        if a != b:
            return [f'line {at + 1} on glibc: {a[:900]}', f'line {at + 1} here: {b[:900]}']
    return []


def outputs(program, prefix, folder, binary):
    """What the program yields, in order, and why it stopped if it failed."""
    found, run = {}, Run(prefix, folder)
    try:
        for name, text in program(run, binary):
            found[name] = text
    except Failed as failure:
        return found, str(failure)
    if 'STATS' in prefix and not left_statistics(run):
        return found, 'no process left statistics: was it the allocator under test?'
    return found, None


def main():
    name, scratch, binary, *rest = sys.argv[1:]
    binary = os.path.abspath(binary)
    program, tap = globals()['run_' + name], Tap()
    folder = os.path.join(os.path.abspath(scratch), name)  # one for all runs: objects name it
    want, trouble = outputs(program, [], folder, binary)
    if not tap.check(trouble is None and want, f'{name} on glibc', (trouble or '').split('\n')):
        tap.done()
    for shape, prefix in ((word.partition('=')[0], shlex.split(word.partition('=')[2])) for word in rest):
        start = time.monotonic()
        got, trouble = outputs(program, prefix, folder, binary)
        for case in want:
            if case in got:
                tap.check(got[case] == want[case], f'{name} {shape} {case}',
                          difference(want[case], got[case]))
        tap.check(trouble is None and set(got) == set(want), f'{name} {shape} to its end',
                  (trouble or f'yields {set(want) ^ set(got)}').split('\n'))
        print(f'# {name} {shape}: {time.monotonic() - start:.1f} s')
    tap.done()


if __name__ == '__main__':
    main()
