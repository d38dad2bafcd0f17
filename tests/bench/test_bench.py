"""The benchmarks' arithmetic and table on canned output, and one true run of two rows.

usage: test_bench.py SOURCE BUILD
"""

import json
import os
import subprocess
import sys

SOURCE, BUILD = sys.argv[1:]
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(SOURCE, 'bench'))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import results
import rows
from tap import Tap


def bench(*words, **env):
    return subprocess.run([sys.executable, '-B', os.path.join(SOURCE, 'bench', 'bench.py'), *words],
                          env={'PATH': '/usr/bin:/bin', **env}, capture_output=True, text=True, timeout=300)


def canned():
    """Three rounds in which the machine is once ten times slower, for all alike."""
    samples = results.Samples()
    for number, slow in enumerate((1, 10, 1)):
        for who, value in (('cooper-amd64', 4), ('cooper-i386', 6), ('glibc', 20), ('jemalloc', 8)):
            samples.add('malloc_pair_64', who, number, value * slow, 'ns')
        samples.add('zone_pair_64', 'cooper-amd64', number, 2 * slow, 'ns')
        samples.add('arena_pair', 'cooper-amd64', number, 10 * slow, 'ns')
        samples.add('arena_pair', 'two_level', number, 40 * slow, 'ns')
        samples.add('lab_point', 'cooper-amd64', number, 70 * slow, 'ns')
        for program, ours, glibc, jemalloc in (('a', 1, 2, 1), ('b', 4, 2, 4)):
            for who, value in (('cooper-amd64', ours), ('glibc', glibc), ('jemalloc', jemalloc)):
                samples.add(f'program_{program}_time', who, number, value * slow, 's')
                samples.add(f'program_{program}_peak', who, number, 1000 * value, 'KiB')
    return samples


def only(found, name, shape='amd64'):
    return next(record for record in found if (record['name'], record['shape']) == (name, shape))


def lines_of_a_driver(tap):
    text = 'malloc_pair_64 12.5 ns\nlist:arena_pair 3e2\narena_bytes 40 bytes\n'
    tap.check(list(results.parse(text, 'd')) == [
        ('malloc_pair_64', 12.5, 'ns', None), ('arena_pair', 300.0, 'ns', 'list'),
        ('arena_bytes', 40.0, 'bytes', None)], 'figures_of_a_driver_are_read')
    for bad in ('malloc_pair_64', 'a b ns', 'warning: no rseq', 'a 1 ns more and more'):
        try:
            list(results.parse(bad, 'driver_x'))
            said = ''
        except results.Bad as error:
            said = str(error)
        tap.check('driver_x' in said and repr(bad) in said, f'anything_else_is_refused: {bad}')
    samples = results.Samples()
    samples.add('a', 'glibc', 0, 1, 'ns')
    try:
        samples.add('a', 'glibc', 1, 1, 'us')
        refused = False
    except results.Bad:
        refused = True
    tap.check(refused, 'a_row_keeps_its_unit')


def arithmetic(tap):
    found = list(results.records(canned(), rows.INSTEAD))
    pair = only(found, 'malloc_pair_64')
    tap.check(pair['ours'] == {'min': 4, 'median': 4, 'max': 40}, 'least_median_greatest', [str(pair['ours'])])
    tap.check((pair['best_peer'], pair['ratio']) == ('jemalloc', 0.5), 'the_best_peer', [str(pair)])
    tap.check(pair['ratios']['glibc'] == {'min': 0.2, 'median': 0.2, 'max': 0.2},
              'a_ratio_is_of_neighbours_in_time', [str(pair['ratios'])])
    tap.check(only(found, 'malloc_pair_64', 'i386')['ratio'] == 0.75, 'each_shape_has_its_record')
    zone = only(found, 'zone_pair_64')
    tap.check((zone['peers_measure'], zone['ratio']) == ('malloc_pair_64', 0.25),
              'a_zone_stands_beside_malloc', [str(zone)])
    arena = only(found, 'arena_pair')
    tap.check((arena['best_peer'], arena['ratio']) == ('two_level', 0.25), 'a_reference_of_the_driver')
    tap.check(only(found, 'lab_point')['ratio'] is None, 'no_peer_no_ratio')
    lone = results.ratio({0: 1.0, 1: 9.0, 2: 3.0}, {0: 1.0, 1: 3.0})
    tap.check(lone == {'min': 1, 'median': 2, 'max': 3}, 'rounds_that_one_lacks_are_left_out', [str(lone)])
    return found


def whole_programs(tap, found):
    means = list(results.program_records(found))
    time, worst = only(means, 'programs_time'), only(means, 'programs_time_worst')
    # glibc: 1/2 and 2; jemalloc: 1 and 1
    tap.check({peer: round(r['median'], 6) for peer, r in time['ratios'].items()} == {'glibc': 1, 'jemalloc': 1},
              'geometric_means', [str(time)])
    tap.check((worst['ratio'], worst['best_peer'], worst['peers_measure']) == (2, 'glibc', 'program_b_time'),
              'the_worst_program_against_its_best_peer', [str(worst)])
    return found + means


def bars(tap, found):
    verdicts = list(results.judge(found, [
        ('malloc_pair_64', 'best', 0.5, 'as good as it says'), ('malloc_pair_64', 'best', 0.49, 'a bit more'),
        ('*_pair_64', 'best', 0.4, 'the worst of a pattern'), ('zone_pair_64', 'best', 0.55, 'zone'),
        ('malloc_pair_64', 'over glibc', -15, 'beyond glibc'), ('lab_point', 'value', 60, 'own'),
        ('lab_point', 'seen', None, 'reported'), ('nothing', 'best', 1, 'absent'),
        ('programs_peak', 'peer glibc', 1.0, 'memory'),
        ('lab_point', 'own malloc_pair_64', 17.5, 'own ratio')], 'amd64'))
    tap.check([verdict['met'] for verdict in verdicts] == [True, False, False, True, True, False, None, None, True, True],
              'bars_are_judged', [str([(v['bar'], v['seen'], v['met']) for v in verdicts])])
    lines = list(results.bar_lines(verdicts))
    tap.check(lines[-1] == '5 bars met, 3 not met, 1 not measured', 'the_sum_of_the_bars', lines)
    tap.check(lines[2] == 'NOT MET      the worst of a pattern: at most 0.4 of the best peer; '
              'seen 0.50 (jemalloc), malloc_pair_64', 'a_bar_says_what_was_seen', [lines[2]])
    tap.check(lines[9] == 'met          own ratio: at most 17.5 of malloc_pair_64; seen 17.50, lab_point' and
              lines[8].startswith('met          memory: at most 1 of glibc; seen 1.00'), 'whose ratio it is', lines)
    tap.check(lines[7] == 'not measured absent: at most 1 of the best peer', 'what_is_missing_is_said', [lines[7]])
    text = list(results.table(found, ['glibc', 'jemalloc']))
    tap.check(any(line.split() == ['malloc_pair_64', 'ns', 'amd64', '4.0', '4.0..40.0', '20.0', '8.0', '0.50',
                                   'jemalloc'] for line in text), 'the_table', text)
    tap.check(any('(two_level 40.0)' in line for line in text), 'own_references_in_the_table', text)
    text = list(results.markdown(found, verdicts, ['glibc', 'jemalloc']))
    tap.check('| a bit more | at most 0.49 of the best peer | 0.5, `malloc_pair_64` | NOT MET |' in text and
              '| `malloc_pair_64` | ns | amd64 | 4.0 | 4.0..40.0 | 20.0 | 8.0 | 0.50 jemalloc |' in text and
              '| `programs_time` | ratio | amd64 |  |  | 1.00 | 1.00 | 1.00 glibc |' in text and
              '| `arena_pair` | ns | amd64 | 10.0 | 10.0..100 |  |  | 0.25 two_level; two_level 40.0 |' in text,
              'the_tables_of_the_document', text)
    known = [row for driver in rows.DRIVERS for row in driver.rows]
    tap.check(len(set(known)) == len(known), 'no_two_drivers_print_one_row')


def options(tap):
    for words in (['--rounds'], ['--rounds', '0'], ['--rounds', '1x'], ['--nothing'], ['--only', 'no_such_row'],
                  ['--peers', 'glibc,nobody'], ['--output', '/nonexistent/x/y'], ['another']):
        done = bench(BUILD, *words)
        tap.check(done.returncode == 2 and not done.stdout and done.stderr.count('\n') == 1 and
                  done.stderr.startswith('bench: '), f'refused in one line: {" ".join(words)}',
                  [str(done.returncode), done.stdout[-200:], done.stderr[-500:]])
    done = bench('/nonexistent')
    tap.check(done.returncode == 2 and done.stderr.count('\n') == 1, 'refused in one line: no build',
              [done.stderr[-500:]])
    listed = bench(BUILD, '--list')
    tap.check(listed.returncode == 0 and 'start_up_resident\n' in listed.stdout, 'list', [listed.stderr])


def a_run(tap):
    output = os.path.join(BUILD, 'tests', 'bench', 'pair.json')
    done = bench(BUILD, '--rounds', '1', '--only', 'zone_pair', '--peers', 'glibc', '--output', output, QUICK='1')
    if not tap.check(done.returncode == 0, 'zone_pair is measured', [done.stdout[-500:], done.stderr[-500:]]):
        return
    with open(output) as file:
        wrote = json.load(file)
    names = {(record['name'], record['shape']) for record in wrote['results']}
    tap.check({('zone_pair_64', 'amd64'), ('zone_pair_64', 'i386')} <= names and
              all(name.startswith('zone_pair') for name, _ in names), 'its rows and no others', [str(names)])
    record = only(wrote['results'], 'zone_pair_64')
    tap.check(0 < record['ours']['min'] <= record['ours']['max'] and record['best_peer'] == 'glibc' and
              record['unit'] == 'ns', 'a record as documented', [str(record)])
    tap.check(abs(record['ratio'] - record['ours']['median'] / record['peers']['glibc']['median']) < 1e-3,
              'the ratio of one round', [str(record)])
    tap.check({'processor', 'cpus', 'kernel', 'load'} == set(wrote['machine']), 'the machine is named')


def main():
    tap = Tap()
    lines_of_a_driver(tap)
    found = whole_programs(tap, arithmetic(tap))
    bars(tap, found)
    options(tap)
    a_run(tap)
    tap.done()


main()
