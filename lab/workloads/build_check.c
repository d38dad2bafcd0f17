/*
 * Is a packed trace sound? Looked at once, before anything is allocated: the replay then trusts it.
 */
#include "build_int.h"

/* FNV-1a over the words. */
static uint32_t
mix(uint32_t sum, const void *data, size_t bytes)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < bytes; i++)
		sum = (sum ^ p[i]) * 16777619u;
	return (sum);
}

uint32_t
build_sum(const struct build_trace *t)
{
	uint32_t sum = 2166136261u;

	sum = mix(sum, t->job, t->njobs * sizeof(t->job[0]));
	return (mix(sum, t->event, t->nevents * sizeof(t->event[0])));
}

/* What the processes of a job are by now. */
enum life { UNBORN, ALIVE, ENDED, GONE };

static bool
names_path(unsigned op)
{
	return (op == BUILD_EXEC || op == BUILD_OPEN || op == BUILD_LOOKUP || op == BUILD_MISS);
}

static const char *
check_place(const struct build_trace *t, const struct build_event *e)
{
	if (names_path(e->op) && e->path >= t->npaths)
		return ("damaged trace: a path that is none");
	if (e->op == BUILD_MAP && e->path >= t->npaths && e->path != BUILD_NO_PATH)
		return ("damaged trace: a map of a path that is none");
	if ((e->op == BUILD_MAP || e->op == BUILD_UNMAP || e->op == BUILD_PROTECT) &&
	    (e->b == 0 || e->a >= BUILD_USER_END || e->b > BUILD_USER_END - e->a))
		return ("damaged trace: pages outside of a process");
	if (e->op == BUILD_EXEC && e->a > 1u << 20)
		return ("damaged trace: arguments of more than 1 MiB");
	return (NULL);
}

static const char *
check_life(const struct build_job *j, const struct build_event *e, enum life *life)
{
	bool child = e->op == BUILD_FORK || e->op == BUILD_VFORK || e->op == BUILD_REAP;

	if (e->process >= j->processes || (child && e->a >= j->processes))
		return ("damaged trace: a process that the job has not");
	if (life[e->process] != (e->op == BUILD_SPAWN ? UNBORN : ALIVE))
		return ("damaged trace: a process acts before its birth or after its end");
	if (child && life[e->a] != (e->op == BUILD_REAP ? ENDED : UNBORN))
		return ("damaged trace: a child is born twice, or waited for before its end");
	if (child)
		life[e->a] = e->op == BUILD_REAP ? GONE : ALIVE;
	else if (e->op == BUILD_SPAWN || e->op == BUILD_EXIT)
		life[e->process] = e->op == BUILD_SPAWN ? ALIVE : ENDED;
	return (NULL);
}

static const char *
check_job(const struct build_trace *t, const struct build_job *j)
{
	enum life life[BUILD_PROCESSES] = { UNBORN };
	const char *why;

	if (j->processes == 0 || j->processes > BUILD_PROCESSES || j->count == 0)
		return ("damaged trace: a job without processes, or with too many");
	for (uint32_t i = j->first; i < j->first + j->count; i++) {
		const struct build_event *e = &t->event[i];

		if (e->op >= BUILD_OPS || e->unused != 0)
			return ("damaged trace: an event that is none");
		if ((why = check_life(j, e, life)) != NULL || (why = check_place(t, e)) != NULL)
			return (why);
	}
	return (NULL);
}

const char *
build_check(const struct build_trace *t)
{
	uint32_t next = 0;
	const char *why;

	if (t->njobs == 0 || t->nevents == 0 || t->npaths == 0 || t->npaths > BUILD_NO_PATH)
		return ("damaged trace: it is empty, or has too many paths");
	for (uint32_t i = 0; i < t->njobs; i++) {
		const struct build_job *j = &t->job[i];

		if (j->first != next || j->count > t->nevents - next)
			return ("damaged trace: the jobs do not cover the events");
		next += j->count;
		if ((why = check_job(t, j)) != NULL)
			return (why);
	}
	if (next != t->nevents)
		return ("damaged trace: the jobs do not cover the events");
	if (build_sum(t) != t->sum)
		return ("damaged trace: its sum is not the one that it was made with");
	return (NULL);
}
