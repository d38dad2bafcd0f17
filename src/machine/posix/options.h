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
 *	warnings=0         zones do not say that their limit is met
 *	stats=FILE         where a run saves its statistics at exit
 *	decay=MS           free memory goes back after so long; 0 at once, -1 never
 *	ceiling=SIZE       most that all caches hold; 0 nothing
 *	limit=SIZE         memory in use beyond which there is pressure
 *	pressure=WHERE     sources of pressure: auto, 0 (none), or a folder with a cgroup's files
 */
#ifndef POSIX_OPTIONS_H
#define POSIX_OPTIONS_H

#include <cooper/cooper.h>

#define OPTIONS_PATH 256

/* Bits of machine_options.given: which words were there. */
enum machine_option {
	OPTION_SHAPE = 0x001,
	OPTION_PHYSMEM = 0x002,
	OPTION_KVA = 0x004,
	OPTION_CPUS = 0x008,
	OPTION_DOMAINS = 0x010,
	OPTION_DEBUG = 0x020,
	OPTION_DAEMON = 0x040,
	OPTION_PIN = 0x080,
	OPTION_RSEQ = 0x100,
	OPTION_STATS = 0x200,
	OPTION_DECAY = 0x400,
	OPTION_CEILING = 0x800,
	OPTION_LIMIT = 0x1000,
	OPTION_PRESSURE = 0x2000,
	OPTION_WARNINGS = 0x4000
};

struct machine_options {
	unsigned given;
	struct machine_shape shape; /* fields that were given; others are 0 */
	bool rseq;                  /* true if not given */
	bool warnings;              /* true if not given */
	char stats[OPTIONS_PATH];
	int decay;        /* ms; -1 never */
	uint64_t ceiling; /* bytes */
	uint64_t limit;   /* bytes; 0 none */
	char pressure[OPTIONS_PATH];
	char why[160]; /* the line that *why points to */
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
