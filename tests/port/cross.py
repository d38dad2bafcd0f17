"""The freestanding core compiles for other CPUs, and needs nothing but the machine table there.

usage: cross.py SOURCE_ROOT SCRATCH

With Debian's cross compilers: the rooms' files one by one, and the one file. Debian's packages of
the whole compiler exclude those for 32-bit x86; so the compiler proper and the assembler are called by
themselves.
"""

import os
import re
import sys
from concurrent.futures import ThreadPoolExecutor

from port import ANY, COMPILER_CALLS, STRICT, amalgamate, machine_table, nm, run, surprises
from tap import Tap

# Options that the compiler's driver would add, and what there is no instruction for.
TARGETS = {'aarch64-linux-gnu': (['-mno-outline-atomics'], set()),
           'riscv64-linux-gnu': (['-march=rv64gc', '-mabi=lp64d', '-mcmodel=medany'],
                                 {'__clzdi2', '__ctzdi2', '__ffsdi2', '__popcountdi2'})}
COMPILER = '/usr/lib/gcc-cross/{}/12/cc1'


def core_sources(root):
    for room in ('base', 'sync', 'page', 'smr', 'uma', 'vmem', 'kmem', 'malloc', 'start', 'stats'):
        with open(os.path.join(root, 'src', room, 'meson.build')) as file:
            listed = re.findall(r'core_src \+= files\((.*?)\)', file.read(), re.S)
        yield from (os.path.join(root, 'src', room, name) for text in listed
                    for name in re.findall(r"'([^']+)'", text))


def compile_one(target, level, source, out, includes):
    options = [word for word in STRICT if word != '-std=c17'] + ['-std=gnu17' if 'src/' in source else '-std=c17']
    ok, why = run([COMPILER.format(target), '-quiet', level, *TARGETS[target][0], *options,
                   *('-I' + path for path in includes), source, '-o', out + '.s'])
    return run([f'{target}-as', *([] if 'aarch64' in target else TARGETS[target][0][:2]), out + '.s', '-o', out]) \
        if ok else (ok, why)


def check(tap, name, target, level, jobs, root):
    """Compile, see that all went well and that nothing foreign is wanted."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        done = list(pool.map(lambda job: compile_one(target, level, *job), jobs))
    wrong = [f'{os.path.basename(job[0])}: {line}' for job, (ok, why) in zip(jobs, done) if not ok for line in why]
    if not tap.check(not wrong, f'{name}: compiles without a warning', wrong[:12]):
        return
    objects = [job[1] for job in jobs]
    found = surprises(objects, machine_table(root, ANY) | COMPILER_CALLS | TARGETS[target][1])
    tap.check(not found, f'{name}: needs the machine table only', found)
    defined = set().union(*(nm(path)[0] for path in objects))
    tap.check({'cooper_start', 'uma_zcreate', 'vmem_xalloc', 'kmem_malloc'} <= defined, f'{name}: is the core')


def main():
    root, scratch = sys.argv[1:]
    tap = Tap()
    one = amalgamate(root, os.path.join(scratch, 'one'))[1]
    rooms = [ANY, os.path.join(root, 'include'), os.path.join(root, 'src')]
    for target in TARGETS:
        out = os.path.join(scratch, target)
        os.makedirs(out, exist_ok=True)
        jobs = [(source, os.path.join(out, source[len(root):].strip('/').replace('/', '_') + '.o'), rooms)
                for source in core_sources(root)]
        check(tap, f'{target} -O2, {len(jobs)} files', target, '-O2', jobs, root)
        check(tap, f'{target} -Os, one file', target, '-Os',
              [(one, os.path.join(out, 'cooper.o'), [ANY, os.path.dirname(one)])], root)
    tap.done()


main()
