/*
 * The cooper command: what its files share.
 *
 *	main.c     which subcommand
 *	help.c     the help texts
 *	run.c      cooper run: check everything, start the command, pass on signals and its status
 *	options.c    its options, and what COOPER_OPTIONS becomes
 *	program.c    can the command's program run on Cooper?
 *	preload.c    where the library is, and other things that belong to the command
 *	watch.c      the board of the run: live progress, hangs
 *	stat.c     cooper stat: a process or a file, as tables or JSON
 *	target.c     a process's statistics root, by its maps and symbol tables
 *	read.c       a saved line back into records
 *	merge.c      records of many processes into one set
 *	report.c     the tables and the JSON of such a set
 *
 * Whatever is wrong before anything was done ends in refuse(): one line, exit status 2.
 */
#ifndef TOOL_H
#define TOOL_H

#include <stdio.h>
#include <sys/types.h>
#include "stats/stats.h"

#define STATUS_USAGE   2
#define IDLE_CHANNEL   "pagedaemon" /* where that thread waits for work, which is no hang */
#define STATUS_NOT_RUN 126          /* the command was found but exec failed, as in shells */

NORETURN void refuse(const char *fmt, ...) PRINTFLIKE(1, 2);
void *xrealloc(void *p, size_t size); /* refuses when memory is out */
char *xprintf(const char *fmt, ...) PRINTFLIKE(1, 2);

/* ---- help.c ---- */
int help(int argc, char **argv);
void help_command(const char *command);

/* ---- subcommands: argv[0] is their name; they return the exit status ---- */
int run(int argc, char **argv);
int stat_command(int argc, char **argv);
int lab_command(int argc, char **argv);
/* The complaint of getopt_long() about argv[optind - 1], in one line. */
NORETURN void refuse_option(const char *command, char **argv, int answer, const char *known);

/* ---- options.c ---- */
struct run_options {
	char *words; /* what COOPER_OPTIONS becomes: the old ones, then the command line's */
	char *stats; /* absolute file name, or NULL */
	bool progress;
	unsigned hang;  /* seconds of one sleep that make a hang */
	char **command; /* program and arguments, NULL-terminated */
};
void run_options(int argc, char **argv, struct run_options *o);

/* ---- program.c, preload.c ---- */
char *program_find(const char *name); /* its path, searched as execvp would; or refuses */
void program_check(const char *path); /* refuses what the library cannot be preloaded into */
char *preload_library(void);          /* path of libcooper-malloc.so; or refuses */
/* The first of the places that exists: relative ones begin where this command is. NULL: none. */
char *beside_command(const char *command, const char *const *places, unsigned n);

/* ---- watch.c ---- */
struct watch;
struct watch *watch_start(struct run_options *o); /* makes the board; NULL: no statistics */
void watch_tick(struct watch *w, bool show);      /* look around; a few times a second */
/* Take the board away; with `show` print the merged tables and the line that sums up the run. */
void watch_end(struct watch *w, bool show);

/* ---- target.c ---- */
/* The address of cooper_stats_root in the process; 0 and *why = one line if there is none. */
uintptr_t target_root(pid_t pid, const char **why);

/* ---- merge.c: the records of one or many processes ---- */
struct merged_record {
	union stats_record sum, max; /* fields by their rules; fields' largest values */
	uint64_t processes;          /* in how many snapshots it was seen */
	uint64_t image, parts;       /* the last of these; records that were merged */
};
struct merged {
	struct merged_record *records[STATS_SECTIONS];
	size_t count[STATS_SECTIONS];
	uint64_t processes, images; /* pids, and snapshots: a process leaves one for each program */
	uint8_t *pids;              /* bit n: pid n has been seen */
};
void merge_record(void *merged, enum stats_section s, const void *record);
const struct merged_record *merged_first(const struct merged *m, enum stats_section s);
void merged_free(struct merged *m);

/* ---- read.c ---- */
/*
 * One line of a file: give its records to `out`. False and *why = what is wrong with it. Nothing is
 * given out unless the whole line is good.
 */
bool read_line(const char *text, size_t len, const struct stats_visitor *out, const char **why);
/*
 * All lines of a file into *m, up to the first damaged one. False and *why: a file that cannot be
 * read, is not one of ours, or is damaged.
 */
bool read_file(const char *path, struct merged *m, const char **why);
/* Is this the beginning of a statistics file? */
bool read_is_stats(const char *text, size_t len);

/* ---- report.c ---- */
void report_tables(const struct merged *m, unsigned sections, bool details, FILE *to);
void report_json(const struct merged *m, unsigned sections, FILE *to);

#endif
