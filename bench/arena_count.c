/*
 * Arena operations to be counted rather than timed: run it twice under an instruction counter, with
 * two numbers of operations; the difference is what the operations took.
 *
 * usage: arena_count pair|cached|constrained|churn|churn_best|churn_next OPERATIONS
 */
#include <string.h>

#include <cooper/cooper.h>

#include "arena_field.h"

int
main(int argc, char **argv)
{
	struct machine_shape shape = { .ncpus = 2,
		.ndomains = 1,
		.direct_map = true,
		.physmem = 64 << 20,
		.kva_size = 64 << 20 };
	struct constraint c = { .align = 64, .max = UINT64_MAX };
	struct range range;
	struct field f;
	unsigned n;

	if (argc != 3 || (n = (unsigned)strtoul(argv[2], NULL, 10)) == 0 ||
	    cooper_start(&shape) != 0) {
		fprintf(stderr, "usage: arena_count "
				"pair|cached|constrained|churn|churn_best|churn_next OPERATIONS\n");
		return (2);
	}
	if (strncmp(argv[1], "churn", 5) == 0 || strcmp(argv[1], "constrained") == 0)
		field_new(&f, &arena_cooper,
		    strcmp(argv[1], "churn_best") == 0   ? ARENA_BEST
		    : strcmp(argv[1], "churn_next") == 0 ? ARENA_NEXT
							 : ARENA_FIRST,
		    10000);
	else
		f = (struct field){ .ops = &arena_cooper,
			.arena = strcmp(argv[1], "cached") == 0
				     ? arena_cooper_cached(FIELD_BASE, 1 << 24)
				     : arena_cooper.create(FIELD_BASE, 1 << 24, 16) };
	if (strncmp(argv[1], "churn", 5) == 0) {
		for (unsigned i = 0; i < n; i++)
			churn_one(&f);
	} else if (strcmp(argv[1], "constrained") == 0) {
		for (unsigned i = 0; i < n; i++) {
			if (!f.ops->xalloc(f.arena, 16, ARENA_FIRST, &c, &range))
				abort();
			f.ops->free(f.arena, &range);
		}
	} else {
		for (unsigned i = 0; i < n; i++) {
			if (!f.ops->alloc(f.arena, 1, ARENA_FIRST, &range))
				abort();
			f.ops->free(f.arena, &range);
		}
	}
	return (0);
}
