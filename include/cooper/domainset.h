/*
 * Which memory domains a request prefers. After FreeBSD's domainset(9), reduced to what the
 * allocators use.
 */
#ifndef COOPER_DOMAINSET_H
#define COOPER_DOMAINSET_H

#include <cooper/types.h>

enum domainset_policy {
	DOMAINSET_FIRSTTOUCH, /* the domain of the CPU we are on, then the others in order */
	DOMAINSET_ROUNDROBIN, /* each call starts at the next domain */
	DOMAINSET_PREFER,     /* `prefer`, then the others */
	DOMAINSET_FIXED       /* `prefer` only */
};

struct domainset {
	enum domainset_policy policy;
	int prefer;
	uint32_t mask;   /* domains allowed; 0 = all */
	uint32_t cursor; /* ROUNDROBIN: where the next call starts */
};

#endif
