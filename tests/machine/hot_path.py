"""The hot path, instruction by instruction: as the compiler left it, and how much it is in lock mode.

usage: hot_path.py OBJDUMP LIBRARY COUNTS INLINE CALL

LIBRARY is libcooper.so, INLINE and CALL are the benchmark's drivers with the two ways to call a zone.
COUNTS records how many instructions each path has; more than 5 % above fails, and so does a pair inline
above 30. Sequences cannot be counted by running them step by step (each step starts one again), so the
path is read: no branch is taken but the loop's own, which is what happens on success.

What the path must not have: a call (but that of the function itself), and a look at any data but the zone, the
CPU's part, and what restartable sequences need; so no mode, no statistics, no debugging.

With valgrind, which knows no restartable sequences, the same loop runs in lock mode and is counted.
"""

import json
import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
from tap import Tap

SLACK = 1.05
PAIR_BAR = 30
NEEDED = {'posix_rseq', '__rseq_offset'}


class Code:
    """The functions of a program or library, as objdump shows them."""

    def __init__(self, objdump, path):
        text = subprocess.run([objdump, '-d', '--no-show-raw-insn', path], check=True, capture_output=True,
                              text=True).stdout
        self.functions, self.at, here = {}, {}, None
        for line in text.splitlines():
            if match := re.match(r'[0-9a-f]+ <(.+)>:$', line):
                here = self.functions[match[1]] = []
            elif match := re.match(r' +([0-9a-f]+):\t(.*)$', line):
                here.append((int(match[1], 16), match[2].strip()))
        for name, body in self.functions.items():
            for index, (address, _) in enumerate(body):
                self.at[address] = (name, index)
        headers = subprocess.run([objdump, '-h', path], check=True, capture_output=True, text=True).stdout
        match = re.search(r'__rseq_cs +([0-9a-f]+) +([0-9a-f]+)', headers)
        size, start = int(match[1], 16), int(match[2], 16)
        self.descriptors = range(start, start + size)

    def loop(self, name):
        """Where a function's one loop begins and where it ends."""
        for address, text in self.functions[name]:
            if (match := re.match(r'j(\w+) +([0-9a-f]+) <', text)) and match[1] != 'mp':
                target = int(match[2], 16)
                if target < address and self.at[target][0] == name:
                    return target, address
        raise SystemExit(f'no loop in {name}')

    def walk(self, address, end=None):
        """(instructions, functions called, data looked at) up to `end` or the return."""
        count, calls, data, back = 0, [], set(), []
        while count < 1000:
            name, index = self.at[address]
            text = self.functions[name][index][1]
            count += 1
            if match := re.search(r'# ([0-9a-f]+) <([^>+@]+)', text):
                known = int(match[1], 16) in self.descriptors
                data |= set() if known else {match[2]}
            if address == end:
                return count, calls, data
            body = self.functions[name]
            after = body[index + 1][0] if index + 1 < len(body) else None
            if match := re.match(r'call +([0-9a-f]+) <([^>]+)>', text):
                calls.append(match[2])
                back.append(after)
                address = int(match[1], 16)
            elif match := re.match(r'jmp +([0-9a-f]+) <', text):
                address = int(match[1], 16)
            elif text.startswith('ret'):
                if not back:
                    return count, calls, data
                address = back.pop()
            elif text.startswith(('call', 'jmp')):
                return count, calls + [text], data  # through a pointer
            else:
                address = after
        raise SystemExit('the path has no end')


def under_valgrind(program):
    """Instructions of a pair in lock mode."""
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, 'callgrind')
        subprocess.run(['valgrind', '--tool=callgrind', f'--callgrind-out-file={out}',
                        '--toggle-collect=zone_pairs', program, 'count'], check=True, capture_output=True,
                       text=True, timeout=100, env={'PATH': '/usr/bin:/bin', 'COOPER_OPTIONS': 'physmem=64M'})
        with open(out) as file:
            total = int(re.search(r'^(?:totals|summary): (\d+)', file.read(), re.M)[1])
    return round(total / 1100)


def main():
    objdump, library, counts, inline, call = sys.argv[1:]
    tap = Tap()
    with open(counts) as file:
        recorded = json.load(file)
    lib, drivers = Code(objdump, library), {'inline': Code(objdump, inline), 'call': Code(objdump, call)}
    paths = {f'pair_{how}': code.walk(*code.loop('zone_pairs')) for how, code in drivers.items()}
    for name in ('uma_zalloc_arg', 'uma_zfree_arg'):
        paths[name] = lib.walk(lib.functions[name][0][0])
    for name, (count, calls, data) in paths.items():
        tap.check(count <= recorded[name] * SLACK, f'{name}_has_{recorded[name]}_instructions',
                  [f'{count} now'])
        expected = ['uma_zalloc_arg', 'uma_zfree_arg'] if name == 'pair_call' else []
        tap.check(calls == expected, f'{name}_calls_nothing_else', calls)
        tap.check(data <= NEEDED, f'{name}_looks_at_nothing_else', sorted(data - NEEDED))
    tap.check(paths['pair_inline'][0] <= PAIR_BAR, f'a_pair_and_its_loop_are_at_most_{PAIR_BAR}',
              [f"{paths['pair_inline'][0]}"])
    count = under_valgrind(call)
    tap.check(count <= recorded['pair_locked'] * SLACK,
              f"pair_locked_has_{recorded['pair_locked']}_instructions", [f'{count} now'])
    tap.done()


main()
