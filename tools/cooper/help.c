/*
 * The help texts: what `cooper help` says, as complete as the manual page cooper.1.
 */
#include <string.h>
#include "tool.h"

static const char overview[] =
    "usage: cooper run [OPTION]... -- COMMAND [ARGUMENT]...\n"
    "       cooper stat [-z] [-m] [-v] [-w] [-e] [--json] PID|FILE\n"
    "       cooper lab list | run | replay | hunt | compare | soak | help\n"
    "       cooper help [COMMAND]\n"
    "       cooper --version\n"
    "\n"
    "cooper runs unchanged programs on Cooper's memory allocator and shows what they hold. Its\n"
    "laboratory runs the allocator under schedules that it chooses.\n"
    "\n"
    "  run    run a program, and the programs that it starts, on Cooper\n"
    "  stat   show zones, malloc types, arenas and sleepers of a process or of a run\n"
    "  lab    find, replay and explain schedules that break a promise (cooper lab help)\n"
    "  help   this text, or all about one command\n"
    "\n"
    "Options may also come from the environment variable COOPER_OPTIONS (cooper help run).\n"
    "Exit status: 2 when something is wrong with what was asked for (one line says what, and "
    "nothing\n"
    "has been done); otherwise each command's own.\n";

static const char run_text[] =
    "usage: cooper run [OPTION]... -- COMMAND [ARGUMENT]...\n"
    "\n"
    "Run COMMAND with libcooper-malloc.so in place of the C library's malloc, and every program "
    "that\n"
    "it starts. An LD_PRELOAD that exists is kept, behind Cooper's.\n"
    "\n"
    "The shape of the machine that each process finds itself on:\n"
    "  --shape i386|amd64  i386 has no direct map: every slab is mapped into the kernel address "
    "space.\n"
    "                      amd64 has one: slabs of one page come straight from it. Default: "
    "amd64.\n"
    "  --physmem SIZE      physical memory of each process, from 1M. Default: what the machine or "
    "its\n"
    "                      cgroup has.\n"
    "  --kva SIZE          kernel address space of each process. Default: twice the physical "
    "memory.\n"
    "  --cpus N            CPUs, 1 to 256. Default: those of the machine.\n"
    "  --domains N         memory domains, 1 to 8, no more than CPUs. Default: 1.\n"
    "  --debug             check everything; stop a program with one line at its first misuse.\n"
    "SIZE is a number of bytes, or one with the suffix K, M, G or T (powers of 1024).\n"
    "\n"
    "Memory that is given back:\n"
    "  --decay MS          memory that was free for so many milliseconds goes back to the system; "
    "0: "
    "at\n"
    "                      once, -1: never. Default: 1000.\n"
    "  --ceiling SIZE      the most that all caches of a process hold. Default: no ceiling.\n"
    "  --limit SIZE        memory in use beyond which a process is under pressure, and empties "
    "its\n"
    "                      caches. Default: none.\n"
    "  --pressure WHERE    what else says that memory is short: auto, the process's cgroup (v2) "
    "or,\n"
    "                      without one, /proc/pressure/memory; 0, nothing; or a folder that has "
    "files\n"
    "                      as a cgroup's: memory.events, .current, .high, .max, .pressure.\n"
    "                      Default: auto.\n"
    "\n"
    "Statistics:\n"
    "  --stats FILE        save each process's statistics in FILE when it ends: JSON, one line a\n"
    "                      process, for cooper stat. A file of an earlier run is replaced; any "
    "other\n"
    "                      file is refused. FILE must not contain commas or blanks.\n"
    "  --progress          show on standard error how the run goes: processes, allocations, "
    "reclaim\n"
    "                      passes, sleeps, hangs; at the end print the merged zone, arena and "
    "wait\n"
    "                      tables and one line\n"
    "                      run: P processes, A allocations, R reclaim passes, W sleeps, H hangs\n"
    "                      on standard output.\n"
    "  --hang SECONDS      with --progress: a sleep on one channel that lasts longer than this is "
    "a\n"
    "                      hang, and is told with its channel and thread. Default: 20.\n"
    "\n"
    "COOPER_OPTIONS holds the same settings as words separated by commas or blanks, for programs "
    "that\n"
    "are linked with Cooper and for cooper run, whose own options win:\n"
    "  shape=i386|amd64 physmem=SIZE kva=SIZE cpus=N domains=N debug=0|1 daemon=0|1 pin=0|1 "
    "rseq=0|1\n"
    "  warnings=0|1 decay=MS ceiling=SIZE limit=SIZE pressure=WHERE stats=FILE\n"
    "\n"
    "Signals sent to cooper run are passed on to the command.\n"
    "Exit status: the command's; 128 + N if signal N ended it; 126 if it could not be executed; 2 "
    "if\n"
    "something was wrong before it was started: an unknown option, an impossible size, no such "
    "program,\n"
    "a program that the library cannot be loaded into (static, set-user-ID, other word size).\n"
    "\n"
    "  cooper run --shape i386 --physmem 64M --stats build.json --progress -- make -j4\n"
    "  cooper stat -z build.json\n";

static const char stat_text[] =
    "usage: cooper stat [-z] [-m] [-v] [-w] [-e] [--json] PID|FILE\n"
    "\n"
    "Show the statistics of a live process that runs on Cooper, or of a file that cooper run "
    "--stats\n"
    "wrote. A process is read without stopping it. An argument of digits only is a process; write "
    "./123\n"
    "for a file of that name. A file of many processes is merged: counters and levels are sums, "
    "PROCS\n"
    "is the number of processes that had the row, MAX columns are the largest of any one process.\n"
    "\n"
    "  -z      zones, as vmstat -z: SIZE bytes of an item; LIMIT items (0: none); USED, FREE items "
    "(in\n"
    "          slabs, buckets and CPUs' caches); REQ, FAIL, SLEEP requests made, failed, that "
    "waited\n"
    "          for the limit; XDOMAIN frees on another domain than the item's; PAGES of slabs; "
    "BUCKET\n"
    "          slots of a new bucket; RESERVE free items kept for those who may use the reserve.\n"
    "          With more than one memory domain, a line for each follows.\n"
    "  -m      malloc types, as vmstat -m: blocks in use, their memory, requests, sizes.\n"
    "  -v      arenas and their boundary tags: QUANTUM, SIZE, INUSE, FREE, IMPORTED from PARENT "
    "and\n"
    "          LARGEST free segment in the arena's own unit; BUSY, FREE, SPANS, SPARE tags; "
    "WAITERS;\n"
    "          then the histogram of free and busy segments. Also physical pages and watermarks.\n"
    "  -w      who waits: channels with their counters, then each sleeper with its channel, "
    "thread, age\n"
    "          and need (in the channel's unit: bytes, items, pages).\n"
    "  -e      where the memory is, in bytes, as an equation that sums: live items, large blocks,\n"
    "          items in CPUs' buckets, in full ones and in slabs, free pages with contents, "
    "metadata,\n"
    "          what slabs waste, less what nobody has touched; and what of it lies in each CPU's\n"
    "          buckets.\n"
    "  --json  the same as one line of JSON, with every field; numbers above 2^63-1 are cut to "
    "that.\n"
    "Without -z, -m, -v, -w, -e: all of them, without histograms.\n"
    "\n"
    "Exit status: 0; 2 for no such process or file, a process that does not run on Cooper or may "
    "not be\n"
    "read, a damaged or foreign file. Damage that is met inside a process is a line of the "
    "output.\n";

static const char help_text[] = "usage: cooper help [COMMAND]\n"
				"\n"
				"Show all about one command, run or stat; without one, the "
				"overview. The laboratory has a help\n"
				"of its own: cooper lab help.\n";

static const char lab_text[] = "The laboratory has a help of its own: cooper lab help.\n";

void
help_command(const char *command)
{
	if (command == NULL)
		fputs(overview, stdout);
	else if (strcmp(command, "run") == 0)
		fputs(run_text, stdout);
	else if (strcmp(command, "stat") == 0)
		fputs(stat_text, stdout);
	else if (strcmp(command, "lab") == 0)
		fputs(lab_text, stdout);
	else if (strcmp(command, "help") == 0)
		fputs(help_text, stdout);
	else
		refuse("help: unknown command %s; known are run, stat, lab, help", command);
}

int
help(int argc, char **argv)
{
	if (argc > 2)
		refuse("help takes one command, not also %s", argv[2]);
	help_command(argc == 2 ? argv[1] : NULL);
	return (0);
}
