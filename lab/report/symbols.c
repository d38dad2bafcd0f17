/*
 * Function and line of a program counter, from the debug information in this program's own file.
 */
#include <dwarf.h>
#include <elfutils/libdw.h>
#include <elfutils/libdwfl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/base.h"
#include "lab/report/symbols.h"

struct symbols {
	Dwfl *dwfl;
};

/* Only the program itself: no other files, no servers of debug information. */
static int
no_debuginfo(Dwfl_Module *module, void **data, const char *name, Dwarf_Addr base, const char *file,
    const char *link, GElf_Word crc, char **found)
{
	(void)module, (void)data, (void)name, (void)base;
	(void)file, (void)link, (void)crc, (void)found;
	return (-1);
}

struct symbols *
symbols_open(void)
{
	static const Dwfl_Callbacks callbacks = {
		.find_elf = dwfl_linux_proc_find_elf,
		.find_debuginfo = no_debuginfo,
	};
	struct symbols *s = calloc(1, sizeof(*s));

	if (s == NULL)
		abort();
	s->dwfl = dwfl_begin(&callbacks);
	if (s->dwfl == NULL)
		return (s);
	dwfl_report_begin(s->dwfl);
	if (dwfl_linux_proc_report(s->dwfl, getpid()) != 0 ||
	    dwfl_report_end(s->dwfl, NULL, NULL) != 0) {
		dwfl_end(s->dwfl);
		s->dwfl = NULL;
	}
	return (s);
}

void
symbols_close(struct symbols *s)
{
	if (s->dwfl != NULL)
		dwfl_end(s->dwfl);
	free(s);
}

/* The compiler was told "../src/uma/keg.c", seen from the build's folder. */
static const char *
from_root(const char *file)
{
	const char *up;

	if (file == NULL)
		return (NULL);
	while ((up = strstr(file, "../")) != NULL)
		file = up + 3;
	return (file);
}

static bool
is_scaffold(const struct frame *f)
{
	static const char *const folders[] = { "src/machine/", "src/sync/", "lab/report/",
		"lab/oracles/", "lab/search/", "lab/cli/", "lab/run.c", "lab/threads.c" };

	if (f->file == NULL) /* without debug information there is only the name */
		return (strcmp(f->function, "?") == 0 || strncmp(f->function, "sim_", 4) == 0);
	for (unsigned i = 0; i < nitems(folders); i++)
		if (strncmp(f->file, folders[i], strlen(folders[i])) == 0)
			return (true);
	return (false);
}

/* Two parts of one function, which the compiler has split. */
static bool
is_same(const struct frame *a, const struct frame *b)
{
	return (a->file == b->file && strcmp(a->function, b->function) == 0);
}

/* Where an inlined function was called: the line in the function around it. */
static void
call_site(Dwarf_Die *cu, Dwarf_Die *inlined, const char **file, unsigned *line)
{
	Dwarf_Attribute attr;
	Dwarf_Word number;
	Dwarf_Files *files;
	size_t nfiles;

	*file = NULL;
	*line = 0;
	if (dwarf_formudata(dwarf_attr(inlined, DW_AT_call_line, &attr), &number) == 0)
		*line = (unsigned)number;
	if (dwarf_formudata(dwarf_attr(inlined, DW_AT_call_file, &attr), &number) == 0 &&
	    dwarf_getsrcfiles(cu, &files, &nfiles) == 0 && number < nfiles)
		*file = dwarf_filesrc(files, number, NULL, NULL);
}

/* The frames of one program counter: inlined functions, then the one that has the code. */
static unsigned
frames_of(Dwfl_Module *module, Dwarf_Addr pc, struct frame *frames, unsigned max)
{
	Dwarf_Die *scopes = NULL, *around = NULL, *cu;
	Dwfl_Line *at = dwfl_module_getsrc(module, pc);
	const char *file = NULL;
	int line = 0, nscopes, naround = 0;
	Dwarf_Addr bias;
	unsigned n = 0, site;

	if (at != NULL)
		file = dwfl_lineinfo(at, NULL, &line, NULL, NULL, NULL);
	site = (unsigned)line;
	cu = dwfl_module_addrdie(module, pc, &bias);
	nscopes = cu == NULL ? 0 : dwarf_getscopes(cu, pc - bias, &scopes);
	if (nscopes > 0)
		naround = dwarf_getscopes_die(&scopes[0], &around);
	for (int i = 0; i < naround && n < max; i++) {
		int tag = dwarf_tag(&around[i]);

		if (tag != DW_TAG_inlined_subroutine && tag != DW_TAG_subprogram)
			continue;
		frames[n++] = (struct frame){ dwarf_diename(&around[i]), from_root(file), site };
		if (tag == DW_TAG_subprogram)
			break;
		call_site(cu, &around[i], &file, &site);
	}
	if (n == 0)
		frames[n++] =
		    (struct frame){ dwfl_module_addrname(module, pc), from_root(file), site };
	free(scopes);
	free(around);
	return (n);
}

unsigned
symbols_frames(
    struct symbols *s, const uintptr_t *pc, unsigned n, struct frame *frames, unsigned max)
{
	unsigned kept = 0, got;

	for (unsigned i = 0; s->dwfl != NULL && i < n && kept < max; i++) {
		Dwarf_Addr call = pc[i] - 1; /* a return address: the call is before it */
		Dwfl_Module *module = dwfl_addrmodule(s->dwfl, call);
		struct frame here[8];

		if (module == NULL)
			continue;
		got = frames_of(module, call, here, nitems(here));
		for (unsigned k = 0; k < got && kept < max; k++) {
			if (here[k].function == NULL)
				here[k].function = "?";
			if (!is_scaffold(&here[k]) &&
			    (kept == 0 || !is_same(&frames[kept - 1], &here[k])))
				frames[kept++] = here[k];
		}
	}
	return (kept);
}

const char *
symbols_object(struct symbols *s, uintptr_t address, unsigned *offset)
{
	Dwfl_Module *module = s->dwfl == NULL ? NULL : dwfl_addrmodule(s->dwfl, address);
	const char *name;
	GElf_Off at;
	GElf_Sym symbol;

	if (module == NULL)
		return (NULL);
	name = dwfl_module_addrinfo(module, address, &at, &symbol, NULL, NULL, NULL);
	if (name == NULL || GELF_ST_TYPE(symbol.st_info) != STT_OBJECT || at >= symbol.st_size)
		return (NULL);
	*offset = (unsigned)at;
	return (name);
}
