"""examples/kernel, built from the one file as its reader would, boots and does what it says.

usage: kernel.py SOURCE_ROOT SCRATCH

Needs gcc that makes 32-bit code, with its libgcc, and qemu-system-i386; clang too if it is there.
"""

import glob
import os
import re
import shutil
import sys

from port import amalgamate, run
from tap import Tap

LIMIT = 300  # lines in all: C, assembler and link script
OPTIONS = ['-m32', '-march=i686', '-mno-sse', '-std=c17', '-Wall', '-Werror', '-ffreestanding',
           '-fno-strict-aliasing', '-fno-stack-protector', '-fno-pic', '-nostdlib', '-static', '-no-pie',
           '-Wl,--build-id=none,--no-warn-rwx-segments']
COMPILERS = {'gcc': ['gcc', '-fno-tree-loop-distribute-patterns'], 'clang': ['clang', '-fno-builtin', '-Wno-unused-command-line-argument']}
GOOD, PANIC = 33, 37  # what the emulator ends with: twice 0x10 plus the kernel's status, and one


def build(folder, one, compiler, level, image):
    sources = sorted(glob.glob(os.path.join(folder, '*.[cS]')))
    libgcc = ['gcc', '-m32', '-print-libgcc-file-name']
    ok, path = run(libgcc)
    if not ok:
        return ok, path
    return run([*COMPILERS[compiler], level, *OPTIONS, '-I' + folder, '-I' + one, *sources,
                os.path.join(one, 'cooper.c'), path[0], '-T', os.path.join(folder, 'link.ld'), '-o', image])


def boot(image, megabytes):
    """(status, what it said)."""
    log = image + '.log'
    command = ['timeout', '60', 'qemu-system-i386', '-M', 'pc', '-kernel', image, '-m', str(megabytes), '-display',
               'none', '-monitor', 'none', '-serial', 'file:' + log, '-no-reboot', '-device',
               'isa-debug-exit,iobase=0xf4,iosize=4']
    ok, said = run(['sh', '-c', '"$@" </dev/null; echo status $?', 'sh', *command])
    with open(log, errors='replace') as file:
        return int(said[-1].split()[1]) if ok else -1, file.read()


def numbers(pattern, said):
    match = re.search(pattern, said)
    return [int(word, 16 if word.startswith(('d', '0x')) else 10) for word in match.groups()] if match else []


def check_life(tap, name, image, megabytes, what):
    """A run to its end; `what` must be what runs out first."""
    status, said = boot(image, megabytes)
    tail = said.splitlines()[-12:]
    if not tap.check(status == GOOD, f'{name}: to its end', [f'status {status}', *tail]):
        return
    tap.check(f'memory: 400000 to {megabytes * 0x100000 - 0x20000:x}' in said, f'{name}: the loader\'s memory map', tail)
    tap.check(re.search(r'(?m)^zone: 500 inodes, the first at 0xd0', said), f'{name}: a zone, in the window', tail)
    tap.check('arena: interrupts 36 to 39' in said, f'{name}: an arena, constrained', tail)
    taken = numbers(rf'pressure: {what} ran out after (\d+) KiB', said)
    room = min(16, megabytes - 4) * 1024
    tap.check(taken and room * 3 // 4 < taken[0] < room, f'{name}: {what} runs out, not early', tail)
    came = numbers(r'pressure: 256 KiB at 0x(d[0-9a-f]+), for which (\d+) KiB came back', said)
    tap.check(came and came[1] >= 256, f'{name}: a request that waits makes it come back', tail)
    zone = re.search(r'(?m)^inode +200 +0 +500 +(\d+) +1000 +0 +0', said)
    tap.check(zone, f'{name}: the table of zones', tail)
    arena = re.search(r'(?m)^irq +- +1 +16 +4 +12 ', said)
    tap.check(arena and re.search(r'(?m)^kernel arena +- ', said), f'{name}: the table of arenas', tail)


def main():
    root, scratch = sys.argv[1:]
    folder, one, tap = os.path.join(root, 'examples', 'kernel'), os.path.join(scratch, 'one'), Tap()
    amalgamate(root, one)
    count = 0
    for path in glob.glob(os.path.join(folder, '*')):
        with open(path) as file:
            count += len(file.readlines())
    tap.check(150 < count < LIMIT, 'the kernel is short', [f'{count} lines'])
    for compiler, level in (('gcc', '-Os'), ('gcc', '-O2'), ('clang', '-O2')):
        if shutil.which(compiler) is None:
            continue
        name, image = f'{compiler} {level}', os.path.join(scratch, f'kernel-{compiler}{level}.elf')
        ok, why = build(folder, one, compiler, level, image)
        if not tap.check(ok, f'{name}: builds without a warning', why):
            continue
        check_life(tap, f'{name}, 64 MiB', image, 64, 'address space')
        check_life(tap, f'{name}, 12 MiB', image, 12, 'memory')
        for megabytes, why in ((4, r'cannot start: physmem 0: .* need at least'),
                               (3000, r'cannot start: no room for the page array')):
            status, said = boot(image, megabytes)
            tap.check(status == PANIC and re.search(why, said), f'{name}, {megabytes} MiB: says why not',
                      [f'status {status}', *said.splitlines()[-4:]])
    tap.done()


main()
