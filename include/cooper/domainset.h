/*
 * Which memory domains a request prefers, and in which order it tries the rest. After FreeBSD's
 * domainset(9), reduced to what the allocators use. Domains without memory are passed over.
 */
#ifndef COOPER_DOMAINSET_H
#define COOPER_DOMAINSET_H

#include <cooper/types.h>

enum domainset_policy {
	DOMAINSET_FIRSTTOUCH, /* the domain of the CPU we are on, then the others in order */
	DOMAINSET_ROUNDROBIN, /* each call starts at the next domain */
	DOMAINSET_PREFER,     /* `prefer`, then the others in order */
	DOMAINSET_FIXED       /* `prefer` only: fails if it has no memory */
};

/*
 * The caller's; may be shared by threads without a lock. Only `cursor` is ever written: it says
 * where a round-robin call begins, and each call then goes its own way.
 */
struct domainset {
	enum domainset_policy policy;
	int prefer;      /* a domain's number; for PREFER and FIXED */
	uint32_t mask;   /* domains allowed, a bit each; 0 = all */
	uint32_t cursor; /* start with 0 */
};

#endif
