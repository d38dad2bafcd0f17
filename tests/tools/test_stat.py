"""cooper stat: golden tables, merging, and a living process with known contents.

usage: test_stat.py COOPER SCRATCH TARGET GOLDEN_FOLDER
"""

import copy
import json
import os
import shutil
import subprocess

from tools import Cooper, arguments, named, until

SECTIONS = ['zones', 'types', 'arenas', 'domains', 'channels', 'waits']


def golden(c, folder):
    """What is printed of two fixed files is what was once looked at and found right."""
    for source in ('one', 'many'):
        for option in ('', '-z', '-m', '-v', '-w'):
            name = source + option
            done = c.run('stat', *option.split(), os.path.join(folder, source + '.json'))
            with open(os.path.join(folder, name + '.txt')) as file:
                expected = file.read()
            if done.stdout != expected:
                with open(name + '.txt', 'w') as file:
                    file.write(done.stdout)
            c.check(done.returncode == 0 and done.stdout == expected, f'golden_{name}',
                    f'is now in {os.getcwd()}/{name}.txt', done.stderr)


def same_json(c, folder):
    """One process's line comes out as it went in."""
    with open(os.path.join(folder, 'one.json')) as file:
        line = file.read()
    done = c.run('stat', '--json', os.path.join(folder, 'one.json'))
    c.check(json.loads(done.stdout) == json.loads(line), 'json_of_one_is_unchanged', done.stdout[:200])
    part = json.loads(c.run('stat', '--json', '-z', os.path.join(folder, 'one.json')).stdout)
    c.check('zones' in part and 'arenas' not in part, 'json_has_only_what_was_asked_for')


def sums(c, folder):
    """Merged numbers are the sums and maxima of the parts."""
    with open(os.path.join(folder, 'one.json')) as file:
        first = json.loads(file.read())
    second = copy.deepcopy(first)
    second['process']['pid'] += 1
    for zone in second['zones']:
        for key, value in zone.items():
            if type(value) is int and key not in ('size', 'flags'):
                zone[key] = 3 * value + 1
    only = copy.deepcopy(second['zones'][0])
    only['name'] = 'only in the second'
    second['zones'].append(only)
    with open('two.json', 'w') as file:
        for part in (first, second, second):
            file.write(json.dumps(part, separators=(',', ':')) + '\n')
    merged = c.stat_json('two.json')
    c.check((merged.get('processes'), merged.get('programs')) == (2, 3), 'processes_and_programs_are_counted')
    maxima = {'rsize', 'align', 'limit', 'bucket_size', 'bucket_max', 'reserve', 'per_slab', 'slab_pages'}
    wrong = []
    for a, b in zip(first['zones'], second['zones']):
        m = named(merged['zones'], a['name'])
        for key, value in a.items():
            if type(value) is not int or key in ('size', 'flags'):
                continue
            expected = max(value, b[key]) if key in maxima else value + 2 * b[key]
            if m.get(key) != expected or m['max'][key] != max(value, b[key]):
                wrong.append((a['name'], key, m.get(key), expected))
        if m.get('processes') != 3:
            wrong.append((a['name'], 'processes', m.get('processes'), 3))
    c.check(not wrong, 'sums_and_maxima_equal_the_parts', *wrong[:3])
    c.check(named(merged['zones'], 'only in the second').get('processes') == 2, 'a_zone_of_some_processes')
    c.check(merged['totals']['allocs'] == 3 * first['totals']['allocs'], 'totals_are_sums')


def living(c, target):
    """A process with known contents, read while it runs."""
    process = subprocess.Popen([target], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                               env=c.environ)
    try:
        c.check(process.stdout.readline() == 'ready\n', 'target_is_ready')
        pid = str(process.pid)
        snapshot = until(lambda: (s := c.stat_json(pid)).get('waits') and s) or c.stat_json(pid)
        c.check(snapshot.get('damage') == [], 'nothing_is_damaged', snapshot.get('damage'),
                snapshot.get('error'))
        look_at_zones(c, snapshot)
        look_at_rest(c, snapshot, process.pid)
        look_at_tables(c, pid)
    finally:
        process.stdin.close()
        process.wait(30)
    c.check(process.returncode == 0, 'sleeper_was_let_go', process.returncode)
    c.refuses('target_is_gone', 'stat', pid, says=['no such process'])


def look_at_zones(c, snapshot):
    zone = named(snapshot['zones'], 'test objects')
    numbers = [zone.get(k) for k in ('size', 'limit', 'used', 'requests', 'frees', 'fails', 'sleeps')]
    c.check(numbers == [100, 0, 50, 70, 20, 0, 0], 'known_zone', zone)
    c.check(zone.get('free', 0) >= 20 and zone['pages'] * 4096 >= 70 * 100, 'known_zone_has_its_items', zone)
    items = zone.get('pages', 0) // max(zone.get('slab_pages', 1), 1) * zone.get('per_slab', 0)
    c.check(items == zone.get('used', -1) + zone.get('free', 0), 'every_item_is_somewhere', zone)
    limit = named(snapshot['zones'], 'test limit')
    c.check([limit.get(k) for k in ('limit', 'used', 'sleeps', 'sleepers')] == [1, 1, 1, 1], 'limited_zone', limit)


def look_at_rest(c, snapshot, pid):
    arena = named(snapshot['arenas'], 'test ids')
    numbers = [arena.get(k) for k in ('quantum', 'size', 'inuse', 'free', 'largest', 'parent')]
    c.check(numbers == [1, 1000, 20, 980, 980, ''], 'known_arena', arena)
    c.check(arena.get('tags_busy') == 2 and arena['tags_free'] == 1, 'known_tags', arena)
    c.check(sum(row['busy'] for row in arena.get('histogram', [])) == 2, 'histogram_adds_up', arena)
    waits = [w for w in snapshot['waits'] if w['channel'] == 'zonelimit']
    c.check(len(waits) == 1 and waits[0]['thread'] != pid and
            os.path.exists(f"/proc/{pid}/task/{waits[0]['thread']}"), 'sleeper_on_the_limit', snapshot['waits'])
    channel = named(snapshot['channels'], 'zonelimit')
    c.check(channel.get('sleeping') == 1, 'channel_knows_its_sleeper', snapshot['channels'])
    process = snapshot['process']
    c.check((process['pid'], process['state']) == (pid, 'live') and process['word'] in (32, 64),
            'process_is_described', process)
    c.check(all(d['total'] >= d['free'] > 0 for d in snapshot['domains']), 'pages_are_told', snapshot['domains'])
    named_rooms = {z['name'] for z in snapshot['zones']}
    c.check(len(named_rooms) > 5, 'the_cores_own_zones_are_there', sorted(named_rooms))


def look_at_tables(c, pid):
    done = c.run('stat', '-w', pid)
    lines = done.stdout.splitlines()
    c.check(any(line.startswith('zonelimit') for line in lines) and 'SLEEPS ON' in done.stdout,
            'w_shows_who_sleeps_on_the_limit', done.stdout, done.stderr)
    done = c.run('stat', '-z', pid)
    row = [line for line in done.stdout.splitlines() if line.startswith('test objects')]
    c.check(len(row) == 1 and row[0].split()[2:5] == ['100', '0', '50'], 'z_shows_the_zone', row)
    c.succeeds('all_tables', 'stat', pid)


def main():
    command, scratch, target, folder = arguments()
    c = Cooper(command)
    shutil.rmtree(scratch, ignore_errors=True)
    os.makedirs(scratch)
    os.chdir(scratch)
    golden(c, folder)
    same_json(c, folder)
    sums(c, folder)
    living(c, target)
    c.tap.done()


main()
