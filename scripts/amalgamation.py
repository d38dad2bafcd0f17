"""Write the freestanding core as two files, cooper.h and cooper.c.

usage: amalgamation.py SOURCE_ROOT OUT

cooper.h is the public interface and, for who defines COOPER_PORT before including it, what a port
sees: the checks, the machine table, pages, statistics. cooper.c is everything else, ground floor
first, as the rooms' meson.build list it. The port supplies machine_param.h, machine_inline.h and
machine_percpu.h, which the two files include, and the functions that docs/porting.md goes through.

What happens to the text: each header of the house is taken in where it is first asked for, and its
guard goes. What no header of cooper.h declares becomes static (COOPER_PRIVATE). Statics of two files
that have one name get their files' names in front; a file's macros end with it.
"""

import os
import re
import sys
from collections import Counter

ROOMS = ('base', 'sync', 'page', 'smr', 'uma', 'vmem', 'kmem', 'malloc', 'start', 'stats')
PUBLIC = ('types', 'cooper', 'domainset', 'uma', 'vmem', 'kmem', 'malloc', 'smr')
PORT = ('base/base.h', 'base/list.h', 'base/atomic.h', 'machine/machine.h', 'machine/percpu.h',
        'page/page.h', 'stats/json.h', 'stats/stats.h')
PORTS_OWN = ('machine_param.h', 'machine_inline.h', 'machine_percpu.h')
LABORATORY = ('faults.def',)  # behind COOPER_LAB, which these files are never built with

INCLUDE = re.compile(r'#\s*include\s*[<"]([^>"]+)[>"].*')
TOKEN = re.compile(r'(?P<skip>/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\')'
                   r'|(?P<field>(?:->|\.)\s*[A-Za-z_]\w*)|(?P<name>[A-Za-z_]\w*)', re.S)
# A declaration or definition at the left margin, up to the name that it gives.
DECLARES = r'(?m)^(?!typedef\b|extern\b|return\b|else\b)(?=[A-Za-z_])((?:(?!\bstatic\b)[\w*\n ()])+?)\b(%s)(?=\()'
BANNER = '/* ---- {} {} */'


def die(why):
    sys.exit(f'amalgamation: {why}')


def bare(text):
    """The text without comments, strings kept."""
    return TOKEN.sub(lambda m: ' ' if m['skip'] and m['skip'][0] == '/' else m[0], text)


def renamed(text, names):
    """Every use of an identifier under its new name, but not a field's of that name."""
    return TOKEN.sub(lambda m: names.get(m['name'], m[0]) if m['name'] else m[0], text)


def defined(text):
    """Names of functions that are defined with external linkage."""
    found = re.findall(r'(?m)^(?!#|\s|.*\bstatic\b)[\w*" (),]+\n(\w+)\((?:[^(){};]|\([^(){};]*\))*\)\n\{', bare(text))
    return set(found)


def declared(text):
    """Names of the functions that a header declares without defining them."""
    return set(re.findall(r'(?m)^(?!static\b|typedef\b|#)[\w* ()"]*?\b(\w+)\((?:[^(){};]|\([^(){};]*\))*\)'
                          r'(?: *\w+\([^;]*\))?;', bare(text)))


def objects(text):
    """Names of the objects that `extern` lines promise."""
    lines = re.findall(r'(?m)^extern ([^;{]*);', bare(text))
    return {name for line in lines for name in re.findall(r'\b(\w+)(?:\)\([^)]*\)|\[[^]]*\])?(?=,|$)', line)}


def statics(text):
    """Names at file scope that nobody else is to see: functions, objects, types."""
    text = bare(text)
    found = re.findall(r'(?m)^(?:[A-Z_]+ )*static\b[^;{}=]*?\b(\w+)(?:\(|\)\(|\[[^;=]*| *=|;)', text)
    found += re.findall(r'(?m)^(?:struct|union|enum) (\w+) \{', text)
    return set(found)


def macros(text):
    return list(dict.fromkeys(re.findall(r'(?m)^#define (\w+)', text)))


def without_guard(text, path):
    match = re.fullmatch(r'(.*?)#ifndef (\w+_H)\n#define \2\n(.*)\n#endif\n*', text, re.S)
    if match is None:
        die(f'{path}: has no include guard')
    return match[1] + match[3] + '\n'


class House:
    def __init__(self, root):
        self.root, self.taken, self.given = root, set(), set()

    def read(self, path):
        with open(os.path.join(self.root, path)) as file:
            return file.read()

    def find(self, name, here):
        """Where an included header is; None for one that is not the house's."""
        places = ('include', 'src', os.path.dirname(here))
        return next((path for path in (os.path.join(place, name) for place in places)
                     if os.path.exists(os.path.join(self.root, path))), None)

    def take(self, path):
        """A header with those that it asks for, unless it was taken before."""
        if path in self.taken:
            return ''
        self.taken.add(path)
        return BANNER.format(path, '') + '\n' + self.resolve(without_guard(self.read(path), path), path)

    def resolve(self, text, path):
        def include(match):
            name = match[1]
            if name in LABORATORY:
                return match[0]
            if name not in PORTS_OWN and (there := self.find(name, path)):
                return self.take(there)
            if name in self.given:
                return ''
            self.given.add(name)
            return f'#include "{name}"' if name in PORTS_OWN else f'#include <{name}>'
        return INCLUDE.sub(include, text)

    def sources(self):
        for room in ROOMS:
            listed = re.findall(r'core_src \+= files\((.*?)\)', self.read(f'src/{room}/meson.build'), re.S)
            names = [name for words in listed for name in re.findall(r"'([^']+)'", words)]
            if not names:
                die(f'src/{room}/meson.build lists no sources')
            yield from (f'src/{room}/{name}' for name in names)


def distinct(parts):
    """Sources with clashing statics renamed and macros undefined."""
    uses = Counter(name for text in parts.values() for name in statics(text))
    for path, text in parts.items():
        tag = re.sub(r'\W', '_', path[len('src/'):-len('.c')])
        names = {name: f'{tag}_{name}' for name in statics(text) if uses[name] > 1}
        text = renamed(text, names)
        undefined = ''.join(f'#undef {name}\n' for name in macros(text))
        yield path, text + undefined


def private(text, exported):
    """What the text defines for itself alone becomes static; so do the declarations of it."""
    functions = '|'.join(sorted(defined(text) - exported))
    text = re.sub(DECLARES % functions, r'COOPER_PRIVATE \1\2', text)
    own = objects(text) - exported
    mark = lambda prefix: lambda m: prefix + m[2] if objects(f'extern {m[2]};') & own else m[0]
    # All state of the core is marked as such, by its room; both words belong to each declaration.
    text = re.sub(r'(?m)^(extern )(const [^;{=]*)', mark('COOPER_PRIVATE '), text)
    text = re.sub(r'(?m)^(extern )([^;{=]*)', mark('COOPER_PRIVATE CORE_STATE '), text)
    text = re.sub(r'(?m)^(CORE_STATE )(?!static\b)([^;{=]*[^;{= ])', mark('COOPER_PRIVATE CORE_STATE '), text)
    return re.sub(r'(?m)^()(const (?!static\b)[^;{=(]*[^;{=( ])(?= =)', mark('COOPER_PRIVATE '), text)


HEAD = '''\
/*
 * Cooper {version}: kernel memory as a library, in one file and its header.
 *
 * Made by scripts/amalgamation.py from the rooms of the source tree: change those, not this.
 * BSD-2-Clause; the licence's text is at the end of cooper.h.
 */
'''


def header(house, version, licence):
    public = ''.join(house.take(f'include/cooper/{name}.h') for name in PUBLIC)
    port = ''.join(house.take(f'src/{name}') for name in PORT)
    return (HEAD.format(version=version) + '#ifndef COOPER_ONE_FILE_H\n#define COOPER_ONE_FILE_H\n\n' + public +
            '\n#ifdef COOPER_PORT /* what a port, and who prints tables, sees besides */\n\n' + port +
            '\n#endif /* COOPER_PORT */\n\n/*\n' +
            ''.join(f' * {line}'.rstrip() + '\n' for line in licence.splitlines()) + ' */\n#endif\n')


def source(house, version, exported):
    # A mark on a line of its own would hide what it marks.
    parts = {path: house.read(path).replace('\nCORE_STATE\n', '\nCORE_STATE ') for path in house.sources()}
    parts = dict(distinct(parts))
    body = ''
    for path, text in parts.items():
        body += BANNER.format(path, '') + '\n' + house.resolve(text, path) + '\n'
    return (HEAD.format(version=version) + '#define COOPER_PORT\n#include "cooper.h"\n\n'
            '/* What nobody outside asks for; here and there only tests do. */\n'
            '#define COOPER_PRIVATE static __attribute__((unused))\n\n' +
            private(body, exported))


def main():
    root, out = sys.argv[1:]
    house = House(root)
    version = re.search(r'COOPER_VERSION "(.*)"', house.read('include/cooper/cooper.h'))[1]
    first = header(house, version, house.read('LICENSE'))
    second = source(house, version, declared(first) | objects(first))
    os.makedirs(out, exist_ok=True)
    for name, text in (('cooper.h', first), ('cooper.c', second)):
        with open(os.path.join(out, name), 'w') as file:
            file.write(re.sub(r'\n{3,}', '\n\n', text))


if __name__ == '__main__':
    main()
