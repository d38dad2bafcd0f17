"""tests/SCENARIOS.md has a line for each scenario, and the tests and scenarios that it names exist.

usage: scenarios.py SOURCE_ROOT
"""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
from tap import Tap

NUMBERS = [f'R{n}' for n in range(1, 37)] + [f'H{n}' for n in range(1, 12)]


def rows(text):
    """number -> (what, tests, left) of each line `| R1 | what | tests | left |`."""
    found = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip('|').split('|')]
        if len(cells) == 4 and re.fullmatch(r'[RH]\d+', cells[0]):
            found.setdefault(cells[0], []).append(cells[1:])
    return found


def named(cell):
    """[(test, file)] of a cell `name` (file), `name` (file)."""
    return re.findall(r'`(\w+)` \(([\w./]+)\)', cell)


def exists(root, test, path):
    try:
        with open(os.path.join(root, 'tests', path)) as file:
            text = file.read()
    except OSError:
        return False
    return re.search(rf'cmocka_unit_test\w*\(\s*{test}\b', text) is not None


def lab_scenarios(root):
    """Names of the laboratory's scenarios."""
    found, folder = set(), os.path.join(root, 'lab', 'scenarios')
    for name in os.listdir(folder):
        if name.endswith('.c'):
            with open(os.path.join(folder, name)) as file:
                found.update(re.findall(r'\.name = "([\w-]+)"', file.read()))
    return found


def complaints(root, text):
    table, scenarios = rows(text), lab_scenarios(root)
    for number in NUMBERS:
        lines = table.get(number, [])
        if len(lines) != 1:
            yield f'{number}: {len(lines)} lines'
            continue
        what, tests, beyond = lines[0]
        if not what:
            yield f'{number}: not a word of what it is'
        if not named(tests):
            yield f'{number}: not tested'
        if beyond and not re.match(r'`[\w-]+`(, `[\w-]+`)*: \w', beyond):
            yield f'{number}: "{beyond}" does not name scenarios of the laboratory and what is left to them'
        for scenario in re.findall(r'`([\w-]+)`', beyond):
            if scenario not in scenarios:
                yield f'{number}: the laboratory has no scenario {scenario}'
        for test, path in named(tests):
            if not exists(root, test, path):
                yield f'{number}: no test {test} in tests/{path}'
    for number in sorted(set(table) - set(NUMBERS)):
        yield f'{number}: there is no such scenario'


def numbered_tests(root):
    """All tests whose name begins with a number."""
    for folder, _, names in os.walk(os.path.join(root, 'tests')):
        for name in sorted(names):
            if name.endswith('.c'):
                with open(os.path.join(folder, name)) as file:
                    yield from re.findall(r'cmocka_unit_test\w*\(\s*([RH]\d+_\w+)', file.read())


def main():
    root, tap = sys.argv[1], Tap()
    with open(os.path.join(root, 'tests', 'SCENARIOS.md')) as file:
        text = file.read()
    wrong = list(complaints(root, text))
    tap.check(not wrong, 'each_scenario_has_its_line_and_tests', wrong)
    listed = {test for cells in rows(text).values() for test, _ in named(cells[0][1])}
    unlisted = sorted(set(numbered_tests(root)) - listed)
    tap.check(not unlisted, 'each_numbered_test_is_listed', unlisted)
    tap.check(len(list(complaints(root, ''))) == len(NUMBERS) and
              any('no test' in line for line in complaints(root, '| R1 | x | `R1_no` (uma/test_zone.c) | |')) and
              any('no scenario' in line for line in complaints(root, '| R1 | x | y | `no-such`: it |')),
              'a_gap_would_be_seen')
    tap.done()


main()
