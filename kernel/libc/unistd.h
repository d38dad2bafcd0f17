/*
 * Time passes.
 */
#ifndef KERNEL_UNISTD_H
#define KERNEL_UNISTD_H

int usleep(unsigned us);
unsigned alarm(unsigned seconds); /* the watchdog is there anyway: nothing */

#endif
