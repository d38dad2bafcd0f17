"""Verify cpu_lock.pml: the shipped lock, and each fault, which must be seen. TAP; exit 1 unless all passed."""

import os
import re
import subprocess
import sys
import tempfile

MODEL = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'cpu_lock.pml')
ROWS = (  # faults, far threads, what is found
    ('', 2, None), ('', 1, None), ('', 3, None),
    ('no_barrier_on', 2, 'assertion violated'),
    ('no_barrier_on_all', 2, 'invalid end state'),
    ('wakes_nobody', 2, 'invalid end state'),
)


def search(fault, far, folder):
    define = [f'-DFAR={far}', '-DROUNDS=' + ('1' if far > 2 else '2'), *([f'-D{fault}'] if fault else [])]
    for command in (['spin', *define, '-a', MODEL],
                    ['cc', '-w', '-O1', '-DSAFETY', '-DCOLLAPSE', '-DMEMLIM=3000', '-o', 'pan', 'pan.c']):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        if done.returncode != 0 or 'Error' in done.stdout:
            raise RuntimeError(done.stdout + done.stderr)
    return subprocess.run(['./pan', '-m1000000'], cwd=folder, capture_output=True, text=True, timeout=600).stdout


def main():
    failed = 0
    print(f'1..{len(ROWS)}')
    for at, (fault, far, expected) in enumerate(ROWS, 1):
        try:
            with tempfile.TemporaryDirectory() as folder:
                said = search(fault, far, folder)
        except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
            said = str(error)
        whole = 'errors: 0' in said and not re.search('not completed|too small|MEMLIM|truncated', said)
        good = expected in said if expected else whole
        states = re.search(r'(\d+) states, stored', said)
        print(f'# {fault or "shipped"}, {far} from elsewhere: {states[1] if states else "?"} states')
        if not good:
            failed += 1
            print(''.join(f'# {line}\n' for line in said.splitlines()), end='')
        name = f'{fault}: {expected}' if expected else 'one owner, and all end'
        print(f'{"ok" if good else "not ok"} {at} - {name}, {far} from elsewhere', flush=True)
    sys.exit(1 if failed else 0)


main()
