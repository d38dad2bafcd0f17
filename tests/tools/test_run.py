"""cooper run: status, signals, environment, what is saved, the board, live progress, hangs.

usage: test_run.py COOPER SCRATCH TARGET CHILDREN
"""

import json
import os
import re
import shutil
import signal
import subprocess

from tools import Cooper, arguments, named, until


def words(c):
    done = c.succeeds('version', '--version')
    c.check(re.fullmatch(r'cooper \d+\.\d+\.\d+\n', done.stdout), 'version_is_a_version', done.stdout)
    for args, has in ((['help'], 'cooper stat'), (['--help'], 'cooper run'), (['help', 'run'], '--physmem'),
                      (['run', '--help'], '--physmem'), (['help', 'stat'], '-z'),
                      (['stat', '--help'], '--json'), (['help', 'help'], 'COMMAND')):
        done = c.run(*args)
        c.check(done.returncode == 0 and has in done.stdout and done.stderr == '', '_'.join(args), done.stdout[:99])
        c.check(max(map(len, done.stdout.splitlines())) <= 100, '_'.join(args) + '_fits_the_screen')


def endings(c):
    for status in (0, 1, 2, 77, 255):
        done = c.run('run', '--', 'sh', '-c', f'exit {status}')
        c.check(done.returncode == status and done.stderr == '', f'status_{status}', done.returncode, done.stderr)
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV):
        done = c.run('run', '--', 'sh', '-c', f'kill -{int(number)} $$')
        c.check(done.returncode == 128 + number, f'killed_by_{int(number)}', done.returncode)
    done = c.run('run', '--', 'cat', input='through\n')
    c.check(done.stdout == 'through\n', 'input_and_output_are_the_commands', done.stdout)
    done = c.run('run', 'echo', '--shape', 'i386')
    c.check(done.stdout == '--shape i386\n', 'options_after_the_command_are_the_commands', done.stdout)


def signals(c):
    # Whoever started the tests may have ignored some (nohup, a background job): a shell cannot trap those.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_DFL)
        script = f'trap "echo got; exit 9" {number.name[3:]}; echo up; while :; do sleep 0.05; done'
        process = subprocess.Popen([c.command, 'run', '--', 'sh', '-c', script], stdout=subprocess.PIPE,
                                   text=True, env=c.environ)
        up = process.stdout.readline()
        process.send_signal(number)
        out = process.stdout.read()
        process.wait(30)
        c.check((up, out, process.returncode) == ('up\n', 'got\n', 9), f'passes_on_{number.name}', up, out,
                process.returncode)


def environment(c):
    done = c.run('run', '--shape', 'i386', '--cpus', '2', '--', 'env')
    env = dict(line.split('=', 1) for line in done.stdout.splitlines() if '=' in line)
    c.check(env.get('LD_PRELOAD', '').endswith('/libcooper-malloc.so'), 'library_is_preloaded', env.get('LD_PRELOAD'))
    c.check(env.get('COOPER_OPTIONS') == 'shape=i386,cpus=2', 'options_are_passed', env.get('COOPER_OPTIONS'))
    library = env.get('LD_PRELOAD', '')
    done = c.run('run', '--cpus', '2', '--', 'env', env={'COOPER_OPTIONS': 'cpus=1 domains=1'})
    c.check('COOPER_OPTIONS=cpus=1 domains=1,cpus=2\n' in done.stdout, 'options_are_merged', done.stdout[-300:])
    other = subprocess.run(['sh', '-c', "ldd /bin/sh | awk '/libc\\.so/ {print $3}'"], capture_output=True,
                           text=True).stdout.strip()
    done = c.run('run', '--', 'env', env={'LD_PRELOAD': other})
    c.check(f'LD_PRELOAD={library}:{other}\n' in done.stdout, 'preloads_are_kept', done.stdout[-300:])


def saved(path):
    with open(path) as file:
        return [json.loads(line) for line in file]


def statistics(c):
    done = c.run('run', '--stats', 'saved.json', '--shape', 'i386', '--physmem', '64M', '--', 'sh', '-c',
                 'cat /dev/null; ls / >/dev/null; (exit 3); true')
    c.check(done.returncode == 0, 'run_with_statistics', done.returncode, done.stderr)
    lines = saved('saved.json')
    commands = {line['process']['command'] for line in lines}
    c.check({'sh', 'cat', 'ls'} <= commands, 'each_process_left_a_line', sorted(commands))
    c.check(all(line['shape']['physmem'] == 64 << 20 and not line['shape']['direct_map'] for line in lines),
            'in_the_shape_that_was_asked_for')
    c.check(all(line['damage'] == [] for line in lines), 'no_line_tells_of_damage',
            [line['damage'] for line in lines])
    c.check(all(line['totals']['allocs'] > 0 for line in lines if line['process']['command'] != 'sh'),
            'they_allocated', [line['totals'] for line in lines])
    merged = c.stat_json('saved.json')
    for key in ('allocs', 'requests', 'passes', 'sleeps'):
        c.check(merged['totals'][key] == sum(line['totals'][key] for line in lines), f'merged_{key}')
    for option in ('-z', '-m', '-v', '-w'):
        c.succeeds('tables_of_the_file_' + option[1], 'stat', option, 'saved.json')
    done = c.run('run', '--stats', 'saved.json', '--', 'true')
    c.check(done.returncode == 0 and len(saved('saved.json')) == 1, 'an_earlier_run_is_replaced')
    c.check(not os.path.exists('saved.json.run'), 'the_board_is_taken_away')
    done = c.run('run', '--', 'true', env={'COOPER_OPTIONS': 'stats=by-environment.json'})
    c.check(done.returncode == 0 and len(saved('by-environment.json')) == 1, 'statistics_by_environment')


SUMMARY = re.compile(r'^run: (\d+) processes, (\d+) allocations, (\d+) reclaim passes, (\d+) sleeps, (\d+) hangs$')


def summary(c, name, done):
    last = done.stdout.splitlines()[-1] if done.stdout else ''
    found = SUMMARY.match(last)
    c.check(found is not None, name, last, done.stderr[-300:])
    return [int(n) for n in found.groups()] if found else [0] * 5


def ends_of_all_kinds(c, children):
    """5 children of each kind: exit, _exit, killed, exec, failed exec."""
    n = 5
    done = c.run('run', '--stats', 'kinds.json', '--progress', '--', children, str(n), '/bin/true')
    c.check(done.returncode == 0 and done.stdout.startswith('done\n'), 'children_run', done.returncode,
            done.stderr[-300:])
    processes, allocations, _, _, hangs = summary(c, 'summary_of_children', done)
    c.check(processes == 1 + 5 * n, 'every_process_is_counted_once', processes)
    c.check(hangs == 0, 'no_hangs', hangs)
    c.check(f'{n} processes were killed and left no statistics\n' in done.stdout, 'the_killed_are_counted',
            done.stdout[-400:])
    lines = saved('kinds.json')
    by_state = {state: [line for line in lines if line['process']['state'] == state] for state in ('exit', 'exec')}
    c.check(len({line['process']['pid'] for line in lines}) == 1 + 4 * n, 'lines_of_all_that_were_not_killed',
            len(lines))
    c.check(allocations == sum(line['totals']['allocs'] for line in lines), 'the_board_agrees_with_the_lines',
            allocations)
    # 1000 blocks in each of 4 kinds of children that left a line; counted once, however they ended.
    c.check(4 * n * 1000 <= allocations < 4 * n * 1000 + 4000 + 400 * len(lines), 'nothing_is_counted_twice',
            allocations, {state: len(of) for state, of in by_state.items()})
    c.check(len(by_state['exec']) >= n, 'execs_are_saved', {state: len(of) for state, of in by_state.items()})
    for head in ('ITEM', 'ARENA', 'CHANNEL', 'SLEEPS ON'):
        c.check(f'\n{head} ' in done.stdout, f'table_{head.split()[0].lower()}_is_printed')


def many(c):
    """A thousand short processes, several at a time."""
    script = 'i=0; while [ $i -lt 250 ]; do /bin/true & /bin/true & /bin/true & /bin/true; wait; i=$((i+1)); done'
    done = c.run('run', '--progress', '--', 'sh', '-c', script)
    processes, allocations, _, _, hangs = summary(c, 'summary_of_many', done)
    # sh forks for each, and the fork becomes the program: one process.
    c.check(processes == 1001 and hangs == 0, 'many_processes_are_counted', processes, hangs)
    c.check(allocations > 0 and done.returncode == 0, 'many_processes_ran', allocations, done.stderr[-300:])
    left = [name for name in os.listdir(os.environ.get('TMPDIR', '/tmp')) if name.startswith('cooper-run.')]
    c.check(not left, 'no_file_is_left', left)


def files(c):
    """Two runs do not share a file; a damaged file does not change how a run ends."""
    first = subprocess.Popen([c.command, 'run', '--stats', 'shared.json', '--', 'cat'], stdin=subprocess.PIPE,
                             env=c.environ)
    until(lambda: os.path.exists('shared.json'))
    c.refuses('a_file_in_use', 'run', '--stats', 'shared.json', '--', 'true', says=['shared.json', 'another run'])
    first.communicate(b'')
    c.check(len(saved('shared.json')) == 1, 'the_first_run_kept_its_file')
    open('shared.json.run', 'w').close()
    c.succeeds('a_board_that_was_left_is_taken_over', 'run', '--stats', 'shared.json', '--', 'true', stdout='')
    done = c.run('run', '--stats', 'spoilt.json', '--progress', '--', 'sh', '-c', 'echo nonsense >>spoilt.json; exit 5')
    summary(c, 'a_spoilt_file_leaves_the_summary', done)
    c.check(done.returncode == 5 and 'spoilt.json: ' in done.stderr, 'a_spoilt_file_is_told', done.stderr)


def idle(c):
    """The page daemon that waits for work does not hang."""
    done = c.run('run', '--progress', '--hang', '1', '--', 'sleep', '3', env={'COOPER_OPTIONS': 'daemon'})
    c.check(summary(c, 'summary_with_daemon', done)[4] == 0, 'an_idle_daemon_is_no_hang', done.stderr[-300:])


def hangs(c, target):
    """A sleep that nobody ends is told while it lasts."""
    process = subprocess.Popen([c.command, 'run', '--progress', '--hang', '1', '--stats', 'hang.json', '--', target],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               env=c.environ)
    try:
        c.check(process.stdout.readline() == 'ready\n', 'the_sleeper_sleeps')
        line = ''
        while line is not None and 'hang:' not in line:
            line = process.stderr.readline() or None
        c.check(re.match(r'run: hang: process \d+, thread \d+ sleeps on zonelimit for \d+ s, needs 1$', line or ''),
                'hang_is_told', line)
    finally:
        out, err = process.communicate('', timeout=60)
    c.check(process.returncode == 0 and out.splitlines()[-1].endswith(' 1 hangs'), 'hang_is_counted', out[-200:])
    c.check('hang:' not in err, 'hang_is_told_once', err[-300:])


def main():
    command, scratch, target, children = arguments()
    c = Cooper(command)
    shutil.rmtree(scratch, ignore_errors=True)
    os.makedirs(scratch)
    os.chdir(scratch)
    words(c)
    endings(c)
    signals(c)
    environment(c)
    statistics(c)
    ends_of_all_kinds(c, children)
    many(c)
    files(c)
    idle(c)
    hangs(c, target)
    os.chdir('/')
    shutil.rmtree(scratch)
    c.tap.done()


main()
