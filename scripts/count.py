"""Read what `meson test` logged in DIR and say `N passed, N failed`; exit 1 unless all passed.

usage: count.py DIR

A test case is one line of TAP, or one program where it speaks no TAP. A skipped case is not
counted if the same case ran in another shape, or if its program said why this machine or build
cannot have it (`SKIP architecture: REASON`, or NEED_MACHINE() of the harness), which is printed. Any
other skipped case has failed.
"""

import json
import os
import re
import sys

CASE = re.compile(r'(?m)^(not )?ok (\d+)(?: - (.*?))?(?: *# *SKIP *(.*?))? *$')
SHAPE = re.compile(r'-(?:amd64|i386)-[\w-]+$')
ELSEWHERE = re.compile(r'(?m)^# (\w+) is not about this shape')
ABSENT = re.compile(r'(?m)^# (\w+): not on this machine: (.*)')
ARCHITECTURE = re.compile(r'architecture: *(.*)')
DETAIL = 6  # lines shown of what a failed case says


def programs(folder):
    with open(os.path.join(folder, 'meson-logs', 'testlog.json')) as file:
        for line in file:
            test = json.loads(line)
            yield test['name'], test['result'], test.get('stdout', '')


def cases_of(said):
    """(name, result, reason or detail) for each line of TAP."""
    elsewhere, absent = set(ELSEWHERE.findall(said)), dict(ABSENT.findall(said))
    for match in CASE.finditer(said):
        bad, number, name, reason = match.groups()
        if reason is not None:
            # cmocka gives the name of the case where TAP has the reason
            yield name or reason, 'skipped', reason
        elif bad:
            rest = said[match.end():].split('\n')[1:]
            end = next((i for i, line in enumerate(rest) if not line.startswith('#')), len(rest))
            yield name or number, 'failed', rest[:min(end, DETAIL)]
        elif name in absent:
            yield name, 'skipped', 'architecture: ' + absent[name]
        elif name in elsewhere:
            yield name, 'skipped', 'shape'
        else:
            yield name or number, 'passed', None


def main():
    passed, failed, skipped, ran = 0, [], [], set()
    for program, result, said in programs(sys.argv[1]):
        suite, cases = SHAPE.sub('', program), list(cases_of(said))
        if not cases and result == 'OK':
            passed += 1
        for name, how, detail in cases:
            if how == 'passed':
                passed += 1
                ran.add((suite, name))
            elif how == 'skipped':
                skipped.append((suite, program, name, detail))
            else:
                failed.append('\n    '.join([f'failed: {program}: {name}', *detail]))
        # a program that died, hung or did not run has no failed case of its own
        if result not in ('OK', 'EXPECTEDFAIL') and not any(how == 'failed' for _, how, _ in cases):
            failed.append(f'failed: {program}: {result.lower()}')
    said_why = set()
    for suite, program, name, reason in skipped:
        if (suite, name) in ran | said_why:
            continue
        if match := ARCHITECTURE.search(reason):
            print(f'not here: {suite}: {name}: {match[1]}')
            said_why.add((suite, name))
        else:
            failed.append(f'failed: {program}: {name}: skipped, and it ran in no other shape')
    if passed + len(failed) == 0:
        failed.append('failed: no test ran')
    print(*failed, sep='\n', end='\n' if failed else '')
    print(f'{passed} passed, {len(failed)} failed')
    sys.exit(1 if failed else 0)


main()
