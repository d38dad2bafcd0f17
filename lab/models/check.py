"""Verify tags.pml: the shipped protocol for 2 and 3 CPUs, and each fault, which must be seen.

usage: check.py [--cpus 2|3] [--only WORD] [--trail] [--tap]

Prints a table and, for each fault, the last steps of its counterexample (--trail: all of them). Ends
with `N passed, N failed`; exit 1 unless all passed. What was not searched to the end, for want of depth,
memory or time, has failed.
"""

import argparse
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time

MODEL = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'tags.pml')
MEMORY = 6000    # MiB for one search
SECONDS = 1800   # for one search
STEPS = 14       # shown of a counterexample

ONE = {'BT_IMPORT': 1, 'BT_CLIP': 1}               # one tag to import, one to clip: BOUND is 4
AMPLE = {'PAGES': 5, 'QUANTA': 2}                  # what two threads can keep, and the slabs for it
SCARCE = {'PAGES': 4, 'QUANTA': 1, 'ROUNDS': 2}    # so that refills fail
PAGES_ONLY = {'PAGE_THREADS': 2, 'TAG_THREADS': 0}
NO_PAGE = {'PAGES': 0, 'QUANTA': 1, 'ROUNDS': 2, 'KEEPS': 'false', 'PAGE_THREADS': 0, 'TAG_THREADS': 2}
THREE = {'PAGES': 7, 'QUANTA': 3, 'BUCKET': 1}     # what three threads can keep
UNFINISHED = 'not searched to the end'


def row(what, prop, cpus, expected, faults=(), depth=2000000, memory=MEMORY, **defines):
    """expected: the property that is violated, None, or UNFINISHED. SAFETY: INVARIANT, REFILL and SUMS."""
    return {'what': what, 'prop': prop, 'cpus': cpus, 'expected': expected, 'faults': faults,
            'depth': depth, 'memory': memory, 'defines': defines}


def rows():
    """A shape in which a fault breaks PROGRESS is also one in which the shipped protocol keeps it."""
    yield row('shipped', 'SAFETY', 2, None, **AMPLE)
    yield row('shipped', 'PROGRESS', 2, None, **AMPLE)
    yield row('shipped, two requests, scarce', 'SAFETY', 2, None, **SCARCE, **ONE, BUCKET=1)
    yield row('shipped, all given back', 'PROGRESS', 2, None, KEEPS='false', PAGES=4, QUANTA=2)
    yield row('shipped, only tags, no page', 'PROGRESS', 2, None, **NO_PAGE)
    for fault, prop, shape in (
            ('drain_ignores_reserve', 'INVARIANT', AMPLE),
            ('drain_ignores_reserve', 'REFILL', AMPLE),
            ('drain_ignores_reserve', 'PROGRESS', AMPLE),
            ('fill_swallows_reserve', 'INVARIANT', {**SCARCE, **ONE, **PAGES_ONLY}),
            ('reserve_for_one_layer', 'REFILL', AMPLE),
            ('failed_fill_leaks_tags', 'INVARIANT', {**SCARCE, **ONE, **PAGES_ONLY}),
            ('refills_side_by_side', 'REFILL', AMPLE),
            ('tags_free_wakes_nobody', 'PROGRESS', NO_PAGE),
            ('import_wakes_nobody', 'PROGRESS', AMPLE)):
        yield row(fault, prop, 2, prop, [fault], **shape)
    # Of these two either alone does no harm: the root gives back what it did not use.
    yield row('six_tags_a_layer', 'REFILL', 2, None, ['six_tags_a_layer'], **AMPLE)
    yield row('six_tags_a_layer, refill_keeps_spares', 'REFILL', 2, 'REFILL',
              ['six_tags_a_layer', 'refill_keeps_spares'], **AMPLE)
    yield row('refills_side_by_side, reserve for 2', 'REFILL', 2, None, ['refills_side_by_side'], FILLERS=2,
              **AMPLE)
    # A search that is cut short must not pass for one that found nothing.
    yield row('shipped, too little depth', 'SAFETY', 2, UNFINISHED, depth=100, **AMPLE)
    yield row('shipped, too little memory', 'SAFETY', 2, UNFINISHED, depth=20000, memory=11, **AMPLE)
    for tags in range(4):
        threads = {'PAGE_THREADS': 3 - tags, 'TAG_THREADS': tags, **THREE, **ONE}
        yield row(f'shipped, {tags} of 3 want tags', 'SAFETY', 3, None, **threads)
        yield row(f'shipped, {tags} of 3 want tags', 'PROGRESS', 3, None, **threads)
    yield row('shipped, all given back', 'PROGRESS', 3, None, KEEPS='false', PAGES=4, QUANTA=2, BUCKET=1,
              PAGE_THREADS=2, TAG_THREADS=1, **ONE)
    yield row('shipped, only tags, no page', 'PROGRESS', 3, None, **{**NO_PAGE, 'TAG_THREADS': 3})
    for fault, prop in (
            ('drain_ignores_reserve', 'INVARIANT'), ('drain_ignores_reserve', 'PROGRESS'),
            ('reserve_for_one_layer', 'REFILL'), ('refills_side_by_side', 'REFILL')):
        yield row(fault, prop, 3, prop, [fault], **THREE, **ONE)
    yield row('tags_free_wakes_nobody', 'PROGRESS', 3, 'PROGRESS', ['tags_free_wakes_nobody'],
              **{**NO_PAGE, 'TAG_THREADS': 3})
    yield row('refills_side_by_side, reserve for 2', 'REFILL', 3, 'REFILL', ['refills_side_by_side'],
              FILLERS=2, **THREE, **ONE)


def options(case):
    properties = {'SAFETY': ['INVARIANT', 'REFILL']}.get(case['prop'], [case['prop']])
    return [f'-D{name}={value}' for name, value in {**case['defines'], 'CPUS': case['cpus']}.items()] + \
        [f'-D{name}' for name in [*properties, *case['faults']]]


def run(command, folder, **more):
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, **more)


def search(case, folder):
    """Build and run the verifier. -> (output, trail or None)."""
    live, broken = case['prop'] == 'PROGRESS', case['expected'] not in (None, UNFINISHED)
    made = run(['spin', *options(case), '-a', MODEL], folder)
    if made.returncode != 0 or 'Error' in made.stdout:
        raise RuntimeError(made.stdout + made.stderr)
    flags = ['-DNFAIR=3'] if live else ['-DSAFETY', *(['-DBFS'] if broken else [])]  # BFS: the shortest
    made = run(['cc', '-w', '-O1' if case['cpus'] > 2 and not broken else '-O0', '-DCOLLAPSE',
                f'-DMEMLIM={case["memory"]}', *flags, '-o', 'pan', 'pan.c'], folder)
    if made.returncode != 0:
        raise RuntimeError(made.stderr)
    how = ['-a', '-f'] if live else []
    if not live and (broken or case['defines'].get('QUANTA') == 1):
        how = ['-E']  # no deadlocks: where memory is scarce it may be too little for all
    said = run(['./pan', *how, f'-m{case["depth"]}', '-w20'], folder, timeout=SECONDS).stdout
    trail = os.path.join(folder, 'tags.pml.trail')
    return said, trail if os.path.exists(trail) else None


def complete(said):
    """Was everything searched, and nothing found?"""
    cut = ('not completed', 'too small', 'MEMLIM', 'out of memory', 'truncated', 'VECTORSZ')
    return 'errors: 0' in said and 'State-vector' in said and not any(word in said for word in cut)


def steps(case, folder, trail):
    """The counterexample in the words of the code."""
    said = run(['spin', *options(case), '-k', trail, MODEL], folder).stdout
    cpus = case['cpus']
    for line in said.splitlines():
        if line.startswith('spin: trail ends') or '#processes' in line:
            break
        if 'START OF CYCLE' in line:
            yield '... and from here on for ever:'
        elif match := re.match(r'\s+(\d+) (.*)', line):
            yield ('reclaim ' if int(match[1]) == cpus else f'CPU {match[1]} ') + match[2]


def number(pattern, said):
    found = re.search(pattern, said)
    return float(found[1]) if found else 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--cpus', type=int, choices=(2, 3))
    parser.add_argument('--only', default='')
    parser.add_argument('--trail', action='store_true')
    parser.add_argument('--tap', action='store_true')
    args = parser.parse_args()
    say = (lambda text: print('#', text, flush=True)) if args.tap else (lambda text: print(text, flush=True))
    passed = failed = 0
    asleep = {}
    say(f'{"variant":40} CPUs {"property":10} {"states":>10} {"seconds":>8} {"MiB":>6}  expected  seen')
    for case in rows():
        if args.cpus not in (None, case['cpus']) or args.only not in case['what']:
            continue
        folder, start, why = tempfile.mkdtemp(), time.time(), ''
        try:
            said, trail = search(case, folder)
        except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
            said, trail, why = '', None, str(error)
        if trail and 'errors: 1' in said:
            seen = 'violated'
        elif complete(said):
            seen = 'holds'
        else:
            seen = UNFINISHED
        expected = {None: 'holds', UNFINISHED: UNFINISHED}.get(case['expected'], 'violated')
        shown = list(steps(case, folder, trail)) if seen == 'violated' else []
        good = seen == expected and (not shown or len(shown) > 2)
        say(f'{case["what"]:40} {case["cpus"]:4} {case["prop"]:10} '
            f'{number(r"([0-9.e+]+) states, stored", said):10.0f} {time.time() - start:8.1f} '
            f'{number(r"([0-9.]+).total actual memory", said):6.0f}  {expected:9} {seen}')
        if why:
            say('    ' + why.strip()[-400:])
        if seen == 'violated':
            for line in shown if args.trail or not good else shown[-STEPS:]:
                say('    ' + line)
        if not case['faults'] and seen == 'holds':
            # a state is listed for each copy of a line: a wait that no copy reaches was never tried
            asleep[case['cpus']] = asleep.get(case['cpus'], set()) | reached(said)
        passed, failed = passed + good, failed + (not good)
        if args.tap:
            name = f'{case["what"]}: {case["prop"]} on {case["cpus"]} CPUs'
            print(f'{"ok" if good else "not ok"} {passed + failed} - {name}', flush=True)
        shutil.rmtree(folder)
    for cpus, lines in sorted(asleep.items()):
        good = not args.only and lines == sleep_lines() or bool(args.only)
        passed, failed = passed + good, failed + (not good)
        if args.tap:
            print(f'{"ok" if good else "not ok"} {passed + failed} - every wait was tried on {cpus} CPUs')
        elif not good:
            say(f'on {cpus} CPUs a wait was never tried: lines {sorted(sleep_lines() - lines)}')
    if args.tap:
        print(f'1..{passed + failed}')
    else:
        print(f'{passed} passed, {failed} failed')
    sys.exit(1 if failed or passed == 0 else 0)


def sleep_lines():
    with open(MODEL) as file:
        return {at for at, line in enumerate(file, 1) if '/* sleep */' in line}


def reached(said):
    return sleep_lines() - {int(at) for at in re.findall(r'tags\.pml:(\d+), state', said)}


main()
