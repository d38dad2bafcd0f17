/*
 * The help texts: what `cooper lab help` says.
 */
#include <string.h>
#include "lab/cli/cli.h"

static const char overview[] =
    "usage: cooper lab list | run | replay | hunt | compare | soak | help [COMMAND]\n"
    "\n"
    "The laboratory runs Cooper's core under schedules that it chooses, finds those that break a\n"
    "promise, and explains and replays them.\n"
    "\n"
    "  list      scenarios, faults, policies, shapes\n"
    "  run       search the schedules of a scenario; explain and shrink what breaks a promise\n"
    "  replay    the run that a replay file has kept, step by step\n"
    "  hunt      every fault in the scenarios that should see it, and the shipped code in all\n"
    "  compare   the remedies for the btalloc hang side by side\n"
    "  soak      the shipped code for 100 million points; can be interrupted\n"
    "\n"
    "Exit status: 0 every promise held; 3 one was broken; 2 something is wrong with what was "
    "asked\n"
    "for (one line says what, and nothing has been done); 1 the laboratory itself failed.\n";

static const char list_text[] =
    "usage: cooper lab list [--json]\n"
    "\n"
    "Scenarios with the machine that they run on unless told otherwise; faults, which put "
    "historic\n"
    "bugs back; policies, other remedies for the btalloc hang; shapes of machines.\n";

static const char run_text[] =
    "usage: cooper lab run SCENARIO [OPTION]...\n"
    "\n"
    "Run SCENARIO under many schedules until one breaks a promise. That one is explained, made\n"
    "smaller, and kept as a replay file.\n"
    "\n"
    "  --fault NAME          put a bug back; may be given more than once\n"
    "  --policy NAME         another remedy than the shipped one\n"
    "  --strategy random     switch at random points (default)\n"
    "  --strategy pct        priorities that change at random points; its bound is printed\n"
    "  --strategy exhaustive all schedules with few preemptions, for tiny scenarios\n"
    "  --depth D             pct: bugs that need D points in order, 1 to 8 (3)\n"
    "  --preemptions N       exhaustive: at most so many in a schedule (2)\n"
    "  --seed N              of the first schedule; others count on from it (1)\n"
    "  --schedules N         stop after so many (1000; exhaustive: no limit)\n"
    "  --small               the scenario's small size\n"
    "  --shape i386|amd64 --cpus N --domains N --physmem SIZE --kva SIZE\n"
    "                        another machine than the scenario's\n"
    "  --page SIZE           pages of 4K (default) to 64K, and memory for as many\n"
    "  --release             without the checks of the debug shape\n"
    "  --daemon              with the page daemon\n"
    "  --save FILE           the replay file (SCENARIO.lab)\n"
    "  --html FILE           a page about the run, on its own\n"
    "  --json                everything as JSON\n"
    "\n"
    "Exit status: 0 every promise held, 3 one was broken, 2 usage.\n";

static const char replay_text_[] =
    "usage: cooper lab replay FILE [--from N] [--to N] [--json] [--html FILE]\n"
    "\n"
    "Run again what FILE has kept: the same steps, the same end, which is checked. Then show the\n"
    "steps, from --from to --to.\n";

static const char hunt_text[] =
    "usage: cooper lab hunt [--budget SECONDS] [--shard I/N] [--seed N] [--jobs N] [--json]\n"
    "                       [--save FOLDER]\n"
    "       cooper lab hunt --merge [--json] FILE...\n"
    "\n"
    "Look for every fault in the scenarios that should see it, at most --budget seconds each "
    "(60),\n"
    "and run the shipped code in all scenarios, for as long in all. Shapes, injected failures,\n"
    "reclaim passes and strategies vary with the number of the run. --jobs processes share the\n"
    "work (the CPUs there are). --save keeps a replay file for each finding.\n"
    "\n"
    "With --shard, only each N-th of the faults and scenarios; the JSON of all shards is merged:\n"
    "  parallel 'cooper lab hunt --shard {}/4 --json >{}.json' ::: 1 2 3 4\n"
    "  cooper lab hunt --merge 1.json 2.json 3.json 4.json\n"
    "\n"
    "Exit status: 0 every fault was found and the shipped code held; 3 otherwise.\n";

static const char compare_text[] =
    "usage: cooper lab compare [SCENARIO] [--schedules N] [--seed N] [--jobs N] [--json]\n"
    "\n"
    "The three remedies that PR 248008 discussed and the bug itself on the same schedules (200):\n"
    "how many hang, how many pages stay behind after the storm, how much memory tags take.\n";

static const char soak_text[] =
    "usage: cooper lab soak [--points N] [--state FILE] [--budget SECONDS] [--seed N] [--jobs N]\n"
    "                       [--save FILE] [--json]\n"
    "\n"
    "The shipped code in all scenarios, shapes and strategies for --points points (100 million), "
    "or\n"
    "until --budget is over. With --state it goes on where it was interrupted. A broken promise\n"
    "ends it and is kept as a replay file (soak.lab).\n";

static const char help_text[] = "usage: cooper lab help [COMMAND]\n"
				"\n"
				"Show all about one command; without one, the overview.\n";

void
help_about(const char *command)
{
	static const struct {
		const char *name, *text;
	} texts[] = { { "list", list_text }, { "run", run_text }, { "replay", replay_text_ },
		{ "hunt", hunt_text }, { "compare", compare_text }, { "soak", soak_text },
		{ "help", help_text } };

	for (size_t i = 0; i < nitems(texts); i++)
		if (strcmp(command, texts[i].name) == 0) {
			fputs(texts[i].text, stdout);
			return;
		}
	refuse("help: unknown command %s; known are list, run, replay, hunt, compare, soak, help",
	    command);
}

int
help_command(int argc, char **argv)
{
	if (argc > 2)
		refuse("help: takes one command, not also %s", argv[2]);
	if (argc == 2)
		help_about(argv[1]);
	else
		fputs(overview, stdout);
	return (STATUS_HELD);
}
