/* SPDX-License-Identifier: BSD-2-Clause */
/* The scheduler of tests with several CPUs, and what the compiler calls in programs built for ThreadSanitizer; see tests/unit/orders.h. */
#include "tests/unit/orders.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/host_pause.h"
#include "tests/unit/rng.h"

#define STACK_BYTES (256u << 10)
#define CHOICES_MAX (1u << 20)
#define RANGES_MAX 4u
#define BUFFER_MAX 16u
#define TEXT_MAX 400u
/* So many waits in a row, of all CPUs, with nothing stored in between. */
#define WAITS_MAX 2000u

/* Who waits for a word goes on when something near it is stored to. */
#define NEAR 64

struct store {
	void *at;
	u64 value;
	u32 size;
};

struct cpu {
	void *stack_pointer;
	u8 *stack;
	bool done, waits;
	const void *waits_for; /* the word that it looked at last */
	struct store buffer[BUFFER_MAX];
	u32 count;
};

static struct {
	u8 *start, *copy, *dirty;
	u64 bytes;
	bool points;
} ranges[RANGES_MAX];
static u32 range_count;
static struct {
	const u8 *start;
	u64 bytes;
} plain;

static struct cpu cpus[ORDERS_CPUS];
static u32 cpu_count, now;
static void *outside; /* the stack pointer of who called orders_run() */
static bool running;
static void (*body)(u32 cpu);
static u32 waits_in_a_row;
static bool stuck;

/* The order: at each point the way taken, and how many there were. */
static struct {
	u8 way, ways;
} * choices;
static u32 prefix, point, switches_max, switches;
static bool at_random, given;
static struct rng rng;

/* --- shared memory ------------------------------------------------------------------- */
static void touch(const void *at)
{
	for (u32 i = 0; i < range_count; i++) {
		u64 offset = (u64)((const u8 *)at - ranges[i].start);

		if (offset < ranges[i].bytes)
			ranges[i].dirty[offset >> 12] = 1;
	}
}

static bool is_shared(const void *at)
{
	for (u32 i = 0; i < range_count; i++)
		if (ranges[i].points && (u64)((const u8 *)at - ranges[i].start) < ranges[i].bytes)
			return true;
	return false;
}

void orders_shared(void *start, u64 bytes, bool points)
{
	u64 pages = (bytes + 4095) >> 12;

	ranges[range_count].start = start;
	ranges[range_count].bytes = bytes;
	ranges[range_count].points = points;
	ranges[range_count].copy = malloc(bytes);
	memcpy(ranges[range_count].copy, start, bytes);
	ranges[range_count++].dirty = calloc(pages, 1);
}

void orders_plain(const void *start, u64 bytes)
{
	plain.start = start;
	plain.bytes = bytes;
}

void orders_forget(void)
{
	plain.bytes = 0;
	while (range_count) {
		free(ranges[--range_count].copy);
		free(ranges[range_count].dirty);
	}
	prefix = 0;
	at_random = given = false;
}

void orders_restore(void)
{
	for (u32 i = 0; i < range_count; i++)
		for (u64 at = 0; at < ranges[i].bytes; at += 4096) {
			u64 bytes = MIN(4096, ranges[i].bytes - at);

			if (!ranges[i].dirty[at >> 12])
				continue;
			memcpy(ranges[i].start + at, ranges[i].copy + at, bytes);
			ranges[i].dirty[at >> 12] = 0;
		}
}

/* --- store buffers ---------------------------------------------------------------------- */
static u64 memory_load(const void *at, u32 size)
{
	switch (size) {
	case 1: return *(const volatile u8 *)at;
	case 2: return *(const volatile u16 *)at;
	case 4: return *(const volatile u32 *)at;
	default: return *(const volatile u64 *)at;
	}
}

/* Who waits is woken by a change alone: one that waits for a lock stores, too. */
static void memory_store(void *at, u64 value, u32 size)
{
	u64 mask = ~0ull >> (64 - 8 * size);

	if (!((memory_load(at, size) ^ value) & mask))
		return;
	touch(at);
	switch (size) {
	case 1: *(volatile u8 *)at = (u8)value; break;
	case 2: *(volatile u16 *)at = (u16)value; break;
	case 4: *(volatile u32 *)at = (u32)value; break;
	default: *(volatile u64 *)at = value; break;
	}
	waits_in_a_row = 0;
	for (u32 i = 0; i < cpu_count; i++)
		if ((u64)((const u8 *)at - (const u8 *)cpus[i].waits_for + NEAR) < 2 * NEAR ||
		    !is_shared(cpus[i].waits_for))
			cpus[i].waits = false;
}

static void drain(struct cpu *c)
{
	for (u32 i = 0; i < c->count; i++)
		memory_store(c->buffer[i].at, c->buffer[i].value, c->buffer[i].size);
	c->count = 0;
}

/* A CPU sees its own stores. */
static void drain_for(const void *at, u32 size)
{
	struct cpu *c = &cpus[now];

	for (u32 i = 0; running && i < c->count; i++)
		if ((const u8 *)c->buffer[i].at < (const u8 *)at + size &&
		    (const u8 *)at < (const u8 *)c->buffer[i].at + c->buffer[i].size) {
			drain(c);
			return;
		}
}

/* swapcontext() without its system call: what a function keeps is on the stack that is left. */
void orders_swap(void **from, void *to);
__asm__(".text\n"
	"orders_swap:\n"
	"	push %rbp\n	push %rbx\n	push %r12\n	push %r13\n	push %r14\n	push %r15\n"
	"	mov %rsp, (%rdi)\n"
	"	mov %rsi, %rsp\n"
	"	pop %r15\n	pop %r14\n	pop %r13\n	pop %r12\n	pop %rbx\n	pop %rbp\n"
	"	ret\n");

/* --- who goes on --------------------------------------------------------------------------- */
static void switch_to(u32 next)
{
	u32 from = now;

	if (next == from)
		return;
	now = next;
	orders_swap(&cpus[from].stack_pointer, cpus[next].stack_pointer);
}

/* The n-th of the other CPUs that would do something. */
static u32 other(u32 n)
{
	for (u32 i = 1; i < cpu_count; i++) {
		u32 next = (now + i) % cpu_count;

		if (!cpus[next].done && !cpus[next].waits && !n--)
			return next;
	}
	return now;
}

static u32 others(void)
{
	u32 count = 0;

	for (u32 i = 0; i < cpu_count; i++)
		count += i != now && !cpus[i].done && !cpus[i].waits;
	return count;
}

/* 0: go on. Then each other CPU; then each with this one's stores still on their way. */
static u32 choose(u32 ways)
{
	u32 way = 0;

	if (point >= CHOICES_MAX)
		return 0;
	if (at_random)
		way = rng_chance(&rng, 4) ? rng_below(&rng, ways) : 0;
	else if (point < prefix)
		way = MIN(choices[point].way, ways - 1);
	choices[point].ways = (u8)(switches < switches_max ? ways : 1);
	choices[point++].way = (u8)way;
	switches += way != 0;
	return way;
}

/* Before an atomic operation on shared memory. */
static void step(const void *at)
{
	u32 count, way;

	if (!running || !is_shared(at))
		return;
	count = others();
	if (!count)
		return;
	way = choose(1 + count * (cpus[now].count ? 2 : 1));
	if (!way)
		return;
	if (way <= count)
		drain(&cpus[now]);
	switch_to(other((way - 1) % count));
}

/* Somebody else has to go on: one that would do something, else any. */
static void give_up(void)
{
	u32 count = others();

	if (count) {
		switch_to(other(at_random ? rng_below(&rng, count) : 0));
		return;
	}
	for (u32 i = 1; i < cpu_count; i++)
		if (!cpus[(now + i) % cpu_count].done) {
			switch_to((now + i) % cpu_count);
			return;
		}
}

static void on_pause(void)
{
	if (!running)
		return;
	for (u32 i = 0; i < cpu_count; i++)
		drain(&cpus[i]);
	if (++waits_in_a_row > WAITS_MAX) {
		stuck = true;
		running = false;
		orders_swap(&cpus[now].stack_pointer, outside);
	}
	cpus[now].waits = true;
	give_up();
	cpus[now].waits = false;
}

static void start(void)
{
	body(now);
	drain(&cpus[now]);
	cpus[now].done = true;
	give_up();
	running = false; /* all are done */
	orders_swap(&cpus[now].stack_pointer, outside);
}

bool orders_run(u32 count, void (*run)(u32 cpu))
{
	if (!choices)
		choices = calloc(CHOICES_MAX, sizeof(*choices));
	body = run;
	cpu_count = count;
	point = switches = waits_in_a_row = now = 0;
	stuck = false;
	for (u32 i = 0; i < count; i++) {
		struct cpu *c = &cpus[i];

		c->done = c->waits = false;
		c->waits_for = NULL;
		c->count = 0;
		if (!c->stack)
			c->stack = malloc(STACK_BYTES);
		/* As orders_swap() leaves a stack; behind a call it is 8 bytes off a multiple of 16. */
		c->stack_pointer = c->stack + STACK_BYTES - 64;
		memset(c->stack_pointer, 0, 64);
		((void **)c->stack_pointer)[6] = (void *)(uintptr_t)start;
	}
	host_on_pause = on_pause;
	running = true;
	orders_swap(&outside, cpus[0].stack_pointer);
	running = false;
	host_on_pause = NULL;
	return !stuck;
}

/* --- orders ------------------------------------------------------------------------------------- */
/* "12.1 57.3": at point 12 the first way that is not just going on, at 57 the third. */
static void take_given(const char *text)
{
	unsigned at, way;
	int length;

	for (; sscanf(text, " %u.%u%n", &at, &way, &length) == 2 && at < CHOICES_MAX; text += length) {
		memset(&choices[prefix], 0, (at - prefix) * sizeof(*choices));
		choices[at].way = (u8)way;
		prefix = at + 1;
	}
}

bool orders_given(void)
{
	return getenv("UMBRA_ORDER");
}

void orders_first(u32 most)
{
	if (!choices)
		choices = calloc(CHOICES_MAX, sizeof(*choices));
	prefix = 0;
	switches_max = most;
	at_random = false;
	given = orders_given();
	if (given)
		take_given(getenv("UMBRA_ORDER"));
}

bool orders_next(void)
{
	if (given)
		return false;
	while (point && choices[point - 1].way + 1 >= choices[point - 1].ways)
		point--;
	if (!point)
		return false;
	choices[point - 1].way++;
	prefix = point;
	return true;
}

void orders_random(u64 seed)
{
	rng_seed(&rng, seed);
	at_random = true;
	switches_max = UINT32_MAX;
}

const char *orders_text(void)
{
	static char text[TEXT_MAX];
	u32 length = 0;

	text[0] = 0;
	for (u32 i = 0; i < point && length < TEXT_MAX - 24; i++)
		if (choices[i].way)
			length += (u32)sprintf(text + length, "%u.%u ", i, choices[i].way);
	return text;
}

u64 orders_points(void)
{
	return point;
}

/* --- what the compiler calls ----------------------------------------------------------------------- */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#pragma GCC diagnostic ignored "-Wmissing-declarations"

void __tsan_init(void) {}
void __tsan_func_entry(void *caller) {}
void __tsan_func_exit(void) {}

/* Before a plain access, between a load and the store of what was made of it. */
static void step_plain(const void *at)
{
	if (unlikely((u64)((const u8 *)at - plain.start) < plain.bytes))
		step(at);
}

#define PLAIN(size) \
	void __tsan_read##size(void *at) \
	{ \
		step_plain(at); \
		drain_for(at, size); \
	} \
	void __tsan_write##size(void *at) \
	{ \
		step_plain(at); \
		drain_for(at, size); \
		touch(at); \
	}
PLAIN(1)
PLAIN(2)
PLAIN(4)
PLAIN(8)
PLAIN(16)

void __tsan_read_range(void *at, unsigned long bytes)
{
	drain_for(at, (u32)bytes);
}
void __tsan_write_range(void *at, unsigned long bytes)
{
	drain_for(at, (u32)bytes);
	for (unsigned long i = 0; i < bytes; i += 64)
		touch((u8 *)at + i);
	touch((u8 *)at + bytes - 1);
}

static u64 atomic_load(const void *at, u32 size)
{
	step(at);
	drain_for(at, size);
	cpus[now].waits_for = at;
	return memory_load(at, size);
}

static void atomic_store(void *at, u64 value, u32 size, int order)
{
	struct cpu *c = &cpus[now];

	step(at);
	if (!running || order == __ATOMIC_SEQ_CST || !is_shared(at)) {
		drain(c);
		memory_store(at, value, size);
		return;
	}
	if (c->count == BUFFER_MAX)
		drain(c);
	c->buffer[c->count++] = (struct store){at, value, size};
}

/* A locked instruction: all of this CPU's stores are out before it. */
static u64 begin_locked(void *at, u32 size)
{
	step(at);
	drain(&cpus[now]);
	cpus[now].waits_for = at;
	return memory_load(at, size);
}

void __tsan_atomic_thread_fence(int order)
{
	if (running && order == __ATOMIC_SEQ_CST)
		drain(&cpus[now]);
}

#define ATOMIC(bits) \
	u##bits __tsan_atomic##bits##_load(const u##bits *at, int order) \
	{ \
		return (u##bits)atomic_load(at, bits / 8); \
	} \
	void __tsan_atomic##bits##_store(u##bits *at, u##bits value, int order) \
	{ \
		atomic_store(at, value, bits / 8, order); \
	} \
	u##bits __tsan_atomic##bits##_exchange(u##bits *at, u##bits value, int order) \
	{ \
		u##bits old = (u##bits)begin_locked(at, bits / 8); \
\
		memory_store(at, value, bits / 8); \
		return old; \
	} \
	u##bits __tsan_atomic##bits##_fetch_add(u##bits *at, u##bits value, int order) \
	{ \
		u##bits old = (u##bits)begin_locked(at, bits / 8); \
\
		memory_store(at, (u##bits)(old + value), bits / 8); \
		return old; \
	} \
	u##bits __tsan_atomic##bits##_fetch_sub(u##bits *at, u##bits value, int order) \
	{ \
		return __tsan_atomic##bits##_fetch_add(at, (u##bits) - value, order); \
	} \
	u##bits __tsan_atomic##bits##_fetch_and(u##bits *at, u##bits value, int order) \
	{ \
		u##bits old = (u##bits)begin_locked(at, bits / 8); \
\
		memory_store(at, old &value, bits / 8); \
		return old; \
	} \
	u##bits __tsan_atomic##bits##_fetch_or(u##bits *at, u##bits value, int order) \
	{ \
		u##bits old = (u##bits)begin_locked(at, bits / 8); \
\
		memory_store(at, old | value, bits / 8); \
		return old; \
	} \
	bool __tsan_atomic##bits##_compare_exchange_strong(u##bits *at, u##bits *expected, u##bits value, \
							   int good, int bad) \
	{ \
		u##bits old = (u##bits)begin_locked(at, bits / 8), wanted = *expected; \
\
		*expected = old; \
		if (old != wanted) \
			return false; \
		memory_store(at, value, bits / 8); \
		return true; \
	} \
	bool __tsan_atomic##bits##_compare_exchange_weak(u##bits *at, u##bits *expected, u##bits value, int good, \
							 int bad) \
	{ \
		return __tsan_atomic##bits##_compare_exchange_strong(at, expected, value, good, bad); \
	}
ATOMIC(8)
ATOMIC(16)
ATOMIC(32)
ATOMIC(64)
