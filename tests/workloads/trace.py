"""The recorder and the packer of traces: what is sound is taken, what is damaged gets one line.

usage: trace.py SOURCE_ROOT
"""

import os
import random
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
from tap import Tap

LIMIT = 300 << 10  # bytes of the committed recording


def run(*command):
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True)
    return done.returncode, done.stderr


class Packer:
    def __init__(self, root, folder):
        self.tool = os.path.join(root, 'lab', 'traces', 'embed.py')
        self.trace, self.out = os.path.join(folder, 'trace'), os.path.join(folder, 'trace.c')

    def refuses(self, text):
        """One line, exit status 2, nothing written."""
        with open(self.trace, 'w') as file:
            file.write(text)
        status, said = run(self.tool, self.trace, self.out)
        return (status == 2 and said.count('\n') == 1 and said.startswith('embed.py: ') and
                not os.path.exists(self.out)) or [f'status {status}', *said.splitlines()[-3:]]

    def takes(self, path):
        status, said = run(self.tool, path, self.out)
        there = os.path.exists(self.out)
        if there:
            os.unlink(self.out)
        return (status == 0 and there) or [f'status {status}', *said.splitlines()[-3:]]


def damages(text):
    """(what, the text with it)"""
    lines = text.splitlines(keepends=True)
    yield 'nothing', ''
    yield 'another version', text.replace('cooper-trace 1', 'cooper-trace 2', 1)
    yield 'cut off', text[:len(text) // 2]
    yield 'cut off at a line', ''.join(lines[:len(lines) // 2])
    yield 'more after the end', text + '0 q\n'
    yield 'a count', text.replace('processes ', 'processes 1', 1)
    rng = random.Random(1)
    for what, bend in (
            ('a letter', lambda l: l.replace(l.split()[1], '?', 1)),
            ('a process', lambda l: '9' * 4 + l),
            ('a word more', lambda l: l.rstrip('\n') + ' 1 1 1\n'),
            ('a number', lambda l: l.rstrip('\n') + '999999999\n' if len(l.split()) > 2 else '\n'),
            ('an end', lambda l: l.split()[0] + ' q\n')):
        at = rng.randrange(10, len(lines) - 400)
        yield what, ''.join([*lines[:at], bend(lines[at]), *lines[at + 1:]])


def main():
    root, tap = sys.argv[1], Tap()
    committed = os.path.join(root, 'lab', 'traces', 'build.trace')
    with tempfile.TemporaryDirectory() as folder:
        packer = Packer(root, folder)
        with open(committed) as file:
            text = file.read()
        tap.check(len(text) <= LIMIT, 'the_recording_is_small', [f'{len(text)} bytes'])
        taken = packer.takes(committed)
        tap.check(taken is True, 'the_recording_is_sound', taken)
        for what, bent in damages(text):
            refused = packer.refuses(bent)
            tap.check(refused is True, f'damage is refused: {what}', refused)
        refused = run(packer.tool, os.path.join(folder, 'none'), packer.out)
        tap.check(refused[0] == 2 and refused[1].count('\n') == 1, 'a_file_that_is_not_there')

        new = os.path.join(folder, 'new')
        recorder = os.path.join(root, 'lab', 'traces', 'record.py')
        works = shutil.which('strace') and subprocess.run(
            ['strace', '-f', '-o', '/dev/null', 'true'], capture_output=True).returncode == 0
        if not works:
            print('# a_recording_is_sound: not on this machine: strace, or it may not trace')
            tap.done()
        status, said = run(recorder, '-o', new, '--', 'sh', '-c', '(echo a; echo b) | cat | wc -l; :')
        taken = packer.takes(new) if status == 0 else said.splitlines()
        tap.check(taken is True, 'a_recording_is_sound', taken)
        with open(new) as file:
            tap.check('processes 4\n' in file.read(), 'it_has_each_process')
        status, _ = run(recorder, '-o', new + '2', '--', 'false')
        tap.check(status == 1 and not os.path.exists(new + '2'), 'a_failed_command_writes_nothing')
    tap.done()


main()
