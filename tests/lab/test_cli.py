"""The command cooper lab: what it finds, keeps and replays, and how it refuses what is wrong.

usage: test_cli.py COOPER SCRATCH
"""

import json
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
from tap import Tap

HELD, FAILED, USAGE, BROKEN = 0, 1, 2, 3
HANG = ['run', 'btalloc', '--fault', 'drain_ignores_reserve', '--release', '--hangs']


class Lab:
    def __init__(self, tap, cooper):
        self.tap = tap
        self.cooper = cooper

    def run(self, *arguments, timeout=120):
        done = subprocess.run([self.cooper, 'lab', *arguments], capture_output=True, text=True,
                              timeout=timeout, stdin=subprocess.DEVNULL)
        return done.returncode, done.stdout, done.stderr

    def check(self, ok, name, *said):
        self.tap.check(ok, name, [line for text in said for line in str(text).splitlines()][:20])

    def gives(self, status, name, *arguments, says=()):
        got, out, err = self.run(*arguments)
        self.check(got == status and all(text in out for text in says), name,
                   f'status {got}', out, err)
        return out

    def json(self, status, name, *arguments):
        got, out, err = self.run(*arguments, '--json')
        try:
            value = json.loads(out)
        except ValueError:
            value = {}
        self.check(got == status and bool(value), name, f'status {got}', out[:300], err)
        return value

    def refuses(self, name, *arguments, says=()):
        """One line, exit status 2, nothing written."""
        before = sorted(os.listdir('.'))
        got, out, err = self.run(*arguments)
        self.check(got == USAGE and out == '' and err.count('\n') == 1 and
                   all(text in err for text in says) and sorted(os.listdir('.')) == before,
                   name, f'status {got}', out, err)


def lists(lab):
    lab.gives(HELD, 'list', 'list', says=['SCENARIOS', 'tags-tiny', 'FAULTS', 'r358097',
                                          'POLICIES', 'nofree-no-dmap', 'SHAPES', 'i386'])
    known = lab.json(HELD, 'list_json', 'list')
    faults = {fault['name'] for fault in known['faults']}
    seen = {fault for scenario in known['scenarios'] for fault in scenario['sees']}
    lab.check(len(faults) >= 20, 'there_are_faults_enough', faults)
    lab.check(seen == faults, 'each_fault_has_a_scenario_that_should_see_it', seen ^ faults)
    for command in ('list', 'run', 'replay', 'hunt', 'compare', 'soak', 'help'):
        lab.gives(HELD, f'help_{command}', 'help', command, says=['usage: cooper lab ' + command])
    lab.gives(HELD, 'help', 'help', says=['Exit status'])


def runs(lab):
    lab.gives(HELD, 'the_shipped_code_holds', 'run', 'objects', '--schedules', '20',
              says=['20 schedules', 'every promise held'])
    lab.check(not os.path.exists('objects.lab'), 'and_nothing_is_kept')
    lab.gives(HELD, 'pct_says_its_bound', 'run', 'objects', '--schedules', '5', '--strategy', 'pct',
              '--depth', '2', says=['1/(n*k^(d-1))', 'all 5 miss it'])
    lab.gives(HELD, 'another_machine', 'run', 'objects', '--schedules', '2', '--shape', 'amd64',
              '--cpus', '3', '--domains', '2', '--physmem', '4M', '--kva', '8M',
              says=['amd64, 3 CPUs, 2 domains, memory 4M, KVA 8M'])
    lab.gives(BROKEN, 'a_fault_hangs', *HANG, '--save', 'hang.lab', says=['BROKEN', 'cooper lab replay'])
    lab.gives(BROKEN, 'its_file_replays', 'replay', 'hang.lab', says=['deviations'])
    found = lab.json(BROKEN, 'run_json', *HANG, '--save', 'hang.lab')
    broken, smaller = found['broken'], found['smaller']
    lab.check(not found['held'] and found['file'] == 'hang.lab', 'json_says_so', found.keys())
    lab.check(len(smaller['deviations']) <= len(broken['deviations']) and
              smaller['run']['machine']['physmem'] <= broken['run']['machine']['physmem'],
              'smaller_is_smaller', smaller['run'], len(smaller['deviations']))
    again = lab.json(BROKEN, 'replay_json', 'replay', 'hang.lab')
    lab.check(again['result']['hash'] == smaller['result']['hash'] and
              again['result']['steps'] == smaller['result']['steps'], 'replay_is_the_same_run')
    once = lab.json(BROKEN, 'the_seed_finds_it_alone', *HANG, '--save', 'hang.lab', '--seed',
                    str(broken['run']['seed']), '--schedules', '1')
    lab.check(once['broken']['result'] == broken['result'], 'and_it_is_the_same_run')
    lab.gives(BROKEN, 'some_steps', 'replay', 'hang.lab', '--from', '100', '--to', '120')
    lab.gives(BROKEN, 'a_page', 'replay', 'hang.lab', '--html', 'page.html')
    with open('page.html') as page:
        lab.check('<html' in page.read(), 'the_page_is_one')


def campaigns(lab):
    shards = []
    for n in (1, 2):
        # Two faults and a scenario each; whether a second is enough for them depends on the machine.
        got, out, err = lab.run('hunt', '--budget', '2', '--shard', f'{n}/20', '--json')
        shards.append(json.loads(out))
        lab.check(got in (HELD, BROKEN) and shards[-1]['results'], f'hunt_of_shard_{n}', got, err)
        with open(f'{n}.json', 'w') as file:
            file.write(out)
    lab.check(any(one.get('fault') == 'drain_ignores_reserve' and one['found'] and one['seconds'] < 2
                  for one in shards[0]['results']), 'r358097_is_found_within_two_seconds',
              shards[0]['results'])
    got, out, err = lab.run('hunt', '--merge', '1.json', '2.json', '--json')
    both = json.loads(out)
    lab.check(len(both['results']) == sum(len(shard['results']) for shard in shards) and
              both['shards'] == ['1/20', '2/20'], 'nothing_is_lost_by_merging', both['shards'])
    lab.check('faults found' in lab.run('hunt', '--merge', '1.json', '2.json')[1], 'merged_table')
    compared = lab.json(HELD, 'compare', 'compare', 'btalloc', '--schedules', '200')
    rows = {row['name']: row for row in compared['remedies']}
    lab.check(rows['r358097']['hangs'] > 0, 'the_bug_hangs', rows['r358097'])
    for name in ('nofree', 'nofree-no-dmap', 'shipped'):
        lab.check(rows[name]['hangs'] == 0 and rows[name]['otherwise_broken'] == 0,
                  f'{name}_does_not_hang', rows[name])
    lab.check(rows['nofree-no-dmap']['pages_stranded'] > rows['shipped']['pages_stranded'] == 0,
              'the_interim_fix_strands_pages', rows)
    lab.gives(HELD, 'compare_as_a_table', 'compare', 'btalloc', '--schedules', '3',
              says=['REMEDY', 'shipped'])


def soaks(lab):
    first = lab.json(HELD, 'soak', 'soak', '--points', '300000', '--state', 'soak.json')
    second = lab.json(HELD, 'soak_goes_on', 'soak', '--points', str(first['points'] + 1),
                      '--state', 'soak.json')
    lab.check(second['points'] > first['points'] >= 300000 and second['next'] > first['next'],
              'it_goes_on_where_it_was', first, second)
    done = lab.json(HELD, 'soak_is_done', 'soak', '--points', '1', '--state', 'soak.json')
    lab.check(done['next'] == second['next'], 'and_does_nothing_more', done)


def bad_input(lab):
    lab.refuses('no_command', says=['list, run, replay'])
    lab.refuses('unknown_command', 'frob', says=['frob', 'known are'])
    lab.refuses('list_takes_nothing', 'list', 'x', says=['x'])
    lab.refuses('help_about_nothing', 'help', 'frob', says=['frob'])
    cases = {
        'scenario_missing': ([], ['one scenario']),
        'scenario_unknown': (['nowhere'], ['nowhere', 'cooper lab list']),
        'scenario_twice': (['objects', 'tags-tiny'], ['one scenario']),
        'fault_unknown': (['objects', '--fault', 'nothing'], ['nothing', 'cooper lab list']),
        'policy_unknown': (['objects', '--policy', 'nothing'], ['nothing']),
        'strategy_unknown': (['objects', '--strategy', 'luck'], ['luck', 'random, pct and exhaustive']),
        'shape_unknown': (['objects', '--shape', 'vax'], ['vax', 'i386']),
        'cpus_zero': (['objects', '--cpus', '0'], ['--cpus 0']),
        'cpus_many': (['objects', '--cpus', '65'], ['65', '64']),
        'domains_over_cpus': (['objects', '--domains', '3'], ['domains']),
        'physmem_tiny': (['objects', '--physmem', '1K'], ['1K', '1M']),
        'kva_that_does_not_start': (['objects', '--cpus', '64', '--physmem', '1M'], ['shape']),
        'physmem_huge': (['objects', '--physmem', '1T'], ['shape']),
        'seed_negative': (['objects', '--seed', '-1'], ['--seed -1']),
        'seed_words': (['objects', '--seed', 'luck'], ['luck']),
        'seed_huge': (['objects', '--seed', '99999999999999999999'], ['9999']),
        'schedules_zero': (['objects', '--schedules', '0'], ['--schedules 0']),
        'depth_zero': (['objects', '--depth', '0'], ['--depth 0']),
        'option_unknown': (['objects', '--frob'], ['--frob', '--seed']),
        'option_without_value': (['objects', '--seed'], ['--seed']),
        'save_no_folder': (['objects', '--save', 'no/such/file'], ['no/such/file']),
        'save_folder': (['objects', '--save', '.'], ['--save']),
        'html_no_folder': (['objects', '--html', 'no/such/file'], ['no/such/file']),
    }
    for name, (arguments, says) in cases.items():
        lab.refuses(name, 'run', *arguments, says=says)
    with open('diary', 'w') as file:
        file.write('dear diary\n')
    lab.refuses('save_on_somebodys_file', 'run', 'objects', '--save', 'diary', says=['diary'])
    lab.refuses('html_on_somebodys_file', 'run', 'objects', '--html', 'diary', says=['diary', 'no page'])
    os.symlink('no/such/file', 'dangling')
    for option in ('--save', '--html'):
        lab.refuses(f'{option[2:]}_is_a_link_to_nothing', 'run', 'objects', option, 'dangling', says=['dangling'])
        lab.refuses(f'{option[2:]}_has_too_long_a_name', 'run', 'objects', option, 'x' * 300, says=['too long'])
    lab.refuses('soak_state_has_too_long_a_name', 'soak', '--state', 'x' * 300, says=['too long'])
    os.mkfifo('pipe')
    lab.refuses('replay_a_pipe', 'replay', 'pipe', says=['pipe', 'not a regular file'])
    lab.refuses('merge_a_pipe', 'hunt', '--merge', 'pipe', says=['pipe', 'not a regular file'])
    lab.refuses('words_of_two_lines', 'run', 'two\nlines', says=['two?lines'])
    lab.refuses('replay_nothing', 'replay', says=['one file'])
    lab.refuses('replay_no_file', 'replay', 'nowhere.lab', says=['nowhere.lab'])
    lab.refuses('replay_folder', 'replay', '.', says=['.'])
    lab.refuses('replay_foreign', 'replay', 'diary', says=['diary', 'not a replay file'])
    with open('hang.lab') as file:
        good = file.read()
    damaged = {'cut': good[:-20], 'changed': good.replace('seed ', 'seed 1', 1), 'empty': '',
               'binary': '\0' * 100, 'more': good + 'x\n', 'newer': good.replace('lab 1', 'lab 2', 1)}
    for name, text in damaged.items():
        with open('damaged.lab', 'w') as file:
            file.write(text)
        lab.refuses(f'replay_{name}', 'replay', 'damaged.lab', says=['damaged.lab'])
    lab.refuses('replay_backwards', 'replay', 'hang.lab', '--from', '9', '--to', '3', says=['--from 9'])
    lab.refuses('replay_beyond_the_end', 'replay', 'hang.lab', '--from', '99999999')
    for shard in ('0/2', '3/2', '1', 'x/y', '1/0', '1/2/3', '-1/2'):
        lab.refuses(f'shard_{shard.replace("/", "_of_")}', 'hunt', '--shard', shard, says=[shard])
    lab.refuses('hunt_takes_nothing', 'hunt', 'objects', says=['objects'])
    lab.refuses('hunt_budget_zero', 'hunt', '--budget', '0', says=['--budget 0'])
    lab.refuses('hunt_save_no_folder', 'hunt', '--save', 'nowhere', says=['nowhere'])
    lab.refuses('merge_nothing', 'hunt', '--merge', says=['--merge'])
    lab.refuses('merge_no_file', 'hunt', '--merge', 'nowhere.json', says=['nowhere.json'])
    lab.refuses('merge_foreign', 'hunt', '--merge', 'diary', says=['diary'])
    for name, text in {'other': '{"a": 1}', 'result': '{"cooper_lab_hunt": 1, "shards": [], '
                       '"results": [7]}', 'list': '[]'}.items():
        with open('damaged.json', 'w') as file:
            file.write(text)
        lab.refuses(f'merge_{name}', 'hunt', '--merge', 'damaged.json', says=['damaged.json'])
        lab.refuses(f'soak_{name}', 'soak', '--state', 'damaged.json', says=['damaged.json'])
    lab.refuses('compare_unknown', 'compare', 'nowhere', says=['nowhere'])
    lab.refuses('soak_takes_nothing', 'soak', 'objects', says=['objects'])
    lab.refuses('soak_points_zero', 'soak', '--points', '0', says=['--points 0'])
    lab.refuses('soak_of_another_seed', 'soak', '--state', 'soak.json', '--seed', '77', says=['seed 1'])
    with open('diary') as file:
        lab.check(file.read() == 'dear diary\n', 'somebodys_file_is_untouched')


def main():
    tap = Tap()
    lab = Lab(tap, os.path.abspath(sys.argv[1]))
    shutil.rmtree(sys.argv[2], ignore_errors=True)
    os.makedirs(sys.argv[2])
    os.chdir(sys.argv[2])
    lists(lab)
    runs(lab)
    campaigns(lab)
    soaks(lab)
    bad_input(lab)
    tap.done()


main()
