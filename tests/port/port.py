"""What the tests of ports share: the one file, and which symbols it may leave to a port."""

import glob
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path += [os.path.join(HERE, '..'), os.path.join(HERE, '..', 'symbols')]
from objects import declared, nm

ANY = os.path.join(HERE, 'any')
COMPILER_CALLS = {'memcpy', 'memmove', 'memset', 'memcmp'}
STRICT = ['-std=c17', '-ffreestanding', '-fno-strict-aliasing', '-Wall', '-Wextra', '-Wstrict-prototypes', '-Werror']


def amalgamate(root, out):
    subprocess.run([sys.executable, os.path.join(root, 'scripts', 'amalgamation.py'), root, out], check=True)
    return [os.path.join(out, name) for name in ('cooper.h', 'cooper.c')]


def machine_table(root, *folders):
    """Names that machine.h, percpu.h and a port's headers declare."""
    headers = [os.path.join(root, 'src', 'machine', name) for name in ('machine.h', 'percpu.h')]
    for folder in folders:
        headers += glob.glob(os.path.join(folder, 'machine*.h'))
    return declared(headers)


def run(command, **options):
    """(it went well, its last lines)."""
    done = subprocess.run(command, capture_output=True, text=True, **options)
    return done.returncode == 0, (done.stdout + done.stderr).splitlines()[:12]


def surprises(objects, allowed):
    """Symbols that the objects need from outside and may not, with who needs them."""
    defined, wanted = set(), {}
    for path in objects:
        here, needs = nm(path)
        defined |= here
        for name in needs:
            wanted.setdefault(name, set()).add(os.path.basename(path))
    return [f"{name}, wanted by {', '.join(sorted(where))}" for name, where in sorted(wanted.items())
            if name not in defined | allowed]
