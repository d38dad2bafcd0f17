/*
 * operator new and delete in all forms, their failure, and a C++ library above them.
 */
#include <cstdint>
#include <map>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include <malloc.h>

#include "check.h"

static volatile size_t huge = SIZE_MAX / 2 - 1;

struct alignas(128) wide {
	char data[200];
};

static void
all_forms()
{
	constexpr std::align_val_t align{ 256 };

	for (size_t size = 0; size < 200000; size = size * 2 + 1) {
		void *p[] = { operator new(size), operator new[](size),
						  operator new(size, std::nothrow),
						  operator new[](size, std::nothrow),
						  operator new(size, align),
						  operator new[](size, align),
						  operator new(size, align, std::nothrow),
						  operator new[](size, align, std::nothrow) };

		for (unsigned i = 0; i < 8; i++) {
			check(p[i] != nullptr && malloc_usable_size(p[i]) >= size);
			check((uintptr_t)p[i] % (i < 4 ? 16 : 256) == 0);
			memset(p[i], 1, size);
		}
		operator delete(p[0]);
		operator delete[](p[1]);
		operator delete(p[2], std::nothrow);
		operator delete[](p[3], std::nothrow);
		operator delete(p[4], align);
		operator delete[](p[5], align);
		operator delete(p[6], align, std::nothrow);
		operator delete[](p[7], align, std::nothrow);
		operator delete(operator new(size), size);
		operator delete[](operator new[](size), size);
		operator delete(operator new(size, align), size, align);
		operator delete[](operator new[](size, align), size, align);
	}
	operator delete(nullptr);
	operator delete[](nullptr, (size_t)10);
	delete new wide;
	delete[] new wide[7];
	check(malloc_usable_size(std::unique_ptr<char[]>(new char[129]).get()) == 144);
}

template <typename F>
static bool
throws_bad_alloc(F f)
{
	try {
		f();
	} catch (const std::bad_alloc &) {
		return (true);
	}
	return (false);
}

static void
failure_throws()
{
	check(throws_bad_alloc([] { operator delete(operator new(huge)); }));
	check(throws_bad_alloc([] { operator delete[](operator new[](huge)); }));
	check(
	    throws_bad_alloc([] { operator delete(operator new (huge, std::align_val_t{ 64 })); }));
	check(throws_bad_alloc([] { std::vector<char> v(huge); }));
	check(operator new(huge, std::nothrow) == nullptr);
	check(operator new[](huge, std::nothrow) == nullptr);
	check(operator new (huge, std::align_val_t{ 4096 }, std::nothrow) == nullptr);
}

static int called;

static void
give_up_at_third()
{
	if (++called == 3)
		std::set_new_handler(nullptr);
}

static void
throw_something()
{
	throw std::bad_alloc();
}

static void
throw_other()
{
	throw std::runtime_error("from the handler");
}

static void
new_handlers_have_their_turns()
{
	bool caught = false;

	std::set_new_handler(give_up_at_third);
	check(throws_bad_alloc([] { operator delete(operator new(huge)); }));
	check(called == 3);
	called = 0;
	std::set_new_handler(give_up_at_third);
	check(operator new(huge, std::nothrow) == nullptr);
	check(called == 3);
	std::set_new_handler(throw_something);
	check(throws_bad_alloc([] { operator delete(operator new(huge)); }));
	check(operator new(huge, std::nothrow) == nullptr);
	std::set_new_handler(throw_other);
	try {
		operator delete(operator new(huge));
	} catch (const std::runtime_error &) {
		caught = true;
	}
	check(caught);
	std::set_new_handler(nullptr);
}

static void
containers()
{
	std::map<int, std::string> m;
	std::vector<std::string> v;

	for (int i = 0; i < 20000; i++) {
		m[i * 7919 % 20011] = std::string((size_t)i % 300, 'x');
		v.push_back(std::to_string(i));
	}
	for (auto it = m.begin(); it != m.end();)
		it = it->first % 3 ? m.erase(it) : std::next(it);
	for (int i = 0; i < 20000; i++)
		check(v[(size_t)i] == std::to_string(i));
}

/* Static objects: made before main, destroyed after it. */
static std::vector<std::string> *before = new std::vector<std::string>(100, "static");
static std::string after(1000, 'z');

static void
static_objects()
{
	check(before->size() == 100 && (*before)[99] == "static");
	delete before;
	check(after.size() == 1000);
}

int
main(int argc, char **argv)
{
	static const struct check_case cases[] = { CASE(all_forms), CASE(failure_throws),
		CASE(new_handlers_have_their_turns), CASE(containers), CASE(static_objects) };

	return (check_run(cases, sizeof(cases) / sizeof(cases[0]), argc > 1 ? argv[1] : nullptr));
}
