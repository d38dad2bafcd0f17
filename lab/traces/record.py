"""Run a command under strace and reduce what its processes do to a trace of kernel objects.

usage: record.py -o FILE [--source TEXT] -- COMMAND...

FILE is written as a whole, at the end, or not at all. Its format: README.md beside this file. Exit
status: 0; 1 if the command failed or did something that the format has no words for; 2 for usage.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile

CALLS = ('fork,vfork,clone,clone3,execve,exit_group,exit,open,openat,creat,close,mmap,munmap,mremap,'
         'mprotect,brk,pipe,pipe2,read,write,pread64,pwrite64,readv,writev,dup,dup2,dup3,fcntl,'
         'stat,lstat,newfstatat,statx,access,faccessat,faccessat2,readlink,readlinkat,unlink,'
         'unlinkat,rename,renameat,renameat2,mkdir,mkdirat,chdir,chmod,fchmodat,utimensat,wait4,waitid')
FORKS = {'fork', 'vfork', 'clone', 'clone3'}
LOOKUPS = {'stat', 'lstat', 'newfstatat', 'statx', 'access', 'faccessat', 'faccessat2', 'readlink',
           'readlinkat', 'unlink', 'unlinkat', 'rename', 'renameat', 'renameat2', 'mkdir',
           'mkdirat', 'chdir', 'chmod', 'fchmodat', 'utimensat'}
PAGE = 4096
# Where a recorded address space is put in one of 3 GiB, in pages: its heap, and the top of its maps.
HEAP, TOP, END = 0x10000, 0xb0000, 0xc0000
MAX_FD = 255


class Damaged(Exception):
    pass


# ---- strace's lines -> calls -------------------------------------------------------------------------


class Call:
    def __init__(self, pid, name, args, result, start, end):
        self.pid, self.name, self.args, self.result = pid, name, args, result
        self.start, self.end = start, end  # line numbers: strace's order of time
        value = re.match(r'0x[0-9a-f]+|-?\d+', result)
        self.value = int(value[0], 0) if value else None
        self.failed = self.value is None or (self.value < 0)


def split_arguments(text):
    """The arguments of a call, at its top level's commas."""
    out, depth, quoted, start, i = [], 0, False, 0, 0
    while i < len(text):
        c = text[i]
        if quoted:
            if c == '\\':
                i += 1
            elif c == '"':
                quoted = False
        elif c == '"':
            quoted = True
        elif c in '([{':
            depth += 1
        elif c in ')]}':
            depth -= 1
        elif c == ',' and depth == 0:
            out.append(text[start:i].strip())
            start = i + 1
        i += 1
    return out + [text[start:].strip()] if text.strip() else []


def read_calls(path):
    """Calls in the order of their ends, and a ('+++', pid) for each end of a process."""
    begun, calls = {}, []
    with open(path, errors='replace') as file:
        for number, line in enumerate(file):
            pid, rest = line.rstrip('\n').split(None, 1)
            pid = int(pid)
            if rest.startswith('+++'):
                calls.append(Call(pid, '+++', [], '0', number, number))
                continue
            start = number
            if match := re.match(r'(\w+)\((.*) <unfinished \.\.\.>$', rest):
                begun[pid] = match[1], match[2], number
                continue
            if match := re.match(r'<\.\.\. (\w+) resumed>(.*)$', rest):
                name, head, start = begun.pop(pid)
                rest = f'{name}({head}{match[2]}'
            if match := re.match(r'(\w+)\((.*)\)\s+= (.*)$', rest):
                calls.append(Call(pid, match[1], split_arguments(match[2]), match[3], start, number))
    return calls


# ---- what a process has ------------------------------------------------------------------------------


class Process:
    def __init__(self, number, leader=None):
        self.number = number
        self.fds = {} if leader is None else dict(leader.fds)  # fd -> close on exec?
        self.heap = None if leader is None else leader.heap    # (first page, end in bytes)
        self.top = None if leader is None else leader.top      # the recording's page of TOP
        self.children = []  # not yet reaped
        self.threads = 0    # besides the first
        self.vfork_parent = None


class Reducer:
    """Calls in, lines of the trace out. Numbers for processes and paths go by first appearance."""

    def __init__(self):
        self.lines, self.paths, self.count = [], {}, 0
        self.process, self.thread = {}, {}  # by pid; a thread's pid -> its process

    def say(self, process, op, *words):
        self.lines.append(' '.join([str(process.number), op, *map(str, words)]))

    def path(self, text):
        return self.paths.setdefault(os.path.normpath(text), len(self.paths))

    def new_process(self, pid, leader=None):
        self.process[pid] = Process(self.count, leader)
        self.count += 1
        return self.process[pid]

    # -- names of files

    def path_argument(self, call, at=None):
        """The path of a call's first string, made whole with the directory that strace shows."""
        at = next((i for i, a in enumerate(call.args) if a.startswith('"')), None) if at is None else at
        if at is None:
            return None
        text, base = call.args[at].strip('"'), ''
        if at > 0 and (match := re.search(r'<(.*)>$', call.args[at - 1])):
            base = match[1]
        return os.path.join(base, text) if text or base else None

    def fd_argument(self, call, at=0):
        """(fd, the kind of what is behind it: 'file', 'pipe' or 'other', its path)."""
        match = re.match(r'(-?\d+)(?:<(.*)>)?', call.args[at])
        if not match:
            return -1, 'other', ''
        path = match[2] or ''
        kind = 'pipe' if path.startswith('pipe:') else 'file' if path.startswith('/') else 'other'
        return int(match[1]), kind, path

    # -- processes

    def fork(self, p, call, child):
        flags = ' '.join(call.args)
        if 'CLONE_THREAD' in flags:
            self.thread[child] = p
            p.threads += 1
            self.say(p, 't')
            return
        vfork = call.name == 'vfork' or 'CLONE_VM' in flags
        new = self.new_process(child, p)
        new.vfork_parent = p if vfork else None
        p.children.append(child)
        self.say(p, 'v' if vfork else 'f', new.number)

    def execve(self, p, call):
        strings = re.findall(r'"((?:[^"\\]|\\.)*)"', ''.join(call.args[1:3]))
        size = sum(len(re.sub(r'\\(x..|[0-7]{1,3}|.)', '.', s)) + 1 for s in strings)
        # Close-on-exec happens inside the call, before the new program's first.
        for fd in sorted(fd for fd, cloexec in p.fds.items() if cloexec):
            del p.fds[fd]
            self.say(p, 'c', fd)
        p.heap = p.top = None
        self.say(p, 'x', self.path(self.path_argument(call, 0)), size)

    def end(self, pid):
        if pid in self.thread:
            p = self.thread.pop(pid)
            p.threads -= 1
            self.say(p, 'e')
            return
        p = self.process[pid]
        # The children that nobody waited for are everybody's: the first process takes them at its end.
        first = next(iter(self.process.values()))
        orphans, p.children = p.children, []
        if p is first:
            for child in orphans:
                self.say(p, 'z', self.process[child].number)
        else:
            first.children += orphans
        self.say(p, 'q')

    def wait(self, p, call):
        if call.failed or call.value == 0 and call.name == 'wait4':
            return
        pid = call.value
        if call.name == 'waitid':
            match = re.search(r'si_pid=(\d+)', ' '.join(call.args))
            pid = int(match[1]) if match and 'WNOWAIT' not in ' '.join(call.args) else None
        if pid in p.children:
            p.children.remove(pid)
            self.say(p, 'z', self.process[pid].number)

    # -- address space

    def map_page(self, p, address):
        page = address // PAGE
        if p.heap is not None and p.heap[0] <= page < p.heap[0] + (TOP - HEAP) // 2:
            return HEAP + page - p.heap[0]
        if p.top is None:
            p.top = page + 16  # what comes above the first map of a program is small: its own image
        page = TOP + page - p.top
        return page if 0 < page < END else None

    def map(self, p, op, address, size, *more):
        page = self.map_page(p, address)
        if page is not None and size > 0:
            self.say(p, op, f'{page:x}', f'{-(-size // PAGE):x}', *more)

    def mmap(self, p, call):
        if call.failed:
            return
        _, kind, path = self.fd_argument(call, 4)
        if p.top is None:
            p.top = call.value // PAGE + 16
        more = [self.path(path)] if kind == 'file' and 'MAP_ANONYMOUS' not in call.args[3] else []
        self.map(p, 'm', call.value, int(call.args[1], 0), *more)

    def brk(self, p, call):
        if call.failed:
            return
        end = call.value
        if p.heap is None:
            p.heap = end // PAGE, end
        old, new = -(-p.heap[1] // PAGE), -(-end // PAGE)
        p.heap = p.heap[0], end
        if new > old:
            self.map(p, 'm', old * PAGE, (new - old) * PAGE)
        elif new < old:
            self.map(p, 'u', new * PAGE, (old - new) * PAGE)

    def mremap(self, p, call):
        if not call.failed:
            self.map(p, 'u', int(call.args[0], 0), int(call.args[1], 0))
            self.map(p, 'm', call.value, int(call.args[2], 0))

    # -- files

    def give_fd(self, p, fd, cloexec):
        if fd > MAX_FD:
            raise Damaged(f'process {p.number} has file {fd}, and the format ends at {MAX_FD}')
        if fd in p.fds:
            self.say(p, 'c', fd)
        p.fds[fd] = cloexec

    def open(self, p, call):
        if call.failed:
            name = self.path_argument(call)
            if name:
                self.say(p, 'n', self.path(name))
            return
        name = re.search(r'<(.*)>$', call.result)
        self.give_fd(p, call.value, any('O_CLOEXEC' in a for a in call.args))
        self.say(p, 'o', call.value, self.path(name[1] if name else self.path_argument(call)))

    def close(self, p, call):
        fd, _, _ = self.fd_argument(call)
        if not call.failed and fd in p.fds:
            del p.fds[fd]
            self.say(p, 'c', fd)

    def pipe(self, p, call):
        if call.failed:
            return
        ends = [int(n) for n in re.findall(r'(\d+)<', call.args[0])]
        for fd in ends:
            self.give_fd(p, fd, 'O_CLOEXEC' in ' '.join(call.args[1:]))
        self.say(p, 'i', *ends)

    def dup(self, p, call, cloexec=False):
        fd, _, _ = self.fd_argument(call)
        if call.failed or fd not in p.fds or call.value == fd:
            return
        self.give_fd(p, call.value, cloexec)
        self.say(p, 'd', fd, call.value)

    def fcntl(self, p, call):
        fd, _, _ = self.fd_argument(call)
        if call.failed or fd not in p.fds:
            return
        if call.args[1].startswith('F_DUPFD'):
            self.dup(p, call, 'CLOEXEC' in call.args[1])
        elif call.args[1] == 'F_SETFD':
            p.fds[fd] = 'FD_CLOEXEC' in call.args[2]

    def transfer(self, p, call):
        fd, _, _ = self.fd_argument(call)
        if not call.failed and fd in p.fds:
            op = 'w' if 'write' in call.name else 'r'
            self.say(p, op, fd, call.value)

    def lookup(self, p, call):
        name = self.path_argument(call)
        if name and 'AT_EMPTY_PATH' not in call.args[-1]:  # that asks about an open file
            self.say(p, 'n' if call.failed and 'ENOENT' in call.result else 'l', self.path(name))

    # -- all of it

    def begin(self, pid):
        first = self.new_process(pid)
        for fd in range(3):  # a console
            first.fds[fd] = False
            self.say(first, 'o', fd, self.path('/dev/console'))

    def take(self, call):
        if call.name == '+++':
            self.end(call.pid)
            return
        p = self.thread.get(call.pid) or self.process[call.pid]
        if call.name == 'execve':
            if not call.failed:
                self.execve(p, call)
        elif call.name in ('open', 'openat', 'creat'):
            self.open(p, call)
        elif call.name in ('wait4', 'waitid'):
            self.wait(p, call)
        elif call.name in ('pipe', 'pipe2'):
            self.pipe(p, call)
        elif call.name in ('dup', 'dup2', 'dup3'):
            self.dup(p, call, 'O_CLOEXEC' in ' '.join(call.args))
        elif call.name in ('read', 'write', 'pread64', 'pwrite64', 'readv', 'writev'):
            self.transfer(p, call)
        elif call.name in ('munmap', 'mprotect'):
            if not call.failed:
                self.map(p, {'munmap': 'u', 'mprotect': 'p'}[call.name],
                         int(call.args[0], 0), int(call.args[1], 0))
        elif call.name in LOOKUPS:
            self.lookup(p, call)
        elif call.name in ('mmap', 'brk', 'mremap', 'close', 'fcntl'):
            getattr(self, call.name)(p, call)


def reduce(calls):
    """A fork stands where it began: its child may run before it returns. All else where it ended."""
    out = Reducer()
    out.begin(calls[0].pid)
    forks = [c for c in calls if c.name in FORKS and not c.failed]
    order = [(c.start if c.name in FORKS else c.end, c) for c in calls]
    born = {c.value: c for c in forks}
    # strace may show a child's first call before the line at which its parent's began.
    first = {}
    for at, call in order:
        first.setdefault(call.pid, at)
    for i, (at, call) in enumerate(order):
        if call in forks:
            order[i] = min(at, first.get(call.value, at) - 0.5), call
    for _, call in sorted(order, key=lambda pair: pair[0]):
        if call.name in FORKS:
            if not call.failed and call.value in born:
                out.fork(out.thread.get(call.pid) or out.process[call.pid], call, call.value)
        else:
            out.take(call)
    return out


def record(command, log):
    tracer = ['strace', '-f', '-y', '-q', '-s', '99999', '-e', 'abbrev=!execve', '-e', 'signal=none',
              '-e', 'trace=' + CALLS, '-o', log, '--']
    try:
        return subprocess.run([*tracer, *command]).returncode
    except FileNotFoundError:
        raise Damaged('strace is not installed')


def main():
    parser = argparse.ArgumentParser(usage='record.py -o FILE [--source TEXT] -- COMMAND...')
    parser.add_argument('-o', dest='file', required=True)
    parser.add_argument('--source', help='what was recorded, for the header; default: the command')
    parser.add_argument('command', nargs='+')
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        log = os.path.join(folder, 'strace')
        if (status := record(args.command, log)) != 0:
            raise Damaged(f'{args.command[0]} ended with {status}')
        out = reduce(read_calls(log))
    header = ['cooper-trace 1', '# ' + (args.source or ' '.join(args.command)),
              f'processes {out.count}', f'paths {len(out.paths)}', f'events {len(out.lines)}']
    with open(args.file + '.new', 'w') as file:
        file.write('\n'.join([*header, *out.lines, 'end', '']))
    os.replace(args.file + '.new', args.file)


try:
    main()
except Damaged as why:
    print(f'record.py: {why}', file=sys.stderr)
    sys.exit(1)
