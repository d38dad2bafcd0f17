"""Small real programs under LD_PRELOAD in both shapes, compared with what they do on glibc's malloc;
what the library exports and needs; how it refuses bad options.

usage: programs.py LIBRARY TEST_FRONT [programs] [loading]

Without `programs` no program of the system is run: a 32-bit library cannot be put into them. Without
`loading` nobody asks how many pages the loader writes to: clang makes tables of pointers of switches,
sanitizers of much else.
"""

import os
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..'))
from tap import Tap

LIBRARY, FRONT = (os.path.abspath(path) for path in sys.argv[1:3])
SHAPES = ['shape=amd64', 'shape=i386', 'shape=i386,physmem=64M,debug', 'shape=amd64,debug',
          'shape=i386,physmem=64M,daemon', 'shape=amd64,cpus=4,domains=2']
C_FILE = '#include <stdio.h>\n#include <stdlib.h>\nint main(void) { puts("built"); return (0); }\n'
PROGRAMS = {
    'true': ['/bin/true'],
    'ls': ['/bin/ls', '-la', '/usr/bin'],
    'sh': ['/bin/sh', '-c', 'for i in 1 2 3; do (echo $i | cat); done; ls /etc | sort | head -5'],
    'bash': ['/bin/bash', '-c', 'a=(); for i in {1..3000}; do a+=("item $i"); done; echo ${#a[@]} '
             '${a[2999]}; x=$(for i in {1..50}; do (echo $i); done | sort -n | tail -1); echo $x'],
    'python': ['/usr/bin/python3', '-c', 'import json, collections, ctypes, subprocess\n'
               'd = {str(i): list(range(i % 50)) for i in range(3000)}\n'
               's = json.dumps(d); assert json.loads(s) == d; print(len(s))\n'
               'print(sum(len(x) for x in [b"x" * n for n in range(3000)]))\n'
               'print(subprocess.run(["/bin/echo", "child"], capture_output=True).stdout)'],
    'gcc': ['/usr/bin/gcc', '-x', 'c', '-O2', '-c', '-', '-o', '/dev/null'],
    'sort': ['/usr/bin/sort', '-r', '/etc/services'],
    'find': ['/usr/bin/find', '/usr/share/doc', '-maxdepth', '1', '-name', 'lib*'],
}


def run(command, options=None, preload=True, stdin=''):
    env = {'PATH': '/usr/bin:/bin', 'LC_ALL': 'C', 'HOME': '/nonexistent'}
    if options is not None:
        env['COOPER_OPTIONS'] = options
    if preload:
        env['LD_PRELOAD'] = LIBRARY
    return subprocess.run(command, env=env, input=stdin, capture_output=True, text=True, timeout=120)


def programs(tap):
    for name, command in PROGRAMS.items():
        stdin = C_FILE if name == 'gcc' else ''
        plain = run(command, preload=False, stdin=stdin)
        for shape in SHAPES:
            ours = run(command, shape, stdin=stdin)
            same = (ours.returncode, ours.stdout, ours.stderr) == \
                (plain.returncode, plain.stdout, plain.stderr)
            tap.check(same, f'{name} {shape}',
                      [f'exit {ours.returncode}', *(ours.stdout + ours.stderr)[-800:].splitlines()])


def refusals(tap):
    for options in ['shape=vax', 'physmem=lots', 'cpus=0', 'nonsense', 'cpus=2,domains=3',
                    'physmem=1M,kva=1M,cpus=64']:
        done = run([FRONT, 'it_is_cooper'], options, preload=False)
        line = re.fullmatch(r'libcooper-malloc: [^\n]+\n', done.stderr)
        tap.check(done.returncode == 2 and done.stdout == '' and line, f'refuses {options}',
                  [f'exit {done.returncode}', *(done.stdout + done.stderr).splitlines()])


def exports(tap):
    table = subprocess.run(['nm', '-D', '--defined-only', LIBRARY], capture_output=True, text=True,
                           check=True).stdout
    names = {line.split()[-1].split('@')[0] for line in table.splitlines()}
    family = {'malloc', 'calloc', 'realloc', 'reallocarray', 'free', 'free_sized',
              'free_aligned_sized', 'cfree', 'posix_memalign', 'aligned_alloc', 'memalign', 'valloc',
              'pvalloc', 'malloc_usable_size', 'malloc_trim', 'mallinfo', 'mallinfo2', 'malloc_info',
              'malloc_stats', 'mallopt'}
    others = {name for name in names - family
              if not re.match(r'_Zn[wa]|_Zd[la]Pv|_ZdaPv|__libc_|__posix_memalign$', name)}
    tap.check(family <= names, 'exports the family', [str(family - names)])
    tap.check(len([n for n in names if n.startswith('_Z')]) == 20, 'exports 20 operators')
    tap.check(others == {'_exit', '_Exit', 'execve', 'execv', 'execvp', '__register_atfork', 'cooper_stats_root'},
              'exports little else', [str(others)])
    needed = subprocess.run(['readelf', '-dW', LIBRARY], capture_output=True, text=True,
                            check=True).stdout
    tap.check(not re.search('stdc[+][+]|libc[+][+]|libgcc_s', needed), 'needs no C++ library',
              needed.splitlines())
    tap.check('NODELETE' in needed, 'is never unloaded')


def loading_is_cheap(tap):
    """Each process pays for the pages that the loader writes to, whether it allocates or not."""
    words = subprocess.run(['readelf', '-rW', LIBRARY], capture_output=True, text=True, check=True).stdout
    parts = subprocess.run(['readelf', '-lW', LIBRARY], capture_output=True, text=True, check=True).stdout
    written = [int(line.split()[0], 16) for line in words.splitlines() if re.match('[0-9a-f]+ ', line)]
    written += [int(place, 16) for place in re.findall(r'^ *DYNAMIC +\S+ (\S+)', parts, re.M)]
    load = re.findall(r'^ *LOAD +\S+ (\S+) +\S+ (\S+)', parts, re.M)
    written.append(int(load[-1][0], 16) + int(load[-1][1], 16))  # zeroed from here to the page's end
    pages = sorted({hex(place >> 12) for place in written})
    tap.check(len(written) > 100 and len(pages) == 1, 'the loader writes to one page', [str(pages)])
    tap.check(len(load) == 2 and 'RELRO' not in parts, 'it maps two parts and protects none', load)


def xml_is_xml(tap):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'info.xml')
        env = {**os.environ, 'CHECK_XML': path}
        subprocess.run([FRONT, 'malloc_info_is_xml'], env=env, stdout=subprocess.DEVNULL, check=True)
        root = xml.etree.ElementTree.parse(path).getroot()
    sizes = root.findall('heap/sizes/size')
    free = sum(int(size.get('total')) for size in sizes)
    told = int(root.find('heap/total[@type="fast"]').get('size'))
    tap.check(root.tag == 'malloc' and len(sizes) > 3, 'malloc_info is XML')
    tap.check(free <= told <= 2 * free + (1 << 20), 'malloc_info adds up', [f'{free} {told}'])


def main():
    tap = Tap()
    if 'programs' in sys.argv[3:]:
        programs(tap)
    refusals(tap)
    exports(tap)
    if 'loading' in sys.argv[3:]:
        loading_is_cheap(tap)
    xml_is_xml(tap)
    tap.done()


main()
