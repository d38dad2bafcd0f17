"""The little of TAP that the tests written in Python need."""

import sys


class Tap:
    def __init__(self):
        self.count = 0
        self.failed = 0

    def check(self, ok, name, detail=()):
        """One test case; detail: lines that say what is wrong."""
        self.count += 1
        self.failed += not ok
        print(f"{'ok' if ok else 'not ok'} {self.count} - {name}")
        if not ok:
            for line in detail:
                print(f'# {line}')
        sys.stdout.flush()
        return ok

    def skip(self, name, why):
        """A case that this architecture or build cannot have; the suite runner accepts no other."""
        self.count += 1
        print(f'ok {self.count} - {name} # SKIP architecture: {why}', flush=True)

    def done(self):
        print(f'1..{self.count}')
        sys.exit(1 if self.failed else 0)
