/* SPDX-License-Identifier: BSD-2-Clause */
/* Support for the host tests; see tests/unit/host.h. */
#include "tests/unit/host.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/hash.h"
#include "mm/phys.h"
#include "tests/unit/host_pause.h"

#define GUARD_BYTES (1ull << 20)

jmp_buf host_panic_jump;
bool host_panic_expected;
char host_panic_message[256];
u32 host_log_count[LOG_DEBUG + 1];
bool host_log_quiet;
u64 host_arena_pages_used;
u64 host_arena_fail_at;

static u8 *arena;
static u64 arena_base, arena_bytes;
static u64 random_state;

void panic(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(host_panic_message, sizeof(host_panic_message), format, args);
	va_end(args);
	if (host_panic_expected)
		longjmp(host_panic_jump, 1);
	fprintf(stderr, "panic: %s\n", host_panic_message);
	abort();
}

static enum log_level shown_level(void)
{
	const char *level = getenv("HOST_LOG");

	return level ? (enum log_level)atoi(level) : LOG_ERROR;
}

void log_printf(enum log_level level, const char *format, ...)
{
	va_list args;

	__atomic_fetch_add(&host_log_count[level], 1, __ATOMIC_RELAXED);
	if (host_log_quiet || level > shown_level())
		return;
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
}

static u8 *map_arena(u64 bytes)
{
	u8 *all = mmap(NULL, bytes + 2 * GUARD_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (all == MAP_FAILED || mprotect(all + GUARD_BYTES, bytes, PROT_READ | PROT_WRITE)) {
		perror("host_arena_create");
		abort();
	}
	return all + GUARD_BYTES;
}

void host_arena_create_at(u64 base, u64 bytes)
{
	host_arena_destroy();
	bytes = ALIGN_UP(bytes, PAGE_SIZE);
	arena = map_arena(bytes);
	arena_base = base;
	arena_bytes = bytes;
	phys_map_offset = (u64)(uintptr_t)arena - base;
	BUG_ON(!phys_map_offset);
}

void host_arena_create(u64 bytes)
{
	host_arena_create_at(HOST_ARENA_BASE, bytes);
}

void host_arena_reset(void)
{
	/* Private anonymous pages that were dropped come back as zeroes. */
	BUG_ON(madvise(arena, arena_bytes, MADV_DONTNEED));
	host_arena_pages_used = 0;
	host_arena_fail_at = 0;
}

void host_arena_destroy(void)
{
	if (arena)
		munmap(arena - GUARD_BYTES, arena_bytes + 2 * GUARD_BYTES);
	arena = NULL;
	phys_map_offset = 0;
	host_arena_pages_used = 0;
	host_arena_fail_at = 0;
}

int host_arena_page(void *arg, hpa_t *out)
{
	if (host_arena_fail_at && !--host_arena_fail_at)
		return -ENOMEM;
	if (host_arena_pages_used == arena_bytes / PAGE_SIZE)
		return -ENOMEM;
	*out = hpa(arena_base + host_arena_pages_used++ * PAGE_SIZE);
	memset(phys_to_virt(*out), 0xa5, PAGE_SIZE);
	return 0;
}

void host_random_seed(u64 seed)
{
	const char *other = getenv("HOST_SEED");

	random_state = seed + (other ? hash_mix(strtoull(other, NULL, 0)) : 0);
}

u64 host_random(void)
{
	random_state += 0x9e3779b97f4a7c15ull;
	return hash_mix(random_state);
}

u64 host_random_below(u64 limit)
{
	return host_random() % limit;
}

void (*host_before_lock)(void);
void (*host_on_pause)(void);

void host_pause(void)
{
	if (host_on_pause)
		host_on_pause();
	else
		sched_yield();
}
