/*
 * Can the command's program run on Cooper? It must be there, be executable, and be one that the
 * dynamic linker loads: a static program has no malloc to replace, and the linker ignores
 * LD_PRELOAD for programs that gain privileges. A script is as good as its interpreter. Only the
 * first program is looked at: what it starts later, and cannot be preloaded, runs as it always did.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>
#include "tool.h"

#define MAX_INTERPRETERS 4 /* the kernel's limit on scripts run by scripts */

static bool
is_executable(const char *path)
{
	struct stat st;

	return (stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0);
}

static char *
search_path(const char *name)
{
	const char *path = getenv("PATH");

	for (path = path == NULL ? "/bin:/usr/bin" : path;; path++) {
		size_t n = strcspn(path, ":");
		char *full =
		    n == 0 ? xprintf("./%s", name) : xprintf("%.*s/%s", (int)n, path, name);

		if (is_executable(full))
			return (full);
		free(full);
		path += n;
		if (*path == '\0')
			return (NULL);
	}
}

char *
program_find(const char *name)
{
	struct stat st;
	char *path;

	if (strchr(name, '/') == NULL) {
		path = name[0] == '\0' ? NULL : search_path(name);
		if (path == NULL)
			refuse("run: no program \"%s\" in PATH", name);
		return (path);
	}
	if (stat(name, &st) != 0)
		refuse("run: no program %s: %s", name, strerror(errno));
	if (S_ISDIR(st.st_mode))
		refuse("run: %s is a directory, not a program", name);
	if (!is_executable(name))
		refuse("run: %s is not executable", name);
	return (xprintf("%s", name));
}

static void
check_privileges(const char *path, const struct stat *st)
{
	if ((st->st_mode & S_ISUID) != 0 && st->st_uid != geteuid())
		refuse("run: %s is set-user-ID: the library cannot be loaded into it", path);
	if ((st->st_mode & S_ISGID) != 0 && (st->st_mode & S_IXGRP) != 0 && st->st_gid != getegid())
		refuse("run: %s is set-group-ID: the library cannot be loaded into it", path);
	if (geteuid() != 0 && getxattr(path, "security.capability", NULL, 0) > 0)
		refuse("run: %s has file capabilities: the library cannot be loaded into it", path);
}

/* Does an ELF program of our word size name a dynamic linker? */
static bool
is_dynamic(int fd, const ElfW(Ehdr) * eh)
{
	for (unsigned i = 0; i < eh->e_phnum; i++) {
		ElfW(Phdr) ph;

		if (pread(fd, &ph, sizeof(ph), (off_t)(eh->e_phoff + i * sizeof(ph))) != sizeof(ph))
			return (false);
		if (ph.p_type == PT_INTERP)
			return (true);
	}
	return (false);
}

static void
check_elf(const char *path, int fd, const ElfW(Ehdr) * eh, ssize_t n)
{
	unsigned ours = sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32;

	if (eh->e_ident[EI_CLASS] != ours)
		refuse("run: %s is a %d-bit program: this cooper has a %d-bit library", path,
		    eh->e_ident[EI_CLASS] == ELFCLASS64 ? 64 : 32, (int)(8 * sizeof(void *)));
	if (n < (ssize_t)sizeof(*eh) || eh->e_phentsize != sizeof(ElfW(Phdr)))
		refuse("run: %s is damaged: its ELF header makes no sense", path);
	if (!is_dynamic(fd, eh))
		refuse("run: %s is statically linked: the library cannot be loaded into it", path);
}

/* The interpreter of a script's first line; NULL if it is no script. */
static char *
script_interpreter(const char *head)
{
	size_t n;

	if (head[0] != '#' || head[1] != '!')
		return (NULL);
	head += 2 + strspn(head + 2, " \t");
	n = strcspn(head, " \t\n");
	return (n == 0 ? NULL : xprintf("%.*s", (int)n, head));
}

static void
check_program(const char *path, unsigned depth)
{
	union {
		ElfW(Ehdr) elf;
		char text[257];
	} head;
	struct stat st;
	char *interpreter;
	ssize_t n;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	memset(&head, 0, sizeof(head));
	if (fd < 0 && errno == EACCES)
		return; /* may be executed though not read: the kernel will say */
	if (fd < 0 || fstat(fd, &st) != 0 || (n = read(fd, &head, sizeof(head) - 1)) < 0)
		refuse("run: %s cannot be read: %s", path, strerror(errno));
	check_privileges(path, &st);
	if (n >= EI_NIDENT && memcmp(head.elf.e_ident, ELFMAG, SELFMAG) == 0)
		check_elf(path, fd, &head.elf, n);
	else if ((interpreter = script_interpreter(head.text)) != NULL) {
		if (depth == MAX_INTERPRETERS)
			refuse("run: %s: scripts run by scripts, more than %d deep", path,
			    MAX_INTERPRETERS);
		if (!is_executable(interpreter))
			refuse("run: %s asks for %s, which is not a program", path, interpreter);
		check_program(interpreter, depth + 1);
		free(interpreter);
	} else
		refuse("run: %s is neither an ELF program nor a script that names its interpreter",
		    path);
	close(fd);
}

void
program_check(const char *path)
{
	check_program(path, 0);
}
