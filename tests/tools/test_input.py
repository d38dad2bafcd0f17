"""Bad input to the cooper command: one line, exit status 2, nothing run, nothing written.

usage: test_input.py COOPER SCRATCH STATIC_PROGRAM
"""

import os
import shutil

from tools import Cooper, arguments


def bad_commands(c):
    c.refuses('no_command', says=['run, stat, lab', 'help'])
    c.refuses('unknown_command', 'frobnicate', says=['frobnicate', 'run, stat, lab, help'])
    c.refuses('a_line_stays_one', 'two\nlines\x1b[2J', says=['two?lines?[2J'])
    c.refuses('version_and_more', '--version', 'now')
    c.refuses('help_about_nothing_known', 'help', 'lunch', says=['lunch', 'run, stat, lab, help'])
    c.refuses('help_takes_one', 'help', 'run', 'stat')


def bad_options(c):
    marker = 'ran'
    ran = ['--', '/bin/sh', '-c', f'touch {marker}']
    cases = {
        'unknown_option': (['--frob'], ['--frob', '--shape']),
        'unknown_short_option': (['-q'], ['-q', '--shape']),
        'shape_without_value': (['--shape'], ['--shape']),
        'shape_unknown': (['--shape', 'vax'], ['vax', 'i386 or amd64']),
        'physmem_zero': (['--physmem', '0'], ['--physmem 0', '1M']),
        'physmem_negative': (['--physmem', '-64M'], ['-64M', '1M']),
        'physmem_too_small': (['--physmem', '4K'], ['4K', '1M']),
        'physmem_overflow': (['--physmem', '99999999999999999999G'], ['999G', '1M']),
        'physmem_beyond': (['--physmem', '5000T'], ['5000T', '1M']),
        'physmem_words': (['--physmem', 'much'], ['much', '1M']),
        'physmem_suffix': (['--physmem', '64MM'], ['64MM', '1M']),
        'physmem_empty': (['--physmem', ''], ['--physmem']),
        'physmem_smuggles': (['--physmem', '64M,debug'], ['64M,debug', 'commas']),
        'kva_zero': (['--kva', '0'], ['--kva 0', '1M']),
        'cpus_zero': (['--cpus', '0'], ['--cpus 0', '1 to 256']),
        'cpus_many': (['--cpus', '257'], ['257', '1 to 256']),
        'cpus_negative': (['--cpus', '-1'], ['-1', '1 to 256']),
        'cpus_fraction': (['--cpus', '1.5'], ['1.5', '1 to 256']),
        'domains_zero': (['--domains', '0'], ['--domains 0', '1 to 8']),
        'domains_many': (['--domains', '9'], ['9', '1 to 8']),
        'domains_over_cpus': (['--cpus', '1', '--domains', '2'], ['domains', '2', '1']),
        'stats_empty': (['--stats', ''], ['--stats']),
        'stats_comma': (['--stats', 'a,b'], ['a,b', 'commas']),
        'stats_no_folder': (['--stats', 'no/such/folder/file'], ['no/such/folder']),
        'stats_folder': (['--stats', '.'], ['--stats']),
        'hang_zero': (['--hang', '0'], ['--hang 0', 'seconds']),
        'hang_words': (['--hang', 'soon'], ['soon', 'seconds']),
        'debug_with_value': (['--debug=yes'], ['--debug']),
    }
    for name, (options, says) in cases.items():
        c.refuses(name, 'run', *options, *ran, says=says)
    for name, options, says in (
            ('environment_unknown', 'frob=1', ['COOPER_OPTIONS', 'frob', 'shape']),
            ('environment_size', 'physmem=0', ['COOPER_OPTIONS', 'physmem=0', '1M']),
            ('environment_shape', 'debug,shape=vax', ['COOPER_OPTIONS', 'vax', 'i386 or amd64'])):
        c.refuses(name, 'run', *ran, says=says, env={'COOPER_OPTIONS': options})
    c.check(not os.path.exists(marker), 'nothing_was_run')


def shapes_that_cannot_start(c):
    ran = ['--', '/bin/sh', '-c', 'touch ran']
    c.refuses('kva_too_small_for_the_reserve', 'run', '--cpus', '256', '--physmem', '64M', '--kva', '1M',
              *ran, says=['shape'])
    c.refuses('domains_without_memory', 'run', '--cpus', '256', '--domains', '8', '--physmem', '1M', *ran,
              says=['shape'])
    c.check(not os.path.exists('ran'), 'nothing_was_started')


def bad_programs(c, static):
    c.refuses('no_program', 'run', says=['command is missing'])
    c.refuses('no_program_after_dashes', 'run', '--', says=['command is missing'])
    c.refuses('program_not_in_path', 'run', '--', 'no-such-program-at-all', says=['no-such-program-at-all'])
    c.refuses('program_not_there', 'run', '--', '/no/such/program', says=['/no/such/program'])
    c.refuses('program_empty', 'run', '--', '', says=['no program'])
    c.refuses('program_is_folder', 'run', '--', '/usr', says=['/usr', 'directory'])
    with open('plain', 'w') as file:
        file.write('hello\n')
    c.refuses('program_not_executable', 'run', '--', './plain', says=['./plain', 'not executable'])
    os.chmod('plain', 0o755)
    c.refuses('program_is_text', 'run', '--', './plain', says=['./plain', 'neither'])
    with open('script', 'w') as file:
        file.write('#!/no/such/shell\n')
    os.chmod('script', 0o755)
    c.refuses('script_without_interpreter', 'run', '--', './script', says=['./script', '/no/such/shell'])
    with open('loop', 'w') as file:
        file.write('#!./loop\n')
    os.chmod('loop', 0o755)
    c.refuses('script_that_runs_itself', 'run', '--', './loop', says=['loop'])
    c.refuses('program_is_static', 'run', '--', static, says=['static'])
    privileged = shutil.which('su')
    if os.geteuid() == 0:
        shutil.copy('/bin/true', 'privileged')
        os.chown('privileged', 65534, -1)
        os.chmod('privileged', 0o4755)
        privileged = './privileged'
    c.refuses('program_is_set_user_id', 'run', '--', privileged, says=['set-user-ID'])
    with open('damaged', 'wb') as file:
        with open('/bin/true', 'rb') as good:
            file.write(good.read(40))
    os.chmod('damaged', 0o755)
    c.refuses('program_is_damaged', 'run', '--', './damaged', says=['damaged'])


def foreign_files(c):
    text = 'dear diary\n'
    with open('diary', 'w') as file:
        file.write(text)
    c.refuses('stats_is_somebodys_file', 'run', '--stats', 'diary', '--', '/bin/true', says=['diary'])
    with open('diary') as file:
        c.check(file.read() == text, 'somebodys_file_is_untouched')
    c.check(not os.path.exists('diary.run'), 'no_board_is_left')
    c.refuses('stat_of_foreign_file', 'stat', 'diary', says=['diary', 'not a statistics file', '--stats'])
    c.refuses('stat_of_no_file', 'stat', 'no-such-file', says=['no-such-file', 'No such file'])
    c.refuses('stat_of_folder', 'stat', '.', says=['regular'])
    os.mkfifo('pipe')
    c.refuses('stat_of_pipe', 'stat', 'pipe', says=['pipe', 'regular'])
    open('empty', 'w').close()
    c.refuses('stat_of_empty_file', 'stat', 'empty', says=['empty'])
    good = '{"cooper_stats":1,"zones":[]}\n'
    damaged = {
        'cut': good + '{"cooper_stats":1,"zones":[',
        'format': '{"cooper_stats":99}\n',
        'format_type': '{"cooper_stats":"1"}\n',
        'not_a_list': '{"cooper_stats":1,"zones":7}\n',
        'not_an_object': '{"cooper_stats":1,"zones":[7]}\n',
        'text_for_number': '{"cooper_stats":1,"zones":[{"size":"7"}]}\n',
        'negative': '{"cooper_stats":1,"zones":[{"size":-7}]}\n',
        'number_for_text': '{"cooper_stats":1,"zones":[{"name":7}]}\n',
        'long_list': '{"cooper_stats":1,"zones":[{"domain":[' + ','.join(['{}'] * 99) + ']}]}\n',
        'huge_number': '{"cooper_stats":1,"zones":[{"size":99999999999999999999}]}\n',
        'twice': '{"cooper_stats":1,"zones":[],"zones":[]}\n',
        'second_line_foreign': good + 'hello\n',
    }
    for name, text in damaged.items():
        with open('damaged.json', 'w') as file:
            file.write(text)
        c.refuses('stat_of_damaged_' + name, 'stat', 'damaged.json', says=['damaged.json', 'line'])
    with open('damaged.json', 'wb') as file:
        file.write(b'{"cooper_stats":1,"zones":[{"name":"\xff"}]}\n')
    c.refuses('stat_of_damaged_encoding', 'stat', 'damaged.json', says=['line 1'])


def bad_processes(c):
    c.refuses('stat_without_target', 'stat', says=['process'])
    c.refuses('stat_of_two', 'stat', '1', '2', says=['one'])
    c.refuses('stat_unknown_option', 'stat', '-x', '1', says=['-x', '-z'])
    c.refuses('stat_unknown_long_option', 'stat', '--yaml', '1', says=['--yaml', '--json'])
    c.refuses('stat_of_nobody', 'stat', str(2 ** 22 + 1), says=['no such process'])
    c.refuses('stat_of_zero', 'stat', '0', says=['0'])
    c.refuses('stat_of_huge_number', 'stat', '9' * 30, says=['9'])
    c.refuses('stat_of_other_process', 'stat', str(os.getpid()), says=['does not run on Cooper'])


def main():
    command, scratch, static = arguments()
    c = Cooper(command)
    shutil.rmtree(scratch, ignore_errors=True)
    os.makedirs(scratch)
    os.chdir(scratch)
    bad_commands(c)
    bad_options(c)
    shapes_that_cannot_start(c)
    bad_programs(c, static)
    foreign_files(c)
    bad_processes(c)
    os.chdir('/')
    shutil.rmtree(scratch)
    c.tap.done()


main()
