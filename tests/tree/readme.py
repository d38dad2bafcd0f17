"""The README's examples are the files of examples/, which the build compiles and a test runs.

usage: readme.py SOURCE_ROOT

A comment `<!-- examples/NAME.c -->` before a block of C names the file that it must equal.
"""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
from tap import Tap

LIMIT = 30  # lines: an example in a README is to be taken in at a glance


def main():
    root, tap = sys.argv[1], Tap()
    with open(os.path.join(root, 'README.md')) as file:
        blocks = re.findall(r'<!-- (examples/\S+) -->\n```c\n(.*?)```\n', file.read(), re.S)
    tap.check(len(blocks) == 2, 'a_zone_and_an_arena', [f'found {[name for name, _ in blocks]}'])
    for name, text in blocks:
        with open(os.path.join(root, name)) as file:
            tap.check(file.read() == text, f'{name} is what the README shows',
                      ['copy the file between the block\'s fences'])
        tap.check(text.count('\n') <= LIMIT, f'{name} is short')
    with open(os.path.join(root, 'docs', 'laboratory.md')) as file:
        blocks += re.findall(r'<!-- (lab/\S+) -->\n```c\n(.*?)```\n', file.read(), re.S)
    tap.check(len(blocks) == 3, 'a_scenario')
    for name, text in blocks[2:]:
        with open(os.path.join(root, name)) as file:
            tap.check(file.read() == text, f'{name} is what docs/laboratory.md shows')
        tap.check(text.count('\n') <= LIMIT, f'{name} is short')
    tap.done()


main()
