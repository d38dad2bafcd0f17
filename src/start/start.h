/*
 * For who runs the house and forks: start.c beyond cooper.h.
 */
#ifndef START_START_H
#define START_START_H

/*
 * In the child of a fork(), on the one thread that is left, after sync_fork_prepare() in the parent:
 * makes every room's locks new, forgets the sleepers, starts the daemon if there was one.
 */
void core_fork_child(void);

/* The last step of a start: decay, ceiling and limit, as the machine and its options say. */
void giveback_start(void);

#endif
