"""A python program that makes and drops many objects: records, strings, lists, dictionaries, JSON
and a sort. Run with PYTHONMALLOC=malloc, so that each object comes from malloc. Prints a checksum."""

import json
import zlib


class Record:
    def __init__(self, number):
        self.number = number
        self.name = f'name{number * 7919 % 10007}'
        self.tags = [f'tag{number % k}' for k in range(2, 9)]
        self.links = {f'k{k}': number * k for k in range(6)}


def main():
    total = 0
    for generation in range(4):
        records = [Record(number) for number in range(generation, 8000 + generation)]
        towns = {}
        for record in records:
            towns.setdefault(record.number % 97, []).append(record)
        text = json.dumps([{'name': r.name, 'tags': r.tags, 'links': r.links} for r in records[::4]])
        back = json.loads(text)
        names = sorted(r.name + str(len(towns[r.number % 97])) for r in records)
        words = ' '.join(names).replace('name', 'n').split()
        total = zlib.crc32((words[generation] + text[-40:] + str(len(back))).encode(), total)
    print(total)


main()
