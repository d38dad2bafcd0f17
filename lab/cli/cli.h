/*
 * The command cooper-lab, which `cooper lab` becomes: what its files share.
 *
 *	main.c     which subcommand
 *	help.c     the help texts
 *	args.c     the options of all subcommands
 *	names.c    scenarios, faults, policies, shapes: by name, as text, as JSON
 *	files.c    replay files and pages: refused before, written after
 *	list.c     lab list
 *	run.c      lab run: search, explain, shrink, keep
 *	replay.c   lab replay
 *	pool.c     work shared out among processes
 *	hunt.c     lab hunt: every fault, and the shipped code
 *	tally.c      what hunts found: table, JSON, merging
 *	compare.c  lab compare: the remedies side by side
 *	soak.c     lab soak: a campaign that can be interrupted
 *
 * Whatever is wrong with what was asked for ends in refuse(): one line, exit status 2, nothing
 * written.
 */
#ifndef LAB_CLI_H
#define LAB_CLI_H

#include <jansson.h>
#include <stdio.h>
#include "base/base.h"
#include "lab/report/report.h"
#include "lab/search/search.h"

enum status { STATUS_HELD = 0, STATUS_FAILED = 1, STATUS_USAGE = 2, STATUS_BROKEN = 3 };

NORETURN void refuse(const char *fmt, ...) PRINTFLIKE(1, 2);
/* The laboratory itself went wrong, or its host: one line, exit status 1. */
NORETURN void fail(const char *fmt, ...) PRINTFLIKE(1, 2);
void *xrealloc(void *p, size_t size);
char *xprintf(const char *fmt, ...) PRINTFLIKE(1, 2);

/* ---- subcommands: argv[0] is their name; they return the exit status ---- */
int list_command(int argc, char **argv);
int run_command(int argc, char **argv);
int replay_command(int argc, char **argv);
int hunt_command(int argc, char **argv);
int compare_command(int argc, char **argv);
int soak_command(int argc, char **argv);
int help_command(int argc, char **argv);
void help_about(const char *command);

/* ---- args.c ---- */
struct args {
	struct search_options search; /* spec.scenario is the caller's */
	unsigned shape_given;         /* enum machine_option: fields of the shape */
	struct machine_shape shape;   /* ... and their values */
	bool seed_given, json, merge;
	const char *html, *save, *state;
	uint64_t budget; /* seconds */
	unsigned jobs, shard, shards;
	uint64_t from, to;
	char **rest; /* what is no option, NULL-terminated */
	unsigned nrest;
};
/* `options`: the names that the subcommand takes, with blanks around each. */
void args_parse(const char *command, const char *options, int argc, char **argv, struct args *a);
/* The scenario's shape with what was given laid over it; refused if the core does not start in it. */
void args_shape(const char *command, struct args *a);

/* ---- names.c ---- */
const struct lab_scenario *scenario_find(const char *name); /* NULL: none */
const struct lab_scenario *scenario_named(const char *command, const char *name);
uint64_t fault_named(const char *command, const char *name); /* its bit */
enum core_policy policy_named(const char *command, const char *name);
void shape_text(const struct machine_shape *shape, char *text, size_t size);
void spec_print(const struct lab_spec *spec, FILE *to); /* one line, without its end */
json_t *shape_json(const struct machine_shape *shape);
json_t *spec_json(const struct lab_spec *spec);
json_t *schedule_json(const struct lab_schedule *schedule);
json_t *result_json(const struct lab_result *result);
void json_print(json_t *json); /* on standard output; takes the reference */

/* ---- files.c ---- */
void file_must_be_writable(const char *command, const char *option, const char *path);
void replay_must_be_writable(const char *command, const char *path);
void page_must_be_writable(const char *command, const char *path);
void file_must_be_regular(const char *command, const char *path); /* to be read */
void replay_save(const char *path, const struct lab_spec *spec, const struct lab_schedule *schedule,
    const struct lab_result *result);
char *replay_text(const struct lab_spec *spec, const struct lab_schedule *schedule,
    const struct lab_result *result);
void page_save(const char *path, const struct report *report);

/* ---- pool.c ---- */
/*
 * Units 0..units-1, in this order, by `jobs` processes; the first run of the core in this process
 * must come later. work() runs in one of them and returns what is handed to done() in this one. A
 * process that dies takes its unit with it: fail().
 */
struct pool {
	unsigned jobs, units;
	json_t *(*work)(void *arg, unsigned unit);
	void (*done)(void *arg, unsigned unit, json_t *what); /* borrows */
	const char *(*name)(void *arg, unsigned unit);        /* for the line about one that died */
	const volatile bool *stop; /* NULL, or: begin no more units when it gets true */
	void *arg;
};
void pool_run(const struct pool *pool);
unsigned pool_cpus(void); /* of the host that this process may use */

/* ---- tally.c ---- */
json_t *tally_merge(const char *command, char **files, unsigned n);
/* The table; the exit status that follows from it. */
int tally_status(const json_t *tally);
void tally_print(const json_t *tally, FILE *to);

#endif
