"""The tree is formatted as .clang-format says, with the one version that the answer is known for.

usage: format.py SOURCE_ROOT
"""

import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
from tap import Tap

FOLDERS = ('include', 'src', 'tools', 'tests', 'examples', 'bench', 'lab')


def main():
    root, tap = sys.argv[1], Tap()
    tool = shutil.which('clang-format-14')
    if not tap.check(tool is not None, 'clang_format_14_is_installed', ['run scripts/deps.sh lint']):
        tap.done()
    files = [os.path.join(where, name) for folder in FOLDERS
             for where, _, names in sorted(os.walk(os.path.join(root, folder)))
             for name in sorted(names) if name.endswith(('.c', '.h', '.cc'))]
    said = subprocess.run([tool, '--dry-run', '--Werror', *files], capture_output=True, text=True).stderr
    for path in files:
        wrong = [line for line in said.splitlines() if line.startswith(path + ':')]
        tap.check(not wrong, os.path.relpath(path, root), wrong[:1])
    tap.done()


main()
