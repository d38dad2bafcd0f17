"""What objects define and need, as nm says, and what headers declare."""

import re
import subprocess


def nm(archive, *options):
    """(defined, undefined by object) of an archive or object."""
    defined, undefined, member = set(), {}, archive
    out = subprocess.run(['nm', '-g', *options, archive], check=True, capture_output=True, text=True).stdout
    for line in out.splitlines():
        if line.endswith(':'):
            member = line[:-1]
        elif match := re.match(r'[0-9a-f]* +([A-Za-z]) (\S+)$', line):
            if match[1] in 'Uw':
                undefined.setdefault(match[2], set()).add(member)
            else:
                defined.add(match[2])
    return defined, undefined


def declared(headers):
    """Names of the functions and objects that headers declare and do not define."""
    names = set()
    for header in headers:
        with open(header) as file:
            text = file.read()
        text = re.sub(r'/\*.*?\*/|//[^\n]*', '', text, flags=re.S)
        text = re.sub(r'(?m)^#(.*\\\n)*.*$', '', text)
        text = re.sub(r'__attribute__\s*\(\((?:[^()]|\([^()]*\))*\)\)', '', text)
        text = re.sub(r'\btypedef\b[^;{]*;', '', text)
        text = re.sub(r'\)\s*\{[^{}]*\}', ') {}', text)  # bodies of inline functions
        names |= set(re.findall(r'\b(\w+)\s*\((?:[^(){};]|\([^(){};]*\))*\)\s*;', text))
        names |= set(re.findall(r'\bextern\b[^;()]*?\b(\w+)\s*(?:\[[^]]*\])?\s*;', text))
    return names
