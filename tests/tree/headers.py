"""Every header compiles alone; the public ones also as strict C11 and as C++, freestanding or not.

usage: headers.py SOURCE_ROOT CC CXX
"""

import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
from tap import Tap

STRICT = ['-Wall', '-Wextra', '-Wpedantic', '-Wstrict-prototypes', '-Wmissing-prototypes', '-Werror']


def headers(root, top):
    for folder, _, names in os.walk(os.path.join(root, top)):
        yield from (os.path.join(folder, name) for name in sorted(names) if name.endswith('.h'))


def compiles(command, header, before=''):
    """An empty translation unit that includes the header twice."""
    text = f'{before}#include "{header}"\n#include "{header}"\n'
    done = subprocess.run([*command, '-fsyntax-only', '-'], input=text, capture_output=True, text=True)
    return done.returncode == 0, done.stderr.splitlines()[:12]


def main():
    root, cc, cxx = sys.argv[1], sys.argv[2].split(), sys.argv[3].split()
    include = ['-I' + os.path.join(root, folder) for folder in ('include', 'src')]
    posix = ['-I' + os.path.join(root, 'src/machine/posix')]
    lab = ['-DCOOPER_LAB', *('-I' + os.path.join(root, folder) for folder in ('src/machine/sim', 'lab', '.'))]
    # Those of bare metal compile for their own width, on a host that has the compiler for it.
    bare = {where: [width, '-ffreestanding', '-mgeneral-regs-only',
                    *('-I' + os.path.join(root, 'src/machine', folder) for folder in ('x86', machine))]
            for where, width, machine in (('src/machine/i386/', '-m32', 'i386'),
                                          ('src/machine/amd64/', '-m64', 'amd64'),
                                          ('src/machine/x86/', '-m64', 'amd64'))}
    tap = Tap()
    for header in [*headers(root, 'src'), *headers(root, 'lab')]:
        name = os.path.relpath(header, root)
        machine = lab if name.startswith(('src/machine/sim/', 'lab/')) else posix
        for where, options in bare.items():
            if name.startswith(where):
                machine = options
        if machine[0].startswith('-m') and os.uname().machine != 'x86_64':
            continue
        ok, why = compiles([*cc, '-std=gnu17', '-Wall', '-Wextra', '-Werror', *include, *machine, '-xc'],
                           header)
        tap.check(ok, name, why)
    for header in headers(root, 'include'):
        name = os.path.relpath(header, root)
        for how, command in (
                ('C11', [*cc, '-std=c11', *STRICT, include[0], '-xc']),
                ('freestanding C17', [*cc, '-std=c17', '-ffreestanding', *STRICT, include[0], '-xc']),
                ('C++14', [*cxx, '-std=c++14', '-Wall', '-Wextra', '-Werror', include[0], '-xc++'])):
            ok, why = compiles(command, header)
            tap.check(ok, f'{name} as {how}', why)
    tap.done()


main()
