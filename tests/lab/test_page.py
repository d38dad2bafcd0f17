"""The report's page in a real browser: no script error, and its figures are those of the JSON.

usage: test_page.py SHOW COOPER_LAB SCRATCH

SHOW writes recordings made by hand, as page and as JSON; COOPER_LAB does the same of a real run.
"""

import html.parser
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
from tap import Tap

VOID = {'meta', 'br', 'hr', 'img', 'input', 'link'}


class Element:
    def __init__(self, tag, attributes, parent):
        self.tag, self.attributes, self.parent = tag, dict(attributes), parent
        self.children = []

    def text(self):
        return ''.join(c if isinstance(c, str) else c.text() for c in self.children)

    def all(self, **wanted):
        """Elements below this one that have these attributes; True: any value."""
        found = []
        for child in self.children:
            if isinstance(child, str):
                continue
            has = {name.replace('_', '-'): value for name, value in wanted.items()}
            if all(name in child.attributes and value in (True, child.attributes[name])
                   for name, value in has.items()):
                found.append(child)
            found += child.all(**wanted)
        return found


class Page(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.root = self.at = Element('', {}, None)
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        element = Element(tag, attributes, self.at)
        self.at.children.append(element)
        if tag not in VOID:
            self.at = element

    def handle_endtag(self, tag):
        at = self.at
        while at is not None and at.tag != tag:
            at = at.parent
        if at is not None and at.parent is not None:
            self.at = at.parent

    def handle_data(self, data):
        self.at.children.append(data)


def browse(path, profile):
    """The page as it stands after its script, and what the browser complained of."""
    chromium = shutil.which('chromium') or shutil.which('chromium-browser')
    done = subprocess.run([chromium, '--headless', '--no-sandbox', '--disable-gpu', '--no-first-run',
                           '--disable-extensions', '--disable-background-networking',
                           '--host-resolver-rules=MAP * ~NOTFOUND', '--user-data-dir=' + profile,
                           '--enable-logging=stderr', '--virtual-time-budget=5000', '--dump-dom',
                           'file://' + path], capture_output=True, text=True, timeout=100)
    console = [line for line in done.stderr.splitlines() if ':CONSOLE' in line]
    return Page(done.stdout).root, console


def number(text):
    return int(text.replace(',', ''))


def drawn(chart):
    """The steps and values of a line, from its geometry: x in 1/1000 of the run, y down to 0."""
    path = [p for p in chart.all(**{'class': 'value'})][0].attributes['d']
    top = int(chart.attributes['data-top'])
    first = re.match(r'M([\d.-]+) ([\d.-]+)', path)
    rest = re.findall(r'H([\d.-]+)V([\d.-]+)', path)
    return [(float(px), (100 - float(py)) / 100 * top) for px, py in [first.groups(), *rest]]


def check_meters(tap, name, page, report):
    charts = {c.attributes['data-meter']: c for c in page.all(data_meter=True)}
    meters = [m for m in report['meters'] if m['kind'] != 'reserve']
    tap.check(sorted(charts) == sorted({m['name'] for m in meters}), name + '_a_line_for_each_meter',
              [str(sorted(charts))])
    begin = min([m['points'][0][0] for m in report['meters']] + [max(report['steps'], 1) - 1])
    end, wrong = max(report['steps'], 1), []
    for m in meters:
        chart = charts.get(m['name'])
        if chart is None or sum(n['name'] == m['name'] for n in meters) > 1:
            continue
        points = drawn(chart)
        if int(chart.attributes['data-last']) != m['last'] or len(points) != len(m['points']):
            wrong.append(f"{m['name']}: {len(points)} points, last {chart.attributes['data-last']}")
            continue
        room = int(chart.attributes['data-top']) / 10000 + .01
        for (x, y), p in zip(points, m['points']):
            if abs(x - (p[0] - begin) / (end - begin) * 1000) > .01 or abs(y - p[1]) > room:
                wrong.append(f"{m['name']}: {x} {y} is not {p[:2]}")
                break
    tap.check(not wrong, name + '_lines_are_the_points', wrong[:3])
    marks = sorted(int(line.attributes['data-step']) for line in page.all(data_step=True))
    tap.check(marks == sorted(f['step'] for f in report['fatal'] + report['risen']),
              name + '_fatal_steps_are_marked', [str(marks)])


def check_figures(tap, name, page, report):
    figures = {}
    for element in page.all(data_figure=True):
        figures.setdefault(element.attributes['data-figure'], []).append(element.text().strip())
    wrong = []

    def same(figure, wanted):
        if figures.get(figure) != wanted:
            wrong.append(f'{figure}: {figures.get(figure)} is not {wanted}')

    for figure in ('scenario', 'verdict', 'line', 'policy', 'hash'):
        same(figure, [report[figure].strip()])
    same('paragraph', [report['explanation']['paragraph']])
    same('seed', [str(report['seed'])])
    same('steps', [f"{report['steps']:,}"])
    same('faults', [', '.join(report['faults']) or 'none'])
    same('deviations', [str(len(report['deviations']))])
    for column in ('step', 'from', 'to', 'bound'):
        if report['fatal']:
            same('fatal-' + column, [f'{f[column]:,}' for f in report['fatal']])
    if len(figures.get('thread', [])) != len(report['fibers']):
        wrong.append('threads: ' + str(len(figures.get('thread', []))))
    tap.check(not wrong, name + '_figures_are_those_of_the_json', wrong[:3])


def check_chain(tap, name, page, report):
    nodes, edges = report['explanation']['nodes'], report['explanation']['edges']
    boxes = {int(b.attributes['data-node']): b for b in page.all(data_node=True)}
    wrong = [n['title'] for n in nodes if n['id'] not in boxes or
             n['title'] not in boxes[n['id']].text() or (n['detail'] or '') not in boxes[n['id']].text()]
    lines = page.all(data_edge=True)
    circles = [e for e in lines if 'circle' in e.attributes['class'].split()]
    tap.check(len(boxes) == len(nodes) and not wrong, name + '_the_picture_has_each_node', wrong)
    tap.check(len(lines) == len(edges) and len(circles) == sum(e['circle'] for e in edges),
              name + '_the_picture_has_each_edge', [f'{len(lines)} of {len(edges)}'])


def check_page(tap, name, path, report, profile):
    with open(path) as file:
        source = file.read()
    tap.check(not re.search(r'(?:src|href)\s*=|url\((?!#)|@import', source), name + '_refers_to_nothing')
    page, console = browse(path, profile)
    root = page.all(lang='en')
    ready = bool(root) and root[0].attributes.get('data-ready') == 'yes' and \
        'data-error' not in root[0].attributes
    tap.check(ready and not console, name + '_no_script_error',
              console[:3] or [str(root and root[0].attributes)])
    data = page.all(id='data')
    tap.check(bool(data) and json.loads(data[0].text()) == report, name + '_carries_the_json')
    check_figures(tap, name, page, report)
    check_meters(tap, name, page, report)
    check_chain(tap, name, page, report)
    return page


def main():
    show, lab, scratch = sys.argv[1:]
    tap = Tap()
    found = shutil.which('chromium') or shutil.which('chromium-browser')
    if not tap.check(found is not None, 'chromium_is_installed', ['run scripts/deps.sh test']):
        tap.done()
    os.makedirs(scratch, exist_ok=True)
    with tempfile.TemporaryDirectory() as profile:
        for name in ('deadlock', 'lost-wakeup', 'hostile-names', 'peace'):
            path = os.path.join(scratch, name + '.html')
            with open(path, 'w') as file:
                subprocess.run([show, name, 'html'], stdout=file, check=True)
            report = json.loads(subprocess.run([show, name, 'json'], capture_output=True, check=True).stdout)
            page = check_page(tap, name.replace('-', '_'), path, report, profile)
            if name == 'hostile-names':
                tap.check(not page.all(id='out'), 'no_name_gets_out_of_its_place')
        path, kept = os.path.join(scratch, 'run.html'), os.path.join(scratch, 'run.lab')
        done = subprocess.run([lab, 'run', 'zone-limit', '--fault', 'lost_limit_wakeup', '--json',
                               '--html', path, '--save', kept], capture_output=True)
        if tap.check(done.returncode == 3, 'a_real_run_is_reported', [done.stderr.decode()[:200]]):
            page = check_page(tap, 'run', path, json.loads(done.stdout)['report'], profile)
    tap.done()


main()
