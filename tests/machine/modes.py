"""Zones where restartable sequences are not to be had, or not to be used: the same answers.

usage: modes.py CALLS INLINE

The two are builds of modes.c. Each runs as it is, with the C library's registration turned off, with
our own switch, and under valgrind, which knows no sequences. gdb steps through a pair, one instruction
at a time, with what its manual page would have to say: for calls COOPER_OPTIONS=rseq=0, for a program
that has the sequences in its own code the C library's tunable.
"""

import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
from tap import Tap

TUNABLE = {'GLIBC_TUNABLES': 'glibc.pthread.rseq=0'}
SMALL = 'physmem=64M'
LAST_CPU = str(max(os.sched_getaffinity(0)))
STEP = '''set pagination off
set confirm off
break pair_start
run
tbreak pair_end
set $steps = 0
set $end = (long)&pair_end
while $steps < 20000 && $pc != $end
stepi
set $steps = $steps + 1
end
printf "steps %d of 20000\\n", $steps
continue
'''


def run(command, options='', **env):
    env = {'PATH': '/usr/bin:/bin', 'COOPER_OPTIONS': f'{SMALL} {options}', **env}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=200)
    return done.returncode, done.stdout + done.stderr


def good(tap, name, mode, result):
    status, said = result
    lines = said.splitlines()
    right = status == 0 and 'done' in lines and (mode is None or f'mode {mode}' in lines)
    tap.check(right, name, [f'exit {status}', *lines[-12:]])


def stepped(tap, name, program, **env):
    status, said = step(program, **env)
    match = re.search(r'steps (\d+) of', said)
    steps = int(match[1]) if match else 0
    tap.check(status == 0 and 'mode lock' in said and 'done' in said and 20 < steps < 20000, name,
              [f'exit {status}, {steps} steps', *said.splitlines()[-12:]])


def step(program, options='', **env):
    env = {'PATH': '/usr/bin:/bin', 'COOPER_OPTIONS': f'{SMALL} {options}', **env}
    with tempfile.NamedTemporaryFile('w', suffix='.gdb') as script:
        script.write(STEP)
        script.flush()
        done = subprocess.run(['gdb', '-nx', '-batch', '-x', script.name, program], env=env,
                              capture_output=True, text=True, timeout=200)
    return done.returncode, done.stdout + done.stderr


def main():
    tap = Tap()
    for how, program in zip(('calls', 'inline'), sys.argv[1:]):
        good(tap, f'{how}_as_they_are', None, run([program]))
        good(tap, f'{how}_without_registration', 'lock', run([program], **TUNABLE))
        good(tap, f'{how}_with_the_switch', 'lock', run([program], 'rseq=0'))
        good(tap, f'{how}_in_the_debug_shape', 'lock', run([program], 'debug'))
        good(tap, f'{how}_with_virtual_CPUs', 'lock', run([program], 'cpus=1 rseq=0'))
        good(tap, f'{how}_on_a_CPU_beyond_the_shape', 'lock', run(['taskset', '-c', LAST_CPU, program], 'cpus=1 rseq=0'))
        good(tap, f'{how}_under_valgrind', 'lock', run(['valgrind', '--error-exitcode=9', '-q', program]))
    stepped(tap, 'calls_in_a_stepping_debugger', sys.argv[1], options='rseq=0')
    stepped(tap, 'inline_in_a_stepping_debugger', sys.argv[2], **TUNABLE)
    tap.done()


main()
