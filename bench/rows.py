"""What is measured: who takes part, which driver prints which figures, and the bars.

A driver prints one line a figure: `NAME VALUE UNIT`, and `PEER:NAME VALUE UNIT` for a reference that it
measures beside Cooper in the same process. Without a unit it is nanoseconds. Smaller is better always.
"""

SHAPES = ('amd64', 'i386')
BAR_SHAPE = 'amd64'  # bars are held in the shape with a direct map
PEERS = {'glibc': '', 'jemalloc': 'libjemalloc.so.2', 'mimalloc': 'libmimalloc.so.2.0',
         'tcmalloc': 'libtcmalloc_minimal.so.4'}

BATCHES = [f'batch_{size}_{order}' for size in (50, 1000) for order in ('lifo', 'fifo', 'random')]
ZONE = ['pair_64', 'producer_consumer', *BATCHES]

# A figure of Cooper's own that stands beside what a program would call instead.
INSTEAD = {f'{how}_{row}': f'malloc_{row}' for how in ('zone', 'zone_inline') for row in (*ZONE, 'pair_instructions')}


class Driver:
    """A program of build/bench (or a script of the source tree) that prints figures.

    args: {build} and {source} are replaced. who: 'malloc' runs under each allocator, 'cooper' in
    each shape, which is its first argument, 'alone' once in a round, for BAR_SHAPE. shapes: those in which Cooper takes part. most: rounds of a
    run in which it takes part, at most; it is one of the first. rows: what it prints, as patterns,
    for --only.
    """

    def __init__(self, name, who, rows, args=(), shapes=SHAPES, most=99, preload_child=False,
                 quick=None, may_lack=False):
        self.name, self.who, self.rows, self.args = name, who, rows, args
        self.shapes, self.most, self.preload_child = shapes, most, preload_child
        self.may_lack = may_lack  # it may say, by exit status 77, that this machine has not what it takes
        self.quick = args if quick is None else quick  # args of a quick run


DRIVERS = [
    Driver('driver_malloc', 'malloc', ['malloc_pair_16', 'malloc_pair_64', 'malloc_pair_256', 'malloc_pair_1024',
                                       'malloc_pair_64_2_threads', 'malloc_producer_consumer',
                                       *(f'malloc_{batch}' for batch in BATCHES)]),
    Driver('driver_core', 'cooper', [f'zone_{row}' for row in ZONE]),
    Driver('driver_core_inline', 'cooper', [f'zone_inline_{row}' for row in ZONE]),
    Driver('count_steps', 'malloc', ['malloc_pair_instructions'],
           ('pair_instructions', '{build}/bench/driver_count', 'malloc'), preload_child=True, most=1),
    Driver('count_steps', 'alone', ['zone_pair_instructions', 'arena_pair_instructions'],
           ('pair_instructions', '{build}/bench/driver_count', 'zone', 'arena'), most=1),
    Driver('count_steps', 'alone', ['zone_inline_pair_instructions'],
           ('pair_instructions', '{build}/bench/driver_count_inline', 'zone_inline'), most=1),
    Driver('driver_malloc', 'malloc', ['start_up'], ('spawn', '40', 'start_up', '{build}/bench/empty'),
           preload_child=True),
    Driver('driver_malloc', 'malloc', ['first_malloc'],
           ('spawn', '40', 'first_malloc', '{build}/bench/empty', 'malloc'), preload_child=True),
    Driver('empty_resident', 'malloc', ['start_up_resident', 'start_up_private']),
    Driver('empty_resident', 'malloc', ['first_malloc_resident', 'first_malloc_private'], ('malloc',)),
    Driver('arena_bench', 'cooper', ['range_*'], shapes=('amd64',), most=1, quick=('10k',)),
    Driver('driver_threads', 'malloc', ['threads_held', 'threads_purged'], shapes=('amd64',), most=3),
    Driver('driver_trim', 'malloc', ['trim_time', 'trim_left'], shapes=('amd64',), most=2),
    Driver('driver_latency', 'cooper', [f'zone_latency_{how}_{what}' for how in ('quiet', 'draining')
                                        for what in ('p9999', 'worst')], most=3),
    Driver('driver_limit', 'cooper', ['limit_resident', 'limit_time', 'limit_stall', 'limit_dip'], most=3),
    # In a Linux of its own; where that cannot be booted, nothing is measured, which one line says.
    Driver('scripts/guest.sh', 'alone', [f'cgroup_{row}' for row in ('resident', 'most', 'back', 'neighbour', 'stall', 'dip',
                                                                    'events', 'kills', 'passes')],
           ('{build}', 'bench'), most=2, may_lack=True),
    Driver('driver_lab', 'cooper', ['lab_point'], most=3),
    # On bare i386: sizes, stacks, start-up's memory. The same each time.
    Driver('scripts/footprint.py', 'alone', ['i386_footprint_*', 'i386_stack_*', 'i386_start_*'], ('{source}', '{build}'), most=1),
]

PROGRAMS_ROUNDS = 5  # at most

# ---- bars ----------------------------------------------------------------------------------------
# (row, how, limit, what it says). how: 'best' is the ratio to the best peer, 'peer NAME' that to one,
# 'over NAME' the difference to one, 'own ROW' the ratio to another row of Cooper's, 'value' the figure
# itself; 'seen' has no limit: reported only. A row may be a pattern: the worst of its rows counts.
BARS = [
    ('zone_inline_pair_64', 'best', 0.55, 'zone alloc and free inline, 64 B, against malloc and free'),
    ('zone_pair_64', 'best', 0.55, 'the same as calls'),
    ('zone_inline_pair_instructions', 'value', 30, 'instructions of the inline pair and its loop'),
    ('zone_pair_instructions', 'seen', None, 'instructions of the called pair and its loop'),
    ('zone_inline_batch_*', 'best', 0.8, 'zone inline, batches of 50 and 1000, last first, first first, random'),
    ('zone_batch_*', 'best', 0.8, 'the same as calls'),
    ('malloc_batch_*', 'best', 0.8, 'the same through malloc'),
    ('malloc_pair_16', 'best', 1.0, 'malloc and free, 16 B'),
    ('malloc_pair_64', 'best', 1.0, 'malloc and free, 64 B'),
    ('malloc_pair_256', 'best', 1.0, 'malloc and free, 256 B'),
    ('malloc_pair_1024', 'best', 1.0, 'malloc and free, 1024 B'),
    ('malloc_pair_instructions', 'value', 50, 'instructions of a malloc pair and its loop'),
    ('zone_producer_consumer', 'best', 0.8, 'zone, taken on one CPU, given back on the other'),
    ('malloc_producer_consumer', 'best', 0.8, 'the same through malloc'),
    ('range_pair_cached', 'peer twolevel', 0.35, 'arena pair of one unit from quantum caches'),
    ('range_churn_*', 'peer twolevel', 1.0, 'arena, 1 to 64 units, 80 % full: mean of alloc and free'),
    ('range_p9999_*', 'peer twolevel', 1.0, 'the same, 99.99 % of the allocs'),
    ('range_churn_first_1m', 'own range_churn_first_10k', 1.5, 'flat: first fit, 1M live segments against 10k'),
    ('range_churn_best_1m', 'own range_churn_best_10k', 1.5, 'flat: best fit'),
    ('range_churn_next_1m', 'own range_churn_next_10k', 1.5, 'flat: next fit'),
    ('range_bytes_*', 'value', 48, 'metadata of a live segment, bytes'),
    ('range_align64_first_100k', 'peer list', 0.0334, 'aligned to 64 units among 100k segments'),
    ('range_align64_first_100k', 'own range_churn_first_100k', 3, 'the same, against any place'),
    ('range_a64win_first_1m', 'own range_a64win_first_10k', 1.5, 'aligned in a window, 1M against 10k: the logarithm'),
    ('range_full_first_100k', 'own range_win16_first_100k', 1.0, 'a window where all is taken, against one with room'),
    ('programs_time', 'best', 1.0, 'whole programs, time, geometric mean'),
    ('programs_time_worst', 'best', 1.1, 'whole programs, time, the worst of them'),
    ('programs_peak', 'peer glibc', 1.0, 'whole programs, peak resident memory, geometric mean'),
    ('start_up', 'peer glibc', 1.1, 'an empty program, time'),
    ('first_malloc', 'seen', None, 'a program of one malloc, microseconds of processor time'),
    ('first_malloc_resident', 'seen', None, 'a program of one malloc, KiB resident'),
    ('start_up_resident', 'over glibc', 400, 'an empty program, KiB resident beyond glibc\'s'),
    ('threads_purged', 'best', 0.5, '1,000 sleeping threads after the strongest purge, KiB a thread'),
    ('trim_time', 'peer madvise', 2, '512 MiB of free blocks, malloc_trim(), against one madvise of as many bytes'),
    ('trim_left', 'seen', None, 'KiB still resident after it'),
    ('limit_resident', 'value', 100, 'a limit in bytes (not a cgroup\'s memory.high) is met, 70 % lies in caches: resident after one pass, per cent of it'),
    ('limit_time', 'seen', None, 'from the limit to the end of the pass, ms'),
    ('limit_stall', 'seen', None, 'the longest that 1,000 allocations and frees take meanwhile, ms'),
    ('limit_dip', 'seen', None, 'throughput of the worst 10 ms meanwhile: per cent below the usual'),
    ('cgroup_resident', 'value', 100, 'a cgroup\'s memory.high is met, 70 % lies in caches: in use 0.2 s later, per cent of it'),
    ('cgroup_passes', 'value', 1, 'passes of reclaim until the group is back under'),
    ('cgroup_kills', 'value', 0, 'events max, oom and oom_kill'),
    ('cgroup_neighbour', 'seen', None, 'until its neighbour has what it wants, ms'),
    ('cgroup_dip', 'seen', None, 'throughput of the worst 10 ms meanwhile: per cent below the usual'),
    ('zone_latency_draining_p9999', 'seen', None, 'a zone allocation while all caches are drained, 99.99 %, ns'),
    ('zone_latency_draining_worst', 'seen', None, 'the same, worst, ns'),
]
