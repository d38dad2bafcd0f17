"""A text file as an array of a C header.

usage: embed.py TEXT HEADER NAME
"""

import sys


def main():
    text, header, name = sys.argv[1:]
    with open(text, 'rb') as file:
        content = file.read() + b'\0'
    lines = [', '.join(str(byte) for byte in content[i:i + 24]) for i in range(0, len(content), 24)]
    with open(header, 'w') as file:
        file.write(f'static const char {name}[] = {{\n\t' + ',\n\t'.join(lines) + '\n};\n')


main()
