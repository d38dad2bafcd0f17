"""What `meson install` lays down works for those who find it through pkg-config.

usage: install.py BUILD SCRATCH PREFIX CC EXAMPLE...

Installs under SCRATCH, compiles the examples from there, shared and static, and runs them; runs a
program with the installed command and with the installed malloc linked in.
"""

import glob
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
from tap import Tap

USES_MALLOC = '#include <stdlib.h>\nint main(void) { char *p = malloc(100); free(p); return (p == 0); }\n'


def main():
    build, scratch, prefix, cc, *examples = sys.argv[1:]
    cc, tap = cc.split(), Tap()
    shutil.rmtree(scratch, ignore_errors=True)
    os.makedirs(scratch)
    root = os.path.join(scratch, 'root')
    env = {'PATH': '/usr/bin:/bin', 'DESTDIR': root, 'LC_ALL': 'C'}

    def run(*command, **extra):
        done = subprocess.run(command, env={**env, **extra}, capture_output=True, text=True, timeout=120,
                              cwd=scratch)
        return done.returncode == 0, done.stdout, (done.stdout + done.stderr).splitlines()[-12:]

    ok, _, why = run('meson', 'install', '-C', build, '--no-rebuild', '--quiet')
    if not tap.check(ok, 'meson_install', why):
        tap.done()
    found = glob.glob(f'{root}{prefix}/lib*/**/pkgconfig', recursive=True)
    if not tap.check(len(found) == 1, 'pkg_config_files_are_there', found):
        tap.done()
    libraries = os.path.dirname(found[0])
    env.update(PKG_CONFIG_PATH=found[0], PKG_CONFIG_SYSROOT_DIR=root)

    def flags(package, *more):
        ok, out, why = run('pkg-config', '--cflags', '--libs', *more, package)
        tap.check(ok, f'pkg_config {package} {" ".join(more)}'.strip(), why)
        return out.split()

    shared = flags('cooper')
    static = [word for word in flags('cooper', '--static') if word != '-lcooper']
    for source in examples:
        name = os.path.splitext(os.path.basename(source))[0]
        for kind, words in (('shared', shared), ('static', [f'{libraries}/libcooper.a', *static])):
            program = os.path.join(scratch, f'{name}-{kind}')
            ok, _, why = run(*cc, '-Wall', '-Wextra', '-Werror', '-O1', source, '-o', program, *words)
            tap.check(ok, f'{name} compiles, {kind}', why)
            ok, _, why = run(program, LD_LIBRARY_PATH=libraries)
            tap.check(ok, f'{name} runs, {kind}', why)

    with open(os.path.join(scratch, 'uses.c'), 'w') as file:
        file.write(USES_MALLOC)
    ok, _, why = run(*cc, 'uses.c', '-o', 'uses', '-Wl,--no-as-needed', *flags('cooper-malloc'))
    tap.check(ok, 'a program links cooper-malloc', why)
    ok, _, why = run('./uses', LD_LIBRARY_PATH=libraries)
    tap.check(ok, 'it runs', why)
    command = f'{root}{prefix}/bin/cooper'
    ok, out, why = run(command, '--version')
    tap.check(ok and out.startswith('cooper '), 'the command tells its version', why)
    ok, _, why = run(command, 'run', '--shape', 'i386', '--', os.path.join(scratch, 'uses'),
                     LD_LIBRARY_PATH=libraries)
    tap.check(ok, 'the command finds the installed library', why)
    tap.done()


main()
