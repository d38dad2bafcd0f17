"""The shared library exports what the public headers declare: all of it, and nothing else.

usage: exports.py LIBRARY INCLUDE
"""

import glob
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
from tap import Tap
from objects import declared, nm

# What `cooper stat` looks for in a process that it reads.
LANDMARKS = {'cooper_stats_root'}


def main():
    library, include = sys.argv[1:]
    tap = Tap()
    public = declared(sorted(glob.glob(os.path.join(include, 'cooper', '*.h'))))
    exported, _ = nm(library, '-D')
    tap.check(len(public) > 80, 'the_public_headers_are_read', [f'{len(public)} functions'])
    tap.check(public <= exported, 'all_that_is_declared_is_there',
              [f'{name} is declared only' for name in sorted(public - exported)])
    tap.check(exported <= public | LANDMARKS, 'nothing_else_is_exported',
              [f'{name} is not in a public header' for name in sorted(exported - public - LANDMARKS)])
    tap.done()


main()
