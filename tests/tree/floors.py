"""No room includes a header of a floor above its own, and the core includes no header of libc.

usage: floors.py SOURCE_ROOT
"""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
from tap import Tap

FLOORS = ['base', 'machine', 'sync', 'page', 'smr', 'uma', 'vmem', 'kmem', 'malloc', 'start', 'stats']
# Public headers belong to the floor that implements them; the others are every floor's.
PUBLIC = {'uma.h': 'uma', 'vmem.h': 'vmem', 'kmem.h': 'kmem', 'malloc.h': 'malloc', 'smr.h': 'smr'}
FREESTANDING = {'stdarg.h', 'stdbool.h', 'stddef.h', 'stdint.h', 'limits.h'}
HOSTED = ('src/machine/posix/', 'src/machine/sim/', 'src/malloc/front/', 'src/stats/posix/')
# The libc front is a program of its own on top of the house, kept with malloc.
ON_TOP = ('src/malloc/front/',)


def sources(root):
    for folder, _, names in os.walk(os.path.join(root, 'src')):
        for name in sorted(names):
            if name.endswith(('.c', '.h', '.S')):
                yield os.path.relpath(os.path.join(folder, name), root)


def includes(path):
    with open(path) as file:
        for number, line in enumerate(file, 1):
            if match := re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line):
                yield number, match[1] == '<', match[2]


def floor_of(header, system, path):
    """Floor of an included header; None for one that is not the house's."""
    if header.startswith('cooper/'):
        return PUBLIC.get(header[len('cooper/'):], 'base')
    if header == 'machine_param.h':
        return 'base'  # constants only
    if header.startswith('machine_'):
        return 'machine'
    first = header.split('/')[0]
    if '/' in header and first in FLOORS:
        return first
    if not system and '/' not in header:
        return path.split('/')[1]  # a neighbour in the same folder
    return None


def upward(path, line, system, header):
    here, there = path.split('/')[1], floor_of(header, system, path)
    if there is None:
        if path.startswith(HOSTED) or header in FREESTANDING:
            return None
        return f'{path}:{line}: {header} is not freestanding'
    if FLOORS.index(there) > FLOORS.index(here) and not path.startswith(ON_TOP):
        return f'{path}:{line}: {here} includes {header} of {there}, a floor above'
    return None


def main():
    root, tap = sys.argv[1], Tap()
    files, wrong = 0, []
    for path in sources(root):
        files += 1
        for line, system, header in includes(os.path.join(root, path)):
            if complaint := upward(path, line, system, header):
                wrong.append(complaint)
    tap.check(files > 10, 'the_sources_are_there', [f'{files} files under {root}/src'])
    tap.check(not wrong, 'no_room_looks_up', wrong)
    tap.check(upward('src/uma/zone.c', 1, False, 'vmem/vmem_int.h') is not None and
              upward('src/uma/zone.c', 1, True, 'cooper/kmem.h') is not None and
              upward('src/vmem/vmem.c', 1, True, 'string.h') is not None and
              upward('src/vmem/vmem.c', 1, False, 'uma/backend.h') is None,
              'a_look_up_would_be_seen')
    tap.done()


main()
