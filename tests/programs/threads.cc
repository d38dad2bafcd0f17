/*
 * A program of many threads that allocate here and free there: containers, strings, shared
 * pointers, over-aligned objects, exceptions, thread-local objects, short-lived threads, and a
 * fork while others allocate, whose child allocates. What it prints depends on its input alone.
 */
#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

namespace
{

struct alignas(256) Block {
	std::array<uint64_t, 32> words;
};

struct Message {
	unsigned from, number;
	std::string text;
	std::shared_ptr<std::vector<uint32_t>> shared;
	std::unique_ptr<Block> block;
};

uint64_t
mix(uint64_t h, uint64_t v)
{
	h ^= v + 0x9e3779b97f4a7c15u + (h << 6) + (h >> 2);
	return (h * 0xff51afd7ed558ccdu);
}

/* Sources make messages, sinks free them: each block crosses from one thread to another. */
class Queue
{
      public:
	void put(Message &&m)
	{
		std::unique_lock<std::mutex> hold(lock);
		room.wait(hold, [this] { return (items.size() < 64); });
		items.push_back(std::move(m));
		some.notify_one();
	}

	bool get(Message &m)
	{
		std::unique_lock<std::mutex> hold(lock);
		some.wait(hold, [this] { return (!items.empty() || closed); });
		if (items.empty())
			return (false);
		m = std::move(items.front());
		items.pop_front();
		room.notify_one();
		return (true);
	}

	void close()
	{
		std::lock_guard<std::mutex> hold(lock);
		closed = true;
		some.notify_all();
	}

      private:
	std::mutex lock;
	std::condition_variable some, room;
	std::deque<Message> items;
	bool closed = false;
};

Message
make_message(unsigned from, unsigned number)
{
	Message m{ from, number, std::string(number * 7 % 3000, char('a' + number % 26)), nullptr,
		nullptr };
	m.shared = std::make_shared<std::vector<uint32_t>>(number % 500 + 1, from * 1000 + number);
	if (number % 5 == 0) {
		m.block.reset(new Block);
		if (reinterpret_cast<uintptr_t>(m.block.get()) % alignof(Block) != 0)
			throw std::runtime_error("operator new ignores the alignment");
		m.block->words.fill(number);
	}
	return (m);
}

uint64_t
digest(const Message &m)
{
	uint64_t h = mix(m.from, m.number);
	for (char c : m.text)
		h = mix(h, (unsigned char)c);
	for (uint32_t v : *m.shared)
		h = mix(h, v);
	if (m.block)
		for (uint64_t w : m.block->words)
			h = mix(h, w);
	return (h);
}

uint64_t
exchange(unsigned sources, unsigned sinks, unsigned each)
{
	Queue queue;
	std::atomic<uint64_t> sum{ 0 };
	std::vector<std::thread> makers, takers;
	for (unsigned i = 0; i < sources; i++)
		makers.emplace_back([&queue, i, each] {
			for (unsigned n = 0; n < each; n++)
				queue.put(make_message(i, n));
		});
	for (unsigned i = 0; i < sinks; i++)
		takers.emplace_back([&queue, &sum] {
			Message m;
			std::map<std::pair<unsigned, unsigned>, Message> kept;
			while (queue.get(m)) {
				sum += digest(m);
				if (m.number % 3 == 0)
					kept.emplace(
					    std::make_pair(m.from, m.number), std::move(m));
				if (kept.size() > 200)
					kept.erase(kept.begin(), std::next(kept.begin(), 100));
			}
		});
	for (auto &t : makers)
		t.join();
	queue.close();
	for (auto &t : takers)
		t.join();
	return (sum);
}

thread_local std::unordered_map<unsigned, std::string> memo;

/* Threads that live for a moment, each with objects that die with it. */
uint64_t
short_lives(unsigned count)
{
	std::atomic<uint64_t> sum{ 0 };
	for (unsigned round = 0; round < count / 8; round++) {
		std::vector<std::thread> threads;
		for (unsigned i = 0; i < 8; i++)
			threads.emplace_back([&sum, round, i] {
				for (unsigned n = 0; n < 40; n++)
					memo[n] =
					    std::string(n * 11, 'x') + std::to_string(round * i);
				for (auto &entry : memo)
					sum += mix(entry.first, entry.second.size());
			});
		for (auto &t : threads)
			t.join();
	}
	return (sum);
}

uint64_t
exceptions(unsigned count)
{
	uint64_t sum = 0;
	volatile size_t huge = SIZE_MAX / 2 + 2; /* what no allocator gives */
	for (unsigned i = 0; i < count; i++)
		try {
			std::vector<std::string> doomed(i % 17, std::string(100, 'd'));
			if (i % 2 == 0)
				throw std::out_of_range(std::string(i % 300, 'e'));
			sum += doomed.size();
		} catch (const std::out_of_range &e) {
			sum += std::string(e.what()).size();
		}
	try {
		::operator delete(::operator new(huge));
	} catch (const std::bad_alloc &) {
		sum += 1000000;
	}
	return (sum + (::operator new(huge, std::nothrow) == nullptr));
}

/* Children of a process whose other threads are in the midst of allocating. */
unsigned
forks(unsigned count)
{
	std::atomic<bool> stop{ false };
	std::vector<std::thread> noise;
	for (unsigned i = 0; i < 3; i++)
		noise.emplace_back([&stop, i] {
			for (unsigned n = 0; !stop; n++)
				digest(make_message(i, n % 1000));
		});
	unsigned good = 0;
	for (unsigned i = 0; i < count; i++) {
		pid_t pid = fork();
		if (pid == 0) {
			uint64_t h = 0;
			for (unsigned n = 0; n < 300; n++)
				h = mix(h, digest(make_message(i, n)));
			std::thread([&h] { h = mix(h, digest(make_message(7, 7))); }).join();
			_exit(h != 0 ? 42 : 1);
		}
		int status;
		if (pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
		    WEXITSTATUS(status) == 42)
			good++;
	}
	stop = true;
	for (auto &t : noise)
		t.join();
	return (good);
}

} // namespace

int
main()
{
	std::printf("exchange 1:1 %016llx\n", (unsigned long long)exchange(1, 1, 4000));
	std::printf("exchange 4:4 %016llx\n", (unsigned long long)exchange(4, 4, 2500));
	std::printf("exchange 8:1 %016llx\n", (unsigned long long)exchange(8, 1, 800));
	std::printf("short lives %016llx\n", (unsigned long long)short_lives(400));
	std::printf("exceptions %llu\n", (unsigned long long)exceptions(3000));
	std::printf("forks %u\n", forks(40));
	return (0);
}
