/*
 * operator new and delete in all forms, under their mangled names: C++'s ABI, no C++. All deletes
 * are free(): sizes and alignments given back are not needed. What happens when memory runs out is
 * in new_fail.cc.
 */
#include "front.h"

#if __SIZEOF_SIZE_T__ == 8
#define Z "m" /* unsigned long */
#else
#define Z "j" /* unsigned int */
#endif
#define ALIGN   "St11align_val_t"
#define NOTHROW "RKSt9nothrow_t"

static ALWAYS_INLINE void *
new_aligned(size_t size, size_t align)
{
	unsigned class = front_started() ? malloc_class_aligned(size, align) : MALLOC_CLASSES;
	void *p = class < MALLOC_CLASSES ? front_pop_class(class) : NULL;

	return (likely(p != NULL) ? p : front_alloc(size, align, 0));
}

/* `name`: new or new[]; each with and without alignment, each also not throwing. */
#define OPERATOR_NEW(name, mangled)                                                              \
	FRONT_EXPORT void *name(size_t size) __asm__(mangled Z);                                 \
	void *name(size_t size)                                                                  \
	{                                                                                        \
		void *p = front_malloc(size);                                                    \
		return (likely(p != NULL) ? p : front_new_failed(size, 0));                      \
	}                                                                                        \
	FRONT_EXPORT void *name##_nothrow(size_t size, const void *) __asm__(mangled Z NOTHROW); \
	void *name##_nothrow(size_t size, const void *tag)                                       \
	{                                                                                        \
		void *p = front_malloc(size);                                                    \
		(void)tag;                                                                       \
		return (likely(p != NULL) ? p : front_new_failed_nothrow(size, 0));              \
	}                                                                                        \
	FRONT_EXPORT void *name##_aligned(size_t size, size_t align) __asm__(mangled Z ALIGN);   \
	void *name##_aligned(size_t size, size_t align)                                          \
	{                                                                                        \
		void *p = new_aligned(size, align);                                              \
		return (likely(p != NULL) ? p : front_new_failed(size, align));                  \
	}                                                                                        \
	FRONT_EXPORT void *name##_aligned_nothrow(                                               \
	    size_t size, size_t align, const void *) __asm__(mangled Z ALIGN NOTHROW);           \
	void *name##_aligned_nothrow(size_t size, size_t align, const void *tag)                 \
	{                                                                                        \
		void *p = new_aligned(size, align);                                              \
		(void)tag;                                                                       \
		return (likely(p != NULL) ? p : front_new_failed_nothrow(size, align));          \
	}

OPERATOR_NEW(new_one, "_Znw")
OPERATOR_NEW(new_array, "_Zna")

#define OPERATOR_DELETE(name, mangled)                                    \
	FRONT_EXPORT void name(void *p, size_t, size_t) __asm__(mangled); \
	void name(void *p, size_t a, size_t b)                            \
	{                                                                 \
		(void)a;                                                  \
		(void)b;                                                  \
		if (unlikely(!front_push(p)))                             \
			front_free(p);                                    \
	}

OPERATOR_DELETE(delete_one, "_ZdlPv")
OPERATOR_DELETE(delete_one_sized, "_ZdlPv" Z)
OPERATOR_DELETE(delete_one_nothrow, "_ZdlPv" NOTHROW)
OPERATOR_DELETE(delete_one_aligned, "_ZdlPv" ALIGN)
OPERATOR_DELETE(delete_one_sized_aligned, "_ZdlPv" Z ALIGN)
OPERATOR_DELETE(delete_one_aligned_nothrow, "_ZdlPv" ALIGN NOTHROW)
OPERATOR_DELETE(delete_array, "_ZdaPv")
OPERATOR_DELETE(delete_array_sized, "_ZdaPv" Z)
OPERATOR_DELETE(delete_array_nothrow, "_ZdaPv" NOTHROW)
OPERATOR_DELETE(delete_array_aligned, "_ZdaPv" ALIGN)
OPERATOR_DELETE(delete_array_sized_aligned, "_ZdaPv" Z ALIGN)
OPERATOR_DELETE(delete_array_aligned_nothrow, "_ZdaPv" ALIGN NOTHROW)
