/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lib/: every function against libc's, or against the plainest way to compute
 * the same. The functions under test have the prefix lib_ (see lib/string.h).
 */
#include "tests/unit/host.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>

#include "lib/bits.h"
#include "lib/hash.h"
#include "lib/spinlock.h"

void *lib_memcpy(void *restrict dest, const void *restrict src, size_t n);
void *lib_memmove(void *dest, const void *src, size_t n);
void *lib_memset(void *dest, int byte, size_t n);
int lib_memcmp(const void *a, const void *b, size_t n);
void *lib_memchr(const void *s, int byte, size_t n);
size_t lib_strlen(const char *s);
size_t lib_strnlen(const char *s, size_t max);
int lib_strcmp(const char *a, const char *b);
int lib_strncmp(const char *a, const char *b, size_t n);
char *lib_strchr(const char *s, int c);
char *lib_strrchr(const char *s, int c);
char *lib_strstr(const char *haystack, const char *needle);
size_t str_copy(char *dest, const char *src, size_t size);
int lib_snprintf(char *buf, size_t size, const char *format, ...);

/* Through a pointer, or the compiler warns of texts that are cut short on purpose. */
static int (*volatile libc_snprintf)(char *buf, size_t size, const char *format, ...) = snprintf;

#define BUF 256

static void fill_random(u8 *buf, size_t n)
{
	for (size_t i = 0; i < n; i++)
		buf[i] = (u8)host_random();
}

static void copies_and_fills_match_libc(void **state)
{
	u8 ours[BUF], theirs[BUF], src[BUF];

	host_random_seed(1);
	for (int round = 0; round < 20000; round++) {
		size_t n = host_random_below(BUF / 2), at = host_random_below(BUF / 2);
		size_t from = host_random_below(BUF / 2);

		fill_random(ours, BUF);
		fill_random(src, BUF);
		memcpy(theirs, ours, BUF);
		assert_ptr_equal(lib_memcpy(ours + at, src + from, n), ours + at);
		memcpy(theirs + at, src + from, n);
		assert_memory_equal(ours, theirs, BUF);
		assert_ptr_equal(lib_memmove(ours + at, ours + from, n), ours + at);
		memmove(theirs + at, theirs + from, n);
		assert_memory_equal(ours, theirs, BUF);
		assert_ptr_equal(lib_memset(ours + from, (int)at - 20, n), ours + from);
		memset(theirs + from, (int)at - 20, n);
		assert_memory_equal(ours, theirs, BUF);
	}
}

static int sign(int x)
{
	return (x > 0) - (x < 0);
}

static void memory_comparisons_match_libc(void **state)
{
	u8 a[BUF], b[BUF];

	host_random_seed(2);
	for (int round = 0; round < 20000; round++) {
		size_t n = host_random_below(BUF + 1);
		int byte = (int)host_random_below(512);

		fill_random(a, BUF);
		memcpy(b, a, BUF);
		if (round % 4)
			b[host_random_below(BUF)] ^= (u8)host_random();
		assert_int_equal(sign(lib_memcmp(a, b, n)), sign(memcmp(a, b, n)));
		assert_ptr_equal(lib_memchr(a, byte, n), memchr(a, byte, n));
	}
}

/* Few different characters, so that strings share prefixes and contain each other. */
static void random_string(char *s, size_t max)
{
	static const char set[] = "ab\xff";
	size_t n = host_random_below(max);

	for (size_t i = 0; i < n; i++)
		s[i] = set[host_random_below(3)];
	s[n] = '\0';
}

static void string_functions_match_libc(void **state)
{
	char a[16], b[16];

	host_random_seed(3);
	for (int round = 0; round < 50000; round++) {
		size_t n = host_random_below(20);
		int c = "ab\xffz\0"[host_random_below(5)];

		random_string(a, sizeof(a));
		random_string(b, round % 2 ? sizeof(b) : 4);
		assert_int_equal(lib_strlen(a), strlen(a));
		assert_int_equal(lib_strnlen(a, n), strnlen(a, n));
		assert_int_equal(sign(lib_strcmp(a, b)), sign(strcmp(a, b)));
		assert_int_equal(sign(lib_strncmp(a, b, n)), sign(strncmp(a, b, n)));
		assert_ptr_equal(lib_strchr(a, c), strchr(a, c));
		assert_ptr_equal(lib_strrchr(a, c), strrchr(a, c));
		assert_ptr_equal(lib_strstr(a, b), strstr(a, b));
	}
}

static void str_copy_always_terminates(void **state)
{
	char buf[5] = "wxyz";

	assert_int_equal(str_copy(buf, "abcdefg", 0), 7);
	assert_string_equal(buf, "wxyz");
	assert_int_equal(str_copy(buf, "abcdefg", 1), 7);
	assert_string_equal(buf, "");
	assert_int_equal(str_copy(buf, "abcdefg", sizeof(buf)), 7);
	assert_string_equal(buf, "abcd");
	assert_int_equal(str_copy(buf, "ab", sizeof(buf)), 2);
	assert_string_equal(buf, "ab");
}

/* Formats with ours and with libc's; the results must be the same, cut short too. */
#define assert_same_print(...) \
	do { \
		char ours[BUF], theirs[BUF]; \
		int length = libc_snprintf(theirs, BUF, __VA_ARGS__); \
		assert_int_equal(lib_snprintf(ours, BUF, __VA_ARGS__), length); \
		assert_string_equal(ours, theirs); \
		libc_snprintf(theirs, 6, __VA_ARGS__); \
		assert_int_equal(lib_snprintf(ours, 6, __VA_ARGS__), length); \
		assert_string_equal(ours, theirs); \
	} while (0)

static void print_matches_libc(void **state)
{
	static const char *null;

	assert_same_print("%s", "no conversion at all");
	assert_same_print("100%% of %s", "it");
	assert_same_print("[%5s|%-5s|%.2s|%5.1s|%-6.3s|%s]", "abc", "abc", "abc", "abc", "abc", "");
	assert_same_print("[%c%3c%-3c]", 'x', 'y', 'z');
	assert_same_print("[%d %i %u]", -1, 42, 4000000000u);
	assert_same_print("[%5d|%-5d|%05d|%+d|% d|%+05d]", -42, -42, -42, 42, 42, 42);
	assert_same_print("[%.5d|%8.5d|%-8.5d|%08.5d|%.0d|%.0d]", -42, 42, 42, 42, 0, 1);
	assert_same_print("[%x %X %#x %#X %#x]", 0xbeef, 0xbeef, 0xbeef, 0xbeef, 0);
	assert_same_print("[%08x|%#010x|%-8x|%8x|%.8x]", 0xbeef, 0xbeef, 0xbeef, 0xbeef, 0xbeef);
	assert_same_print("[%lx %lu %ld]", ~0ul, ~0ul, (long)INT64_MIN);
	assert_same_print("[%llx %llu %lld]", ~0ull, ~0ull, (long long)INT64_MIN);
	assert_same_print("[%zx %zu %016lx]", (size_t)7, sizeof(u64), 0xdeadbeeful);
	assert_same_print("[%hhx %hx %hhd %hd]", 0x1ff, 0x1ffff, 0x1ff, 0x1fffe);
	assert_same_print("[%*d|%-*d|%*d|%.*s]", 6, 1, 6, 2, -6, 3, 2, "abc");
	assert_same_print("[%.*d]", -5, 7);
	assert_same_print("[%lo %ju %td]", 01777ul, (uintmax_t)9, (ptrdiff_t)-9);
	assert_same_print("[%s]", null);
}

static void random_numbers_print_like_libc(void **state)
{
	host_random_seed(4);
	for (int round = 0; round < 20000; round++) {
		u64 x = host_random() >> host_random_below(64);
		int width = (int)host_random_below(30) - 10, precision = (int)host_random_below(25) - 3;

		assert_same_print("%*lx %-*ld %0*lu", width, x, width, (long)x, width, x);
		assert_same_print("%*.*lX %-*.*d", width, precision, x, width, precision, (int)x);
	}
}

static void print_keeps_to_the_buffer(void **state)
{
	char buf[4] = "zzz";

	assert_int_equal(lib_snprintf(NULL, 0, "%d", 12345), 5);
	assert_int_equal(lib_snprintf(buf, 1, "%d", 12345), 5);
	assert_string_equal(buf, "");
	assert_int_equal(buf[1], 'z');
}

static void print_of_unknown_conversions_copies_the_rest(void **state)
{
	char buf[BUF];

	lib_snprintf(buf, sizeof(buf), "%d %f %s", 1, 2.0, "x");
	assert_string_equal(buf, "1 %f %s");
	lib_snprintf(buf, sizeof(buf), "end %5");
	assert_string_equal(buf, "end %5");
	lib_snprintf(buf, sizeof(buf), "%p", (void *)(uintptr_t)0x1234abcd);
	assert_string_equal(buf, "0x000000001234abcd");
}

static u32 slow_log2(u64 x)
{
	u32 n = 0;

	while (x >>= 1)
		n++;
	return n;
}

static void bits_match_loops(void **state)
{
	host_random_seed(5);
	for (int round = 0; round < 20000; round++) {
		u64 x = (host_random() >> host_random_below(64)) | BIT(host_random_below(64));
		u32 high = slow_log2(x), low = 0, count = 0;

		while (!(x & BIT(low)))
			low++;
		for (u32 i = 0; i < 64; i++)
			count += (x >> i) & 1;
		assert_int_equal(bit_highest(x), high);
		assert_int_equal(log2_floor(x), high);
		assert_int_equal(bit_fls(x), high + 1);
		assert_int_equal(bit_lowest(x), low);
		assert_int_equal(bit_ffs(x), low + 1);
		assert_int_equal(bit_count(x), count);
		assert_int_equal(is_power_of_2(x), count == 1);
		assert_int_equal(log2_ceil(x), high + (count > 1));
	}
	assert_int_equal(bit_ffs(0), 0);
	assert_int_equal(bit_fls(0), 0);
	assert_int_equal(bit_count(0), 0);
	assert_int_equal(log2_ceil(1), 0);
	assert_false(is_power_of_2(0));
}

/* Each input bit flips each output bit in about half of the cases. */
static void hash_spreads_every_bit(void **state)
{
	static u32 flips[64][64];
	const u32 rounds = 4000;

	memset(flips, 0, sizeof(flips));
	host_random_seed(6);
	for (u32 round = 0; round < rounds; round++) {
		u64 x = host_random();

		for (u32 in = 0; in < 64; in++) {
			u64 changed = hash_mix(x) ^ hash_mix(x ^ BIT(in));

			for (u32 out = 0; out < 64; out++)
				flips[in][out] += (changed >> out) & 1;
		}
	}
	for (u32 in = 0; in < 64; in++) {
		for (u32 out = 0; out < 64; out++)
			assert_true(flips[in][out] >= rounds * 4 / 10 && flips[in][out] <= rounds * 6 / 10);
	}
	assert_true(hash_mix2(1, 2) != hash_mix2(2, 1));
}

static struct spinlock contended;

static void unlock_later(int number)
{
	spin_unlock(&contended);
}

/* The other CPU is a signal, which comes while we wait. */
static void waits_are_counted_and_a_free_lock_is_none(void **state)
{
	struct itimerval soon = {.it_value = {.tv_usec = 20000}};
	struct spin_counts before = spin_counts(), after;

	spin_lock(&contended);
	spin_end(&(struct spin_wait){0});
	after = spin_counts();
	assert_memory_equal(&before, &after, sizeof(before));
	signal(SIGALRM, unlock_later);
	assert_int_equal(setitimer(ITIMER_REAL, &soon, NULL), 0);
	spin_lock(&contended);
	after = spin_counts();
	assert_int_equal(after.waits, before.waits + 1);
	assert_true(after.pauses > before.pauses && after.ticks > before.ticks);
	assert_int_equal(contended.held, 1);
	spin_unlock(&contended);
	spin_lock(&contended);
	before = spin_counts();
	assert_memory_equal(&before, &after, sizeof(before));
	spin_unlock(&contended);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(copies_and_fills_match_libc),
		cmocka_unit_test(memory_comparisons_match_libc),
		cmocka_unit_test(string_functions_match_libc),
		cmocka_unit_test(str_copy_always_terminates),
		cmocka_unit_test(print_matches_libc),
		cmocka_unit_test(random_numbers_print_like_libc),
		cmocka_unit_test(print_keeps_to_the_buffer),
		cmocka_unit_test(print_of_unknown_conversions_copies_the_rest),
		cmocka_unit_test(bits_match_loops),
		cmocka_unit_test(hash_spreads_every_bit),
		cmocka_unit_test(waits_are_counted_and_a_free_lock_is_none),
	};

	return cmocka_run_group_tests_name("lib", tests, NULL, NULL);
}
