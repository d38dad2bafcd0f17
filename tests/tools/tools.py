"""What the suites of the cooper command share."""

import json
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
from tap import Tap

DEADLINE = 20  # seconds that anything may take on a loaded machine


class Cooper:
    """The command under test, and cases about it."""

    def __init__(self, command):
        self.command = command
        self.tap = Tap()
        # Only what the tests say: not the settings of whoever runs them.
        self.environ = {k: v for k, v in os.environ.items() if k not in ('COOPER_OPTIONS', 'LD_PRELOAD')}

    def run(self, *args, env=None, **kwargs):
        return subprocess.run([self.command, *args], capture_output=True, text=True, timeout=120,
                              env={**self.environ, **(env or {})}, **kwargs)

    def check(self, ok, name, *detail):
        return self.tap.check(ok, name, [repr(d) for d in detail])

    def succeeds(self, name, *args, stdout=None, **kwargs):
        done = self.run(*args, **kwargs)
        self.check(done.returncode == 0 and (stdout is None or done.stdout == stdout), name,
                   done.returncode, done.stdout[:400], done.stderr[:400])
        return done

    def refuses(self, name, *args, says=(), **kwargs):
        """Exit 2, nothing on standard output, one line that has the words in it."""
        done = self.run(*args, **kwargs)
        ok = (done.returncode == 2 and done.stdout == '' and done.stderr.count('\n') == 1 and
              done.stderr.startswith('cooper: ') and all(word in done.stderr for word in says))
        self.check(ok, name, done.returncode, done.stdout[:200], done.stderr[:400])

    def stat_json(self, *args):
        done = self.run('stat', '--json', *args)
        return json.loads(done.stdout) if done.returncode == 0 else {'error': done.stderr}


def arguments():
    """Paths, given relative to where we were started."""
    return [os.path.abspath(path) for path in sys.argv[1:]]


def named(section, name):
    """The one record of this name; {} if there is none or more than one."""
    found = [record for record in section if record.get('name') == name]
    return found[0] if len(found) == 1 else {}


def until(condition):
    """Wait for a condition of another process, which has no other way to tell us."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        if result := condition():
            return result
        time.sleep(0.02)
    return condition()
