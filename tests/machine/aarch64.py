"""The restartable sequences for aarch64: they assemble, and keep the rules that x86-64's keep.

usage: aarch64.py CLANG SOURCE_ROOT

The files that have them are compiled for that machine; no libc is needed. In what comes out each
sequence is read.
"""

import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
from tap import Tap

FILES = {'src/uma/cache.c': 4, 'src/uma/smrzone.c': 2}  # and at least so many sequences
DESCRIPTOR = re.compile(r'\.section\s+__rseq_cs.*?\.xword\s+(\S+)\n\s*\.xword\s+(\S+)-\1\n\s*\.xword\s+(\S+)', re.S)


def sequences(text):
    """The instructions of each: those between the two labels that its descriptor names."""
    for start, end, _ in DESCRIPTOR.findall(text):
        body = re.search(rf'^{re.escape(start)}:\n(.*?)^{re.escape(end)}:', text, re.S | re.M)[1]
        yield [line.split('//')[0].strip() for line in body.splitlines() if line.split('//')[0].strip()]


def keeps_the_rules(lines):
    """The word is read with acquire; nothing is called; the last instruction stores it, and no other does."""
    word = next((re.search(r'\[(\w+)\]', line)[1] for line in lines if line.startswith('ldar')), None)
    commits = [line for line in lines if re.match(rf'str\s+\w+, \[{word}\]$', line)]
    return (word is not None and commits == lines[-1:] and
            not any(re.match(r'(bl|blr|svc|ret)\b', line) for line in lines))


def main():
    clang, root = sys.argv[1:]
    tap = Tap()
    for name, least in FILES.items():
        done = subprocess.run([clang, '--target=aarch64-linux-gnu', '-std=gnu17', '-O2', '-ffreestanding',
                               '-Wall', '-Wextra', '-Werror', '-S', '-o', '-',
                               *('-I' + os.path.join(root, f) for f in ('include', 'src', 'src/machine/posix')),
                               os.path.join(root, name)], capture_output=True, text=True, timeout=60)
        tap.check(done.returncode == 0, f'{name} compiles', done.stderr.splitlines()[:10])
        found = list(sequences(done.stdout))
        tap.check(len(found) >= least, f'{name} has sequences', [f'{len(found)}'])
        wrong = [line for lines in found if not keeps_the_rules(lines) for line in [*lines, '']]
        tap.check(not wrong, f'{name} keeps the rules', wrong)
        asked = [clang, '--target=aarch64-linux-gnu', '-c', '-x', 'assembler', '-', '-o', os.devnull]
        done = subprocess.run(asked, input=done.stdout, capture_output=True, text=True, timeout=60)
        tap.check(done.returncode == 0, f'{name} assembles', done.stderr.splitlines()[:10])
    tap.done()


main()
