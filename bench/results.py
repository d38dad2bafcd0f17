"""From what the drivers printed in each round to records, bars and the table. Nothing is run here.

A sample set is {row: {who: {round: value}}}, who being a peer's name or cooper-SHAPE. A ratio is
taken within each round, whose contestants met the same machine, and the median of the rounds counts.
"""

import fnmatch
import math
import re
import statistics

LINE = re.compile(r'(?:([a-z0-9_]+):)?([a-z0-9_]+) (-?[0-9]+(?:\.[0-9]+)?(?:e[-+]?[0-9]+)?)(?: (\S+))?')


class Bad(Exception):
    """One line that says what is wrong."""


def parse(text, driver):
    """(row, value, unit, peer or None) for each line that a driver printed: `[PEER:]NAME VALUE [UNIT]`,
    nanoseconds if no unit is there, Cooper's or the contestant's own if no peer is."""
    for line in text.splitlines():
        match = LINE.fullmatch(line.strip())
        if not match:
            raise Bad(f'{driver} printed {line!r}; wanted [PEER:]NAME VALUE [UNIT]')
        yield match[2], float(match[3]), match[4] or 'ns', match[1]


class Samples:
    def __init__(self):
        self.values, self.units = {}, {}

    def add(self, row, who, number, value, unit):
        if self.units.setdefault(row, unit) != unit:
            raise Bad(f'{row} has the units {self.units[row]} and {unit}')
        self.values.setdefault(row, {}).setdefault(who, {})[number] = value

    def of(self, row, who):
        return self.values.get(row, {}).get(who, {})

    def everyone(self, row):
        return list(self.values.get(row, {}))


def spread(values):
    values = list(values)
    return {'min': min(values), 'median': statistics.median(values), 'max': max(values)}


def ratio(ours, theirs):
    """Of two {round: value}: the spread of the ratios of the rounds that both have."""
    both = [ours[number] / theirs[number] for number in ours if theirs.get(number)]
    return spread(both) if both else None


def records(samples, instead):
    """One record for each row and shape of Cooper's."""
    for row in samples.values:
        for who in samples.everyone(row):
            if not who.startswith('cooper-'):
                continue
            beside = row if len(samples.everyone(row)) > 1 and any(
                not peer.startswith('cooper-') for peer in samples.everyone(row)) else instead.get(row, row)
            peers = {peer: samples.of(beside, peer) for peer in samples.everyone(beside)
                     if not peer.startswith('cooper-')}
            ratios = {peer: ratio(samples.of(row, who), found) for peer, found in peers.items()}
            ratios = {peer: found for peer, found in ratios.items() if found}
            best = max(ratios, key=lambda peer: ratios[peer]['median']) if ratios else None
            yield {'name': row, 'unit': samples.units[row], 'shape': who.removeprefix('cooper-'),
                   'ours': spread(samples.of(row, who).values()),
                   'peers': {peer: spread(found.values()) for peer, found in peers.items() if found},
                   'peers_measure': beside if peers else None, 'ratios': ratios, 'best_peer': best,
                   'ratio': round(ratios[best]['median'], 4) if best else None}


def geometric_mean(values):
    return math.exp(statistics.fmean(math.log(value) for value in values))


PROGRAM_RECORDS = ['programs_time', 'programs_time_worst', 'programs_peak', 'programs_peak_worst']


def program_records(found):
    """What the whole programs say together. Each mean is of the programs' median ratios."""
    for kind in ('time', 'peak'):
        mine = [record for record in found if re.fullmatch(f'program_[a-z0-9_]+_{kind}', record['name'])
                and record['ratios']]
        if not mine:
            continue
        peers = sorted(set.intersection(*(set(record['ratios']) for record in mine)))
        means = {peer: geometric_mean(record['ratios'][peer]['median'] for record in mine) for peer in peers}
        yield derived(f'programs_{kind}', mine[0]['shape'], means)
        worst = max(mine, key=lambda record: record['ratio'])
        yield derived(f'programs_{kind}_worst', mine[0]['shape'], {worst['best_peer']: worst['ratio']},
                      worst['name'])


def derived(name, shape, ratios, of=None):
    best = max(ratios, key=ratios.get)
    return {'name': name, 'unit': 'ratio', 'shape': shape, 'ours': None, 'peers': {}, 'peers_measure': of,
            'ratios': {peer: spread([value]) for peer, value in ratios.items()}, 'best_peer': best,
            'ratio': round(ratios[best], 4)}


# ---- bars ----------------------------------------------------------------------------------------

def seen(record, how, own):
    """What a bar looks at; None if it was not measured. own: {row: record} of the same shape."""
    way, _, of = how.partition(' ')
    if how in ('value', 'seen'):
        return record['ours']['median']
    if how == 'best':
        return record['ratio']
    if way == 'peer':
        return record['ratios'][of]['median'] if of in record['ratios'] else None
    if way == 'over':
        return record['ours']['median'] - record['peers'][of]['median'] if of in record['peers'] else None
    if way == 'own':
        return record['ours']['median'] / own[of]['ours']['median'] if of in own else None
    raise Bad(f'no such bar: {how}')


def judge(found, bars, shape):
    """One verdict a bar: met is True, False, or None where nothing was measured or no limit is set.
    Of a pattern's rows the worst counts."""
    own = {record['name']: record for record in found if record['shape'] == shape}
    for pattern, how, limit, text in bars:
        values = [(seen(record, how, own), record) for name, record in own.items()
                  if fnmatch.fnmatchcase(name, pattern)]
        values = [(value, record) for value, record in values if value is not None]
        value, worst = max(values, key=lambda pair: pair[0]) if values else (None, None)
        yield {'bar': text, 'row': worst['name'] if worst else pattern, 'how': how, 'limit': limit,
               'seen': round(value, 4) if values else None, 'best_peer': worst['best_peer'] if worst else None,
               'met': value <= limit if values and limit is not None else None}


def cell(value):
    if value is None:
        return '-'
    return f'{value / 1000:.0f}k' if value >= 10000 else f'{value:.1f}' if value < 100 else f'{value:.0f}'


def table(found, peers):
    """The records as lines. Peers of a driver's own, not in `peers`, follow the ratio."""
    yield (f"{'figure':32} {'unit':5} {'shape':5} {'ours':>7} {'min..max':>13} " +
           ' '.join(f'{peer:>8}' for peer in peers) + '  ours/best peer')
    for record in found:
        ours = record['ours']
        theirs = ' '.join(f"{cell(record['peers'][peer]['median'] if peer in record['peers'] else None):>8}"
                          if ours else
                          f"{record['ratios'][peer]['median']:8.2f}" if peer in record['ratios'] else f"{'-':>8}"
                          for peer in peers)
        own = ', '.join(f"{peer} {cell(value['median'])}" for peer, value in record['peers'].items()
                        if peer not in peers)
        best = f"{record['ratio']:.2f} {record['best_peer']}" if record['ratio'] is not None else '-'
        note = f"  ({own})" if own else f" {record['peers_measure']}" \
            if record['peers_measure'] not in (None, record['name']) else ''
        yield (f"{record['name']:32} {record['unit']:5} {record['shape']:5} "
               f"{cell(ours['median']) if ours else '':>7} "
               f"{cell(ours['min']) + '..' + cell(ours['max']) if ours else '':>13} {theirs}  {best}{note}")


def limit_of(verdict):
    names = {'best': 'of the best peer', 'peer': 'of', 'over': 'more than', 'own': 'of', 'value': ''}
    way, _, of = verdict['how'].partition(' ')
    return 'reported' if verdict['limit'] is None else \
        ' '.join(filter(None, (f"at most {verdict['limit']:g}", names[way], of)))


def word_of(verdict):
    if verdict['limit'] is None and verdict['seen'] is not None:
        return 'seen'
    return {True: 'met', False: 'NOT MET', None: 'not measured'}[verdict['met']]


def bar_lines(verdicts):
    for verdict in verdicts:
        peer = f" ({verdict['best_peer']})" if verdict['how'] == 'best' and verdict['best_peer'] else ''
        value = f"{verdict['seen']:.2f}{peer}" if verdict['seen'] is not None else ''
        yield f"{word_of(verdict):12} {verdict['bar']}: {limit_of(verdict)}" + (f'; seen {value}, {verdict["row"]}' if value else '')
    met = [verdict['met'] for verdict in verdicts]
    yield f'{met.count(True)} bars met, {met.count(False)} not met, ' \
          f'{sum(v["seen"] is None for v in verdicts)} not measured'


def markdown(found, verdicts, peers):
    """The same for docs/performance.md."""
    yield '| bar | limit | seen | |\n|---|---|---|---|'
    for verdict in verdicts:
        value = '' if verdict['seen'] is None else f"{verdict['seen']:.3g}, `{verdict['row']}`"
        yield f"| {verdict['bar']} | {limit_of(verdict)} | {value} | {word_of(verdict)} |"
    yield ''
    yield '| figure | unit | shape | Cooper | least..greatest | ' + ' | '.join(peers) + ' | ratio to the best |'
    yield '|---|---|---|---|---|' + '---|' * len(peers) + '---|'
    for record in found:
        ours, others = record['ours'], {**record['peers']}
        if not ours:
            others = {peer: value for peer, value in record['ratios'].items()}
        own = ''.join(f"; {peer} {cell(value['median'])}" for peer, value in others.items() if peer not in peers)
        yield (f"| `{record['name']}` | {record['unit']} | {record['shape']} | "
               f"{cell(ours['median']) if ours else ''} | "
               f"{cell(ours['min']) + '..' + cell(ours['max']) if ours else ''} | " +
               ' | '.join(f"{others[peer]['median']:.2f}" if peer in others and not ours else
                          cell(others[peer]['median']) if peer in others else '' for peer in peers) +
               ' | ' + (f"{record['ratio']:.2f} {record['best_peer']}{own}" if record['ratio'] is not None else '') +
               ' |')
