"""Read what `meson test` logged in DIR and say `N passed, N failed`; exit 1 unless all passed.

usage: count.py DIR

A test case is one line of TAP, or one program where it speaks no TAP. A skipped case counts as
failed unless its program said why this machine or build cannot have it: a line with
`SKIP architecture: REASON`, which is printed.
"""

import json
import os
import re
import sys
import xml.etree.ElementTree as tree

REASON = re.compile(r'SKIP architecture: *(.*)')
PROJECT = 'cooper.'


def tests_of(logs):
    """What each program said, and the programs that did not end well."""
    said, hurt = {}, set()
    with open(os.path.join(logs, 'testlog.json')) as file:
        for line in file:
            test = json.loads(line)
            said[test['name']] = test.get('stdout', '') + test.get('stderr', '')
            if test['result'] not in ('OK', 'SKIP', 'EXPECTEDFAIL'):
                hurt.add(test['name'])
    return said, hurt


def cases_of(logs):
    """(program, case, result) of every case; a program of many cases is a suite of its own."""
    for suite in tree.parse(os.path.join(logs, 'testlog.junit.xml')).getroot():
        program = suite.get('name').removeprefix(PROJECT)
        for case in suite.findall('testcase'):
            result = ('skipped' if case.find('skipped') is not None else
                      'failed' if case.find('failure') is not None or case.find('error') is not None
                      else 'passed')
            yield program, case.get('name'), result


def main():
    logs = os.path.join(sys.argv[1], 'meson-logs')
    said, hurt = tests_of(logs)
    passed, bad, blamed = 0, [], set()
    for program, case, result in cases_of(logs):
        if program not in said:
            program = case
        reason = REASON.search(said.get(program, ''))
        if result == 'passed':
            passed += 1
        elif result == 'skipped' and reason:
            print(f'not here: {program}: {reason[1]}')
        else:
            bad.append(f'{result}: {program}: {case}')
            blamed.add(program)
    # A program that died or hung after its last line of TAP has no failed case of its own.
    bad += [f'failed: {program}: it did not come to its end' for program in sorted(hurt - blamed)]
    if passed + len(bad) == 0:
        bad.append('failed: no test ran')
    for program in sorted(hurt):
        for block in re.findall(r'(?m)^not ok.*\n(?:#.*\n?)*', said[program])[:8]:
            print(f'{program}: {block.rstrip()}')
    print(*bad, sep='\n', end='\n' if bad else '')
    print(f'{passed} passed, {len(bad)} failed')
    sys.exit(1 if bad else 0)


main()
