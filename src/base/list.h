/*
 * An intrusive, circular, doubly linked list. A head is a link whose neighbours are its ends; an
 * unlinked link points at itself, so removing twice is harmless and "is it on a list" is a test.
 * No lock: the room that owns the head says what guards it.
 */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include "base/base.h"

struct list {
	struct list *next, *prev;
};

#define LIST_INIT(name)          \
	{                        \
		&(name), &(name) \
	}

static inline void
list_init(struct list *l)
{
	l->next = l->prev = l;
}

static inline bool
list_empty(const struct list *head)
{
	return (head->next == head);
}

static inline void
list_insert_after(struct list *at, struct list *l)
{
	l->next = at->next;
	l->prev = at;
	at->next->prev = l;
	at->next = l;
}

static inline void
list_push(struct list *head, struct list *l) /* at the front */
{
	list_insert_after(head, l);
}

static inline void
list_append(struct list *head, struct list *l) /* at the end */
{
	list_insert_after(head->prev, l);
}

static inline void
list_remove(struct list *l)
{
	l->prev->next = l->next;
	l->next->prev = l->prev;
	list_init(l);
}

static inline struct list *
list_pop(struct list *head) /* NULL when empty */
{
	struct list *l = head->next;

	if (l == head)
		return (NULL);
	list_remove(l);
	return (l);
}

/* Move everything on `from` to the end of `to`; `from` is left empty. */
static inline void
list_splice(struct list *to, struct list *from)
{
	if (list_empty(from))
		return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	list_init(from);
}

#define list_entry(l, type, field) container_of(l, type, field)
#define list_first(head, type, field) \
	(list_empty(head) ? NULL : list_entry((head)->next, type, field))
#define LIST_EACH(l, head) for (struct list *l = (head)->next; l != (head); l = l->next)
#define LIST_EACH_SAFE(l, head)                                               \
	for (struct list *l = (head)->next, *l##_next = l->next; l != (head); \
	     l = l##_next, l##_next = l->next)

#endif
