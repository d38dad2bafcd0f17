/*
 * Where in a process the statistics begin: the files that it maps are looked through for the symbol
 * cooper_stats_root, and its value is moved by where the file was mapped.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "tool.h"

#define ROOT_SYMBOL "cooper_stats_root"

struct image {
	const unsigned char *bytes;
	size_t size;
};

/* A piece of the file, or NULL if it is not all there. */
static const void *
piece(const struct image *im, uint64_t offset, uint64_t size)
{
	if (offset > im->size || size > im->size - offset)
		return (NULL);
	return (im->bytes + offset);
}

/* The symbol's value in one symbol table; 0 if it is not there. */
static uintptr_t
search_table(
    const struct image *im, const ElfW(Shdr) * sections, unsigned n, const ElfW(Shdr) * table)
{
	const ElfW(Shdr) *names = table->sh_link < n ? &sections[table->sh_link] : NULL;
	const ElfW(Sym) *sym = piece(im, table->sh_offset, table->sh_size);
	const char *text = names == NULL ? NULL : piece(im, names->sh_offset, names->sh_size);

	if (sym == NULL || text == NULL)
		return (0);
	for (size_t i = 0; i < table->sh_size / sizeof(*sym); i++)
		if (sym[i].st_shndx != SHN_UNDEF && sym[i].st_name < names->sh_size &&
		    names->sh_size - sym[i].st_name >= sizeof(ROOT_SYMBOL) &&
		    memcmp(text + sym[i].st_name, ROOT_SYMBOL, sizeof(ROOT_SYMBOL)) == 0)
			return (sym[i].st_value);
	return (0);
}

static uintptr_t
search_symbols(const struct image *im, const ElfW(Ehdr) * eh)
{
	const ElfW(Shdr) *sections =
	    piece(im, eh->e_shoff, (uint64_t)eh->e_shnum * sizeof(*sections));
	uintptr_t value = 0;

	if (sections == NULL || eh->e_shentsize != sizeof(*sections))
		return (0);
	for (unsigned i = 0; i < eh->e_shnum && value == 0; i++)
		if (sections[i].sh_type == SHT_DYNSYM || sections[i].sh_type == SHT_SYMTAB)
			value = search_table(im, sections, eh->e_shnum, &sections[i]);
	return (value);
}

/* How far the image was moved: its segment at file offset `offset` was mapped at `start`. */
static uintptr_t
load_bias(const struct image *im, const ElfW(Ehdr) * eh, uintptr_t start, uint64_t offset)
{
	const ElfW(Phdr) *ph = piece(im, eh->e_phoff, (uint64_t)eh->e_phnum * sizeof(*ph));
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE) - 1;

	if (eh->e_type == ET_EXEC || ph == NULL)
		return (0);
	for (unsigned i = 0; i < eh->e_phnum; i++)
		if (ph[i].p_type == PT_LOAD && (ph[i].p_offset & ~page) == offset)
			return (start - (ph[i].p_vaddr & ~page));
	return (0);
}

static uintptr_t
search_file(const char *path, uintptr_t start, uint64_t offset)
{
	struct image im = { NULL, 0 };
	const ElfW(Ehdr) * eh;
	struct stat st;
	uintptr_t value = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	void *at;

	if (fd < 0)
		return (0);
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > (off_t)sizeof(*eh)) {
		at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
		if (at != MAP_FAILED)
			im = (struct image){ at, (size_t)st.st_size };
	}
	close(fd);
	eh = (const void *)im.bytes;
	if (eh == NULL)
		return (0);
	if (memcmp(eh->e_ident, ELFMAG, SELFMAG) == 0 &&
	    eh->e_ident[EI_CLASS] == (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32))
		value = search_symbols(&im, eh);
	if (value != 0)
		value += load_bias(&im, eh, start, offset);
	munmap((void *)im.bytes, im.size);
	return (value);
}

/*
 * The first mapping of each file, as a line of maps: "start-end rwxp offset dev inode path". A file
 * of our own name is by far the likeliest, so those come in a first round.
 */
static uintptr_t
search_maps(pid_t pid, FILE *maps, bool likely_ones)
{
	char *line = NULL, last[4096] = "";
	size_t size = 0;
	uintptr_t value = 0;

	rewind(maps);
	while (value == 0 && getline(&line, &size, maps) > 0) {
		uint64_t start, offset;
		char *path, *real;
		int at = 0;

		if (sscanf(line, "%" SCNx64 "-%*x %*s %" SCNx64 " %*s %*s %n", &start, &offset,
			&at) < 2 ||
		    at == 0 || line[at] != '/')
			continue;
		path = line + at;
		path[strcspn(path, "\n")] = '\0';
		if (strncmp(path, "/dev/", 5) == 0 || strcmp(path, last) == 0 ||
		    (strstr(path, "libcooper") != NULL) != likely_ones)
			continue;
		snprintf(last, sizeof(last), "%s", path);
		real = xprintf("/proc/%d/root%s", (int)pid, path);
		value = search_file(real, (uintptr_t)start, offset);
		free(real);
	}
	free(line);
	return (value);
}

/* Its program has addresses of another size than ours. */
static bool
other_word(pid_t pid)
{
	char *name = xprintf("/proc/%d/exe", (int)pid);
	unsigned char ident[EI_NIDENT] = "";
	int fd = open(name, O_RDONLY | O_CLOEXEC);
	bool other = fd >= 0 && read(fd, ident, sizeof(ident)) == (ssize_t)sizeof(ident) &&
		     memcmp(ident, ELFMAG, SELFMAG) == 0 &&
		     ident[EI_CLASS] != (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32);

	if (fd >= 0)
		close(fd);
	free(name);
	return (other);
}

uintptr_t
target_root(pid_t pid, const char **why)
{
	char *name = xprintf("/proc/%d/maps", (int)pid);
	FILE *maps = fopen(name, "re");
	uintptr_t value;

	free(name);
	if (maps == NULL) {
		*why = errno == ENOENT ? "no such process" : "its memory map may not be read";
		return (0);
	}
	value = search_maps(pid, maps, true);
	if (value == 0)
		value = search_maps(pid, maps, false);
	*why = ferror(maps)          ? "its memory map may not be read"
	       : !other_word(pid)    ? "it does not run on Cooper"
	       : sizeof(void *) == 8 ? "a 32-bit process: use a cooper command built for 32 bits"
				     : "a 64-bit process: use a cooper command built for 64 bits";
	fclose(maps);
	return (value);
}
