"""The one file: made from the rooms, complete, quiet under the compiler, and its names its own.

usage: amalgamation.py SOURCE_ROOT SCRATCH CC
"""

import importlib.util
import os
import re
import sys

from port import ANY, COMPILER_CALLS, STRICT, amalgamate, declared, machine_table, nm, run, surprises
from tap import Tap

# What 32-bit x86 has no instruction for: see tests/symbols/symbols.py.
HELPERS = {32: {'__udivdi3', '__umoddi3', '__udivmoddi4', '__ctzdi2', '__atomic_load_8', '__atomic_store_8',
                '__atomic_exchange_8', '__atomic_fetch_add_8', '__atomic_fetch_sub_8',
                '__atomic_compare_exchange_8', '__ashldi3', '__lshrdi3'}, 64: set()}
OWN_HEADERS = {'machine_param.h', 'machine_inline.h', 'machine_percpu.h', 'cooper.h', 'faults.def',
               'stdarg.h', 'stdbool.h', 'stddef.h', 'stdint.h', 'limits.h',
               'sys/rseq.h'}  # behind COOPER_INLINE, for programs
CLASH = {'src/a.c': '#define N 1\nstruct s {\n\tint turn;\n};\nstatic int\nturn(struct s *s)\n{\n'
                    '\treturn (s->turn + N); /* turn */\n}\n',
         'src/b.c': '#define N 2\nstatic int turn = N;\nconst char *says = "turn";\n'}


def script(root):
    spec = importlib.util.spec_from_file_location('script', os.path.join(root, 'scripts', 'amalgamation.py'))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def check_text(tap, root, scratch):
    first = amalgamate(root, os.path.join(scratch, 'one'))
    again = amalgamate(root, os.path.join(scratch, 'again'))
    texts = []
    for one, two in zip(first, again):
        with open(one) as a, open(two) as b:
            texts.append(a.read())
            tap.check(texts[-1] == b.read(), f'{os.path.basename(one)} is the same each time')
    asked = set(re.findall(r'(?m)^#\s*include\s*[<"]([^>"]+)', texts[0] + texts[1]))
    tap.check(asked <= OWN_HEADERS, 'it_includes_the_port_and_the_compiler_only', sorted(asked - OWN_HEADERS))
    tap.check('Redistribution and use' in texts[0], 'the_licence_goes_with_it')
    return first[1]


def check_clash(tap, root):
    out = dict(script(root).distinct(CLASH))
    tap.check('a_turn(struct s *s)' in out['src/a.c'] and 's->turn + N' in out['src/a.c'] and
              'int b_turn = N' in out['src/b.c'] and '"turn"' in out['src/b.c'] and '#undef N' in out['src/a.c'],
              'statics_of_one_name_are_told_apart', out['src/a.c'].splitlines() + out['src/b.c'].splitlines())


def header_of(source, cc):
    """(names that cooper.h declares, words that are in it at all), as the compiler sees it."""
    out = source[:-len('.c')] + '.i'
    ok, why = run([*cc, '-std=c17', '-ffreestanding', '-E', '-P', '-DCOOPER_PORT', '-I' + ANY, '-xc', source[:-1] + 'h',
                   '-o', out])
    if not ok:
        sys.exit('\n'.join(why))
    with open(out) as file:
        return declared([out]) - {'_Static_assert'}, set(re.findall(r'\w+', file.read()))


def check_objects(tap, root, source, cc):
    public, words = header_of(source, cc)
    table = machine_table(root, ANY)
    for width in (64, 32) if os.uname().machine == 'x86_64' else (64,):
        for level in ('-O2', '-Os'):
            options = [f'-m{width}'] if os.uname().machine == 'x86_64' else []
            options += ['-march=i686', '-mno-sse'] if width == 32 else []
            name, obj = f'{width} bit, {level}', f'{source[:-2]}-{width}{level}.o'
            ok, why = run([*cc, *options, level, '-fno-pic', '-fno-stack-protector', *STRICT, '-I' + ANY, '-c', source, '-o', obj])
            if not tap.check(ok, f'{name}: compiles without a warning', why):
                continue
            wrong = surprises([obj], table | COMPILER_CALLS | HELPERS[width])
            tap.check(not wrong, f'{name}: needs the machine table only', wrong)
            defined, _ = nm(obj)
            extra, lacking = defined - words, public - defined - table - COMPILER_CALLS
            tap.check(len(defined) > 100 and not extra, f'{name}: exports what cooper.h declares only', sorted(extra))
            tap.check(not lacking, f'{name}: exports all that cooper.h declares', sorted(lacking))


def main():
    root, scratch, cc = sys.argv[1], sys.argv[2], sys.argv[3].split()
    cc = [word for word in cc if not re.fullmatch(r'-m(32|64)', word)]
    tap = Tap()
    source = check_text(tap, root, scratch)
    check_clash(tap, root)
    check_objects(tap, root, source, cc)
    tap.done()


main()
