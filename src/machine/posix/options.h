/*
 * COOPER_OPTIONS: words separated by commas or blanks, the same for the library, the libc front and
 * the command's --options.
 *
 *	shape=i386|amd64   without or with a direct map
 *	physmem=SIZE       physical memory; K, M, G, T are powers of 1024
 *	kva=SIZE           kernel address space
 *	cpus=N domains=N   of the shape
 *	debug daemon pin   also debug=0 and so on
 *	rseq=0             per-CPU caches under locks (for debuggers that single-step)
 *	stats=FILE         where a run saves its statistics at exit
 */
#ifndef POSIX_OPTIONS_H
#define POSIX_OPTIONS_H

#include <cooper/cooper.h>

#define OPTIONS_PATH 256

struct machine_options {
	/* Bits of `given`: which words were there. */
	enum {
		OPTION_SHAPE = 1, OPTION_PHYSMEM = 2, OPTION_KVA = 4, OPTION_CPUS = 8,
		OPTION_DOMAINS = 16, OPTION_DEBUG = 32, OPTION_DAEMON = 64, OPTION_PIN = 128,
		OPTION_RSEQ = 256, OPTION_STATS = 512
	} known;
	unsigned given;
	struct machine_shape shape;
	bool no_rseq;
	char stats[OPTIONS_PATH];
	char why[128]; /* the line *why points to */
};

/*
 * Parse text, a NUL-terminated list of words, into *o (which is cleared first). Returns 0, or
 * COOPER_EINVAL and *why = one line, kept in *o, that names the word and what is accepted. Pure: no
 * state, no libc.
 */
int machine_options_parse(const char *text, struct machine_options *o, const char **why);

/* Lay what was given over *shape; kva follows physmem unless it was given too. */
void machine_options_apply(const struct machine_options *o, struct machine_shape *shape);

/* The kernel address space that goes with so much physical memory by default. */
vm_size_t machine_default_kva(uint64_t physmem);

/* What COOPER_OPTIONS said; valid after machine_default_shape(). */
const struct machine_options *machine_options(void);

#endif
