#!/usr/bin/python3
"""How large the core is and what it takes: a line `NAME VALUE UNIT` for each figure.

usage: footprint.py SOURCE_ROOT SCRATCH

The core in one file, -Os for i386: with everything; without what only statistics need. Then, booted in
QEMU on the machine of examples/kernel, stacks as deep as they were seen to go, and start-up's memory, for
64 MiB of memory and a window of 16 MiB. Needs gcc that makes 32-bit code, and qemu-system-i386.
"""

import glob
import os
import re
import subprocess
import sys

OPTIONS = ['-m32', '-march=i686', '-mno-sse', '-std=c17', '-ffreestanding', '-fno-strict-aliasing',
           '-fno-stack-protector', '-fno-pic', '-fno-asynchronous-unwind-tables', '-fno-tree-loop-distribute-patterns',
           '-Os']
LINK = ['-nostdlib', '-static', '-no-pie', '-Wl,--build-id=none,--no-warn-rwx-segments']
FIGURE = re.compile(r'(?m)^((?:stack|start)_\w+ \d+ \w+)\r?$')


def run(command, **options):
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, **options)
    return done


def must(command):
    done = run(command)
    if done.returncode != 0:
        sys.exit(f'footprint: {command[0]}: {(done.stderr.strip() or "failed").splitlines()[-1]}')
    return done.stdout


def size(path):
    text, data, bss = must(['size', path]).splitlines()[1].split()[:3]
    return int(text), int(data) + int(bss)


def main():
    root, scratch = sys.argv[1], os.path.join(os.path.abspath(sys.argv[2]), 'footprint')
    kernel, image = os.path.join(root, 'examples', 'kernel'), os.path.join(scratch, 'measure.elf')
    must([sys.executable, os.path.join(root, 'scripts', 'amalgamation.py'), root, scratch])
    core, public = os.path.join(scratch, 'cooper.o'), os.path.join(scratch, 'public.o')
    include = ['-I' + kernel, '-I' + scratch]
    must(['gcc', *OPTIONS, *include, '-ffunction-sections', '-fdata-sections', '-c', core[:-1] + 'c', '-o', core])
    text, data = size(core)
    print(f'i386_footprint_core {text + data} B')
    print(f'i386_footprint_core_text {text} B\ni386_footprint_core_data {data} B')

    # What the public interface leads to: what only tables and snapshots need is left out.
    names = set()
    for path in glob.glob(os.path.join(root, 'include', 'cooper', '*.h')):
        with open(path) as file:
            names |= set(re.findall(r'\b(\w+)\(', file.read()))
    roots = sorted(names & set(re.findall(r' T (\w+)', must(['nm', core]))))
    must(['ld', '-m', 'elf_i386', '-r', '--gc-sections', *('-u' + name for name in roots), core, '-o', public])
    print(f'i386_footprint_public {sum(size(public))} B')

    libgcc = must(['gcc', '-m32', '-print-libgcc-file-name']).strip()
    must(['gcc', *OPTIONS, *LINK, *include, os.path.join(kernel, 'start.S'), os.path.join(kernel, 'machine.c'),
          os.path.join(root, 'tests', 'port', 'measure.c'), core, libgcc, '-T', os.path.join(kernel, 'link.ld'),
          '-o', image])
    said = run(['qemu-system-i386', '-M', 'pc', '-kernel', image, '-m', '64', '-display', 'none', '-monitor', 'none',
                '-serial', 'stdio', '-no-reboot', '-device', 'isa-debug-exit,iobase=0xf4,iosize=4'],
               stdin=subprocess.DEVNULL)
    if said.returncode != 33:
        sys.exit(f'footprint: the measuring kernel ended with {said.returncode}: ' + said.stdout.strip().split('\n')[-1])
    print('\n'.join('i386_' + line for line in FIGURE.findall(said.stdout)))


main()
