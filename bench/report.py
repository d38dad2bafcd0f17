"""What bench.py has written, as the tables of docs/performance.md.

usage: report.py BENCH_JSON [SHAPE]     SHAPE: of these figures only
"""

import json
import sys

import results
import rows


def main():
    if len(sys.argv) not in (2, 3) or sys.argv[2:] and sys.argv[2] not in rows.SHAPES:
        sys.exit(__doc__.strip())
    with open(sys.argv[1]) as file:
        wrote = json.load(file)
    machine = wrote['machine']
    print(f"Commit {wrote['commit']}, {wrote['rounds']} rounds; {machine['processor']}, {machine['cpus']} CPUs, "
          f"Linux {machine['kernel']}, load {machine['load']:.1f} at the end.\n")
    found = [record for record in wrote['results'] if not sys.argv[2:] or record['shape'] == sys.argv[2]]
    print('\n'.join(results.markdown(found, wrote['bars'], list(rows.PEERS))))


main()
