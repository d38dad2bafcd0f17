"""What the core needs from outside: nothing but the machine table.

usage: symbols.py CC CORE.a MACHINE.a INCLUDE... -- ARG...

Reads the archives with nm. The names that the core may leave undefined are those that the machine's
headers declare, the four memory functions that a freestanding compiler may call by itself,
and for 32 bit the compiler's own helpers that are named here.
"""

import glob
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
from tap import Tap
from objects import declared, nm

COMPILER_CALLS = {'memcpy', 'memmove', 'memset', 'memcmp'}
# Position-independent 32-bit x86 code finds its data through these; 64-bit division by a variable
# and the lowest bit of 64 have no instruction there.
HELPERS_32 = {'_GLOBAL_OFFSET_TABLE_', '__udivdi3', '__umoddi3', '__udivmoddi4', '__divdi3', '__moddi3',
              '__ctzdi2'}
HELPERS = {'_GLOBAL_OFFSET_TABLE_'}
MACHINE_HEADERS = ('machine*.h', 'percpu.h')


def surprises(archive, allowed):
    defined, undefined = nm(archive)
    return {name: where for name, where in undefined.items() if name not in defined | allowed}


def main():
    cut = sys.argv.index('--')
    (cc, core, machine, *folders), args = sys.argv[1:cut], sys.argv[cut + 1:]
    tap = Tap()
    headers = [path for folder in folders for name in MACHINE_HEADERS
               for path in glob.glob(os.path.join(folder, name))]
    table = declared(headers)
    width = subprocess.run([*cc.split(), *args, '-dM', '-E', '-xc', '/dev/null'], check=True,
                           capture_output=True, text=True).stdout
    helpers = HELPERS if '__LP64__' in width else HELPERS_32
    allowed = table | COMPILER_CALLS | helpers

    tap.check('machine_panic' in table and 'machine_map' in table, 'the_machine_table_is_read',
              [f'found only {sorted(table)} in {headers}'])
    defined, undefined = nm(core)
    tap.check(len(defined) > 20, 'the_core_is_there', [f'{core} defines {len(defined)} symbols'])
    found = surprises(core, allowed)
    tap.check(not found, 'core_needs_only_the_machine_table',
              [f"{name}, wanted by {', '.join(sorted(where))}" for name, where in sorted(found.items())])

    used = table & set(undefined) - defined
    missing = used - nm(machine)[0]
    libc = {name for name in missing if name.startswith('__')}  # the C library's, as __rseq_offset
    tap.check(not missing - libc, 'the_machine_has_all_that_the_core_uses',
              [f'{name} is declared but {machine} lacks it' for name in sorted(missing)])

    with tempfile.TemporaryDirectory() as scratch:
        source, obj = os.path.join(scratch, 'bad.c'), os.path.join(scratch, 'bad.o')
        with open(source, 'w') as file:
            file.write('#include <stdio.h>\nvoid bad(void);\nvoid bad(void) { puts("x"); }\n')
        subprocess.run([*cc.split(), *args, '-c', source, '-o', obj], check=True)
        tap.check(set(surprises(obj, allowed)) == {'puts'}, 'a_call_of_libc_would_be_seen')
    tap.done()


main()
