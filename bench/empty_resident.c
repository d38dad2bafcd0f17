/*
 * A program that does nothing, or (with an argument) one malloc, but say what is resident then:
 * "NAME VALUE KiB" a line.
 * /proc/self/smaps_rollup walks the page tables: unlike the counters in /proc/self/status, which the
 * kernel keeps per CPU and adds up late, it is exact.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int
main(int argc, char **argv)
{
	static const char *const what[][2] = { { "\nRss:", "_resident" },
		{ "\nPrivate_Dirty:", "_private" } };
	const char *name = argc > 1 ? "first_malloc" : "start_up";
	char text[4096];
	int file = open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);
	ssize_t n;

	(void)argv;
	if (argc > 1)
		free(malloc(100));
	n = read(file, text, sizeof(text) - 1);
	if (n <= 0)
		return (1);
	text[n] = '\0';
	for (unsigned i = 0; i < 2; i++) {
		const char *at = strstr(text, what[i][0]);

		if (at == NULL)
			return (1);
		at += strlen(what[i][0]);
		at += strspn(at, " ");
		if (write(1, name, strlen(name)) < 0 ||
		    write(1, what[i][1], strlen(what[i][1])) < 0 || write(1, " ", 1) < 0 ||
		    write(1, at, strspn(at, "0123456789")) < 0 || write(1, " KiB\n", 5) < 0)
			return (1);
	}
	return (0);
}
