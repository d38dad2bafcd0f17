/*
 * malloc(3) and its family as a C program sees them: each function's contract with its errno. The
 * program is linked with libcooper-malloc.so; shapes come from COOPER_OPTIONS.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/wait.h>

#include "check.h"

/* Volatile, so that the compiler cannot know what malloc does with its argument. */
static volatile size_t huge = (size_t)PTRDIFF_MAX + 1;
static volatile size_t nothing = 0;
static volatile size_t odd_alignment = 24; /* which a compiler that saw it would warn of */

void free_sized(void *, size_t);
void free_aligned_sized(void *, size_t, size_t);
void cfree(void *);

/* The first malloc of all: libc has no environment yet, but the options count. */
static void *made_first;

static void
allocate_first(void)
{
	made_first = malloc(100);
}

__attribute__((section(".preinit_array"), used)) static void (*const before_all)(
    void) = allocate_first;

/* Made before main, used in it. */
static char *made_early;

__attribute__((constructor)) static void
allocate_early(void)
{
	made_early = strdup("made by a constructor");
}

__attribute__((destructor)) static void
allocate_late(void)
{
	void *p = malloc(5000);

	check(p != NULL);
	free(p);
	free(made_early);
}

static int
all(const void *p, int byte, size_t size)
{
	const unsigned char *c = p;

	for (size_t i = 0; i < size; i++)
		if (c[i] != (unsigned char)byte)
			return (0);
	return (1);
}

static void
it_is_cooper(void)
{
	void *p = malloc(129);

	check(malloc_usable_size(p) == 144); /* no other malloc has this */
	free(p);
	check(strcmp(made_early, "made by a constructor") == 0);
	check(malloc_usable_size(made_first) == 112);
}

static void
every_size(void)
{
	for (size_t size = 0; size <= 200000; size += size < 4200 ? 1 : 613) {
		char *p = malloc(size), *q = malloc(size);

		check(p != NULL && q != NULL && p != q);
		check((uintptr_t)p % 16 == 0);
		check(malloc_usable_size(p) >= size);
		memset(p, 1, malloc_usable_size(p));
		memset(q, 2, malloc_usable_size(q));
		check(all(p, 1, malloc_usable_size(p)));
		free(p);
		check(all(q, 2, malloc_usable_size(q)));
		free(q);
	}
}

static void
malloc_of_nothing_is_unique(void)
{
	void *p = malloc(nothing), *q = malloc(nothing);

	check(p != NULL && q != NULL && p != q);
	free(p);
	free(q);
	free(NULL);
}

static void
too_large_is_enomem(void)
{
	errno = 0;
	check(malloc(huge) == NULL && errno == ENOMEM);
	errno = 0;
	check(malloc(huge * 2 - 1) == NULL && errno == ENOMEM);
	errno = 0;
	check(malloc(huge - 1) == NULL && errno == ENOMEM);
	errno = 0;
	check(calloc(huge, 2) == NULL && errno == ENOMEM);
	errno = 0;
	check(calloc(huge - 1, 1) == NULL && errno == ENOMEM);
	errno = 0;
	check(realloc(NULL, huge) == NULL && errno == ENOMEM);
	errno = 0;
	check(reallocarray(NULL, huge, 4) == NULL && errno == ENOMEM);
	errno = 0;
	check(memalign(64, huge) == NULL && errno == ENOMEM);
	errno = 0;
	check(valloc(huge * 2 - 1) == NULL && errno == ENOMEM);
	errno = 0;
	check(pvalloc(huge * 2 - 1) == NULL && errno == ENOMEM);
}

static void
errno_is_left_alone(void)
{
	for (size_t size = 1; size < 1000000; size = size * 3 / 2 + 1) {
		void *p, *q;

		errno = 1234;
		p = malloc(size);
		q = calloc(1, size);
		p = realloc(p, 2 * size);
		check(p != NULL && q != NULL && errno == 1234);
		free(p);
		free(q);
		check(posix_memalign(&p, 64, size) == 0);
		free(p);
		check(errno == 1234);
	}
}

static void
calloc_is_zero_after_reuse(void)
{
	static const size_t sizes[] = { 1, 16, 100, 1000, 2048, 2049, 4096, 20000, 65536, 65537,
		1000000 };

	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		for (unsigned round = 0; round < 20; round++) {
			void *p[3];

			for (unsigned k = 0; k < 3; k++) {
				p[k] = calloc(k + 1, sizes[i]);
				check(all(p[k], 0, (k + 1) * sizes[i]));
				memset(p[k], 0xff, malloc_usable_size(p[k]));
			}
			for (unsigned k = 0; k < 3; k++)
				free(p[k]);
		}
}

static void
realloc_contents(void)
{
	unsigned char *p = malloc(1);
	size_t size = 1;

	p[0] = 'x';
	while (size < 3000000) {
		size_t larger = size + size / 3 + 1;

		p = realloc(p, larger);
		check(p != NULL && all(p, 'x', size));
		memset(p, 'x', larger);
		size = larger;
	}
	while (size > 1) {
		size /= 2;
		p = realloc(p, size);
		check(p != NULL && all(p, 'x', size));
	}
	check(realloc(p, nothing) == NULL); /* glibc: a free */
	p = reallocarray(NULL, 10, 10);
	memset(p, 'y', 100);
	p = reallocarray(p, 100, 100);
	check(all(p, 'y', 100));
	errno = 0;
	check(realloc(p, huge) == NULL && errno == ENOMEM);
	check(all(p, 'y', 100));
	free(p);
}

static void
alignment(void)
{
	static const size_t sizes[] = { 0, 1, 63, 1000, 5000, 100000 };
	void *p;

	for (size_t align = 1; align <= (size_t)1 << 20; align <<= 1)
		for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			void *block[4];

			for (unsigned k = 0; k < 4; k++) {
				block[k] = k % 2 ? memalign(align, sizes[i])
						 : aligned_alloc(align, sizes[i]);
				check(block[k] != NULL && ((uintptr_t)block[k] & (align - 1)) == 0);
				check(malloc_usable_size(block[k]) >= sizes[i]);
				memset(block[k], (int)k, malloc_usable_size(block[k]));
			}
			for (unsigned k = 0; k < 4; k++) {
				check(all(block[k], (int)k, malloc_usable_size(block[k])));
				free(block[k]);
			}
			if (align >= sizeof(void *)) {
				check(posix_memalign(&p, align, sizes[i]) == 0);
				check(((uintptr_t)p & (align - 1)) == 0);
				free_aligned_sized(p, align, sizes[i]);
			}
		}
	errno = 77;
	p = &p;
	check(posix_memalign(&p, 24, 10) == EINVAL && p == &p);
	check(posix_memalign(&p, 2, 10) == EINVAL);
	check(posix_memalign(&p, 0, 10) == EINVAL);
	check(posix_memalign(&p, 64, huge) == ENOMEM && p == &p && errno == 77);
	check(aligned_alloc(odd_alignment, 48) == NULL && errno == EINVAL);
	check(aligned_alloc(nothing, 48) == NULL && errno == EINVAL);
	p = memalign(odd_alignment + 9, 10); /* 33: rounded up to 64 */
	check(p != NULL && (uintptr_t)p % 64 == 0);
	free(p);
	errno = 0;
	check(memalign(huge + 1, 10) == NULL && errno == EINVAL);
	p = valloc(10);
	check((uintptr_t)p % 4096 == 0);
	free(p);
	p = pvalloc(4097);
	check((uintptr_t)p % 4096 == 0 && malloc_usable_size(p) >= 8192);
	free(p);
	p = pvalloc(nothing);
	check((uintptr_t)p % 4096 == 0 && malloc_usable_size(p) >= 4096);
	free_sized(p, 4096);
	cfree(malloc(3));
}

static void
realloc_of_aligned_blocks(void)
{
	for (size_t align = 32; align <= 65536; align <<= 1) {
		char *p = aligned_alloc(align, 3 * align);

		memset(p, 7, 3 * align);
		p = realloc(p, 7 * align);
		check(all(p, 7, 3 * align));
		free(p);
	}
}

/* ---- what is not ours --------------------------------------------------------------------------------- */

static void
foreign_addresses(void)
{
	static char room[300] __attribute__((aligned(16)));
	char *volatile hidden = room; /* from the compiler, which knows better */
	char *place = hidden, *p;

	memset(place, 'f', sizeof(room));
	free(place); /* ignored */
	check(malloc_usable_size(place) == 0);
	p = realloc(place, 200);
	check(p != place && all(p, 'f', 200));
	free(p);
	check(place[299] == 'f');
}

/* ---- threads -------------------------------------------------------------------------------------------- */

#define MAILBOX 256

struct exchange {
	void *box[MAILBOX];
	int stop;
};

static void *
trader(void *arg)
{
	struct exchange *x = arg;
	unsigned seed = (unsigned)(uintptr_t)&seed >> 4;

	for (unsigned i = 0; i < 60000; i++) {
		size_t size = (size_t)rand_r(&seed) % 2000 + 16;
		size_t *p = malloc(size), *old;

		check(p != NULL);
		p[0] = size;
		memset(p + 1, (int)size & 0xff, size - sizeof(*p));
		old = __atomic_exchange_n(&x->box[rand_r(&seed) % MAILBOX], p, __ATOMIC_ACQ_REL);
		if (old != NULL) {
			check(old[0] >= 16 && old[0] < 2016);
			check(all(old + 1, (int)old[0] & 0xff, old[0] - sizeof(*old)));
			free(old);
		}
	}
	return (NULL);
}

static void
blocks_change_hands(void)
{
	static struct exchange x;
	pthread_t t[6];

	for (unsigned i = 0; i < 6; i++)
		check(pthread_create(&t[i], NULL, trader, &x) == 0);
	for (unsigned i = 0; i < 6; i++)
		pthread_join(t[i], NULL);
	for (unsigned i = 0; i < MAILBOX; i++)
		free(x.box[i]);
}

static void *
short_life(void *arg)
{
	void *p = malloc(100);

	free(arg);
	return (p);
}

static void
many_short_threads(void)
{
	void *p = malloc(10);

	for (unsigned i = 0; i < 500; i++) {
		pthread_t t;

		check(pthread_create(&t, NULL, short_life, p) == 0);
		pthread_join(t, &p);
	}
	free(p);
}

/* ---- fork --------------------------------------------------------------------------------------------------- */

static void *
churn(void *arg)
{
	unsigned seed = 1;
	void *p[100] = { NULL };

	while (!__atomic_load_n((int *)arg, __ATOMIC_RELAXED)) {
		unsigned i = (unsigned)rand_r(&seed) % 100;

		free(p[i]);
		p[i] = malloc((size_t)rand_r(&seed) % (i == 0 ? 100000 : 10000));
	}
	for (unsigned i = 0; i < 100; i++)
		free(p[i]);
	return (NULL);
}

/* In a child of a threaded parent: all sizes at once, and what the parent had is still there. */
static void
child_allocates(const char *inherited)
{
	void *p[100];

	check(strcmp(inherited, "from the parent") == 0);
	for (unsigned i = 0; i < 100; i++) {
		p[i] = malloc((size_t)i * i * 9);
		check(p[i] != NULL);
		memset(p[i], 1, (size_t)i * i);
	}
	for (unsigned i = 0; i < 100; i++)
		free(p[i]);
	check(malloc_trim(0) >= 0);
}

static void
wait_for(pid_t pid)
{
	int status;

	check(waitpid(pid, &status, 0) == pid);
	check(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void
fork_in_a_threaded_process(void)
{
	char *inherited = strdup("from the parent");
	int stop = 0;
	pthread_t t[3];

	for (unsigned i = 0; i < 3; i++)
		check(pthread_create(&t[i], NULL, churn, &stop) == 0);
	for (unsigned i = 0; i < 200; i++) {
		pid_t pid = fork();

		check(pid >= 0);
		if (pid == 0) {
			alarm(60);
			child_allocates(inherited);
			if (i % 20 == 0) { /* and the child may have children and threads */
				pthread_t again;

				if ((pid = fork()) == 0) {
					child_allocates(inherited);
					_exit(0);
				}
				wait_for(pid);
				check(pthread_create(&again, NULL, short_life, malloc(1)) == 0);
				pthread_join(again, NULL);
			}
			_exit(0);
		}
		wait_for(pid);
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	free(inherited);
}

/* Memory stays private: what the child writes the parent does not see, and the other way round. */
static void
fork_keeps_memory_private(void)
{
	static const size_t sizes[] = { 32, 5000, 60000, 300000 };
	char *p[4];
	pid_t pid;
	int in[2], out[2];
	char token;

	check(pipe(in) == 0 && pipe(out) == 0);
	for (unsigned i = 0; i < 4; i++)
		p[i] = memset(malloc(sizes[i]), 'a', sizes[i]);
	if ((pid = fork()) == 0) {
		check(read(in[0], &token, 1) == 1); /* the parent has written */
		for (unsigned i = 0; i < 4; i++) {
			check(all(p[i], 'a', sizes[i]));
			memset(p[i], 'c', sizes[i]);
		}
		check(write(out[1], "x", 1) == 1);
		_exit(0);
	}
	for (unsigned i = 0; i < 4; i++)
		memset(p[i], 'p', sizes[i]);
	check(write(in[1], "x", 1) == 1);
	check(read(out[0], &token, 1) == 1);
	for (unsigned i = 0; i < 4; i++) {
		check(all(p[i], 'p', sizes[i]));
		free(p[i]);
	}
	wait_for(pid);
	close(in[0]);
	close(in[1]);
	close(out[0]);
	close(out[1]);
}

static pid_t
vfork_true(void)
{
	pid_t pid = vfork();

	if (pid == 0) {
		execl("/bin/true", "true", (char *)NULL);
		_exit(1);
	}
	return (pid);
}

static void
vfork_and_exec(void)
{
	for (unsigned i = 0; i < 20; i++)
		wait_for(vfork_true());
	check(system("exit 3") >> 8 == 3);
}

/* ---- figures ---------------------------------------------------------------------------------------------------- */

static void
figures_follow_use(void)
{
	struct mallinfo2 before = mallinfo2(), during, after;
	void *p[100], *large;

	for (unsigned i = 0; i < 100; i++)
		p[i] = malloc(3000);
	large = malloc(1 << 20);
	during = mallinfo2();
	check(during.uordblks >= before.uordblks + 100 * 3000);
	check(during.hblks == before.hblks + 1 && during.hblkhd >= before.hblkhd + (1 << 20));
	check(during.arena == during.uordblks + during.fordblks);
	for (unsigned i = 0; i < 100; i++)
		free(p[i]);
	free(large);
	after = mallinfo2();
	check(after.uordblks <= before.uordblks + 1000 && after.hblks == before.hblks);
	check(malloc_trim(0) == 1);
	check(mallopt(M_TRIM_THRESHOLD, 1) == 1);
}

static void
malloc_info_is_xml(void)
{
	char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);
	unsigned open_tags = 0;

	check(malloc_info(1, f) == EINVAL);
	check(malloc_info(0, f) == 0);
	fclose(f);
	check(strncmp(text, "<malloc version=\"1\">", 20) == 0);
	for (const char *c = text; (c = strchr(c, '<')) != NULL; c++) {
		const char *end = strchr(c, '>');

		check(end != NULL);
		if (c[1] == '/') {
			check(open_tags-- > 0);
		} else if (end[-1] != '/') {
			open_tags++;
		}
	}
	check(open_tags == 0 && strcmp(text + size - 10, "</malloc>\n") == 0);
	if (getenv("CHECK_XML") != NULL) {
		FILE *out = fopen(getenv("CHECK_XML"), "w");

		fwrite(text, 1, size, out);
		fclose(out);
	}
	free(text);
}

int
main(int argc, char **argv)
{
	static const struct check_case cases[] = { CASE(it_is_cooper), CASE(every_size),
		CASE(malloc_of_nothing_is_unique), CASE(too_large_is_enomem),
		CASE(errno_is_left_alone), CASE(calloc_is_zero_after_reuse), CASE(realloc_contents),
		CASE(alignment), CASE(realloc_of_aligned_blocks), CASE(foreign_addresses),
		CASE(figures_follow_use), CASE(malloc_info_is_xml), CASE(fork_keeps_memory_private),
		CASE(vfork_and_exec), CASE(blocks_change_hands), CASE(many_short_threads),
		CASE(fork_in_a_threaded_process) };

	return (check_run(cases, sizeof(cases) / sizeof(cases[0]), argc > 1 ? argv[1] : NULL));
}
