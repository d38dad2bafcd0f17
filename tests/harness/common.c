/*
 * What the harness does alike on every machine: numbers, waiting for sleepers, injected failures.
 */
#include <stdio.h>
#include <string.h>

#include "harness.h"

uint64_t
test_random(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15ull);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return (z ^ (z >> 31));
}

struct sleepers {
	const char *channel;
	unsigned count;
};

static void
count_sleeper(const struct wait_info *info, void *p)
{
	struct sleepers *s = p;

	s->count += strcmp(info->channel, s->channel) == 0;
}

void
wait_for_sleepers(const char *channel, unsigned n)
{
	struct sleepers s = { channel, 0 };

	for (unsigned tries = 0; tries < 100000; tries++) {
		s.count = 0;
		sync_each_wait(count_sleeper, &s);
		if (s.count >= n)
			return;
		harness_nap();
	}
	printf("# only %u of %u threads sleep on %s\n", s.count, n, channel);
	TEST_MUST(s.count >= n);
}

/* ---- failure injection -------------------------------------------------------------------------------- */

#define MAX_FAILURES 100000

unsigned
inject_each(const struct inject_case *c)
{
	unsigned char before[4096], after[4096];
	unsigned failed = 0;

	assert_in_range(c->snapshot_size, 0, sizeof(before));
	for (uint64_t k = 1; k < MAX_FAILURES; k++) {
		uint64_t seen;
		bool done;

		memset(before, 0, sizeof(before));
		c->snapshot(before, c->arg);
		cooper_inject_failure(k);
		done = c->attempt(c->arg);
		seen = cooper_inject_failure(0);
		if (done) {
			c->undo(c->arg);
			if (seen < k)
				return (failed);
			continue;
		}
		failed++;
		memset(after, 0, sizeof(after));
		c->snapshot(after, c->arg);
		for (size_t i = 0; i < c->snapshot_size; i++)
			if (before[i] != after[i])
				fail_msg(
				    "failure of request %llu of %llu left byte %zu of the snapshot "
				    "changed",
				    (unsigned long long)k, (unsigned long long)seen, i);
	}
	fail_msg("no success after %d injected failures", MAX_FAILURES);
	return (failed);
}
