/*
 * operator new without memory: call the new-handler until there is some or no handler, then throw.
 *
 * The C++ library is not linked, since C programs have none. Its functions are weak references:
 * found at load time in a C++ program, null otherwise. Where the C++ library came later, with
 * dlopen(), it is looked up when it is needed: by then the process is long past its start.
 */
#include <dlfcn.h>
#include <stddef.h>
#include <stdlib.h>

/* What the compiler itself refers to for the try block. */
__asm__(".weak __gxx_personality_v0, __cxa_begin_catch, __cxa_end_catch, _Unwind_Resume, "
	"_ZSt9terminatev, __cxa_call_terminate");

typedef void new_handler();

extern "C" {
void *front_alloc(size_t size, size_t align, int flags);
void *front_new_failed(size_t size, size_t align);
void *front_new_failed_nothrow(size_t size, size_t align);

/* std::get_new_handler() and the function that throws std::bad_alloc; libc++ has both, too. */
new_handler *std_get_new_handler() __asm__("_ZSt15get_new_handlerv") __attribute__((weak));
void std_throw_bad_alloc() __asm__("_ZSt17__throw_bad_allocv") __attribute__((weak));
}

/* A function of the C++ library, wherever it was loaded. */
static void *
cxx_function(void *linked, const char *name)
{
	static const char *const libraries[] = { "libstdc++.so.6", "libc++.so.1" };
	void *found = linked;

	for (unsigned i = 0; found == nullptr && i < 2; i++) {
		void *library = dlopen(libraries[i], RTLD_LAZY | RTLD_NOLOAD);

		if (library != nullptr)
			found = dlsym(library, name);
	}
	return (found);
}

/* The handler's turns: each may free memory, replace itself, throw, or end the program. */
static void *
call_handlers(size_t size, size_t align)
{
	auto get = (new_handler * (*)())
	    cxx_function((void *)std_get_new_handler, "_ZSt15get_new_handlerv");
	new_handler *handler;
	void *p = nullptr;

	while (p == nullptr && get != nullptr && (handler = get()) != nullptr) {
		handler();
		p = front_alloc(size, align, 0);
	}
	return (p);
}

void *
front_new_failed(size_t size, size_t align)
{
	void *p = call_handlers(size, align);

	if (p == nullptr) {
		auto fail = (void (*)())cxx_function(
		    (void *)std_throw_bad_alloc, "_ZSt17__throw_bad_allocv");

		if (fail != nullptr)
			fail();
		abort(); /* operator new without any C++ library: nobody could catch */
	}
	return (p);
}

/* A handler that throws means NULL here. */
void *
front_new_failed_nothrow(size_t size, size_t align)
{
	try {
		return (call_handlers(size, align));
	} catch (...) {
		return (nullptr);
	}
}
