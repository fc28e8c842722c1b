/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The self-test from its start to its end: each check is run by itself, and an exception or an interrupt that nobody
 * expects fails the one that was under way; the others follow. See selftest.h.
 */
#include "selftest/selftest.h"
#include "tests/guest/lib/smp.h"

#define DETAIL_MAX 120
#define DEBUG_EXIT 0xf4

struct selftest_block *block;

static struct {
	const char *name;
	enum { PASSED, FAILED, SKIPPED } verdict;
	char detail[DETAIL_MAX];
	u32 used;
} now;
static u32 done;
static bool planted; /* an option has asked that this check fails */

/* Runs fn; 1 if abandon() ended it. (jump.asm) */
int attempt(void (*fn)(void));
NORETURN void abandon(void);

/* --- what a check says --- */
static void keep(char c)
{
	if (now.used + 1 < sizeof(now.detail))
		now.detail[now.used++] = c == '\n' ? ' ' : c;
	now.detail[now.used] = '\0';
}

static void say(const char *format, va_list list)
{
	void (*put)(char c) = guest_put;

	now.used = 0;
	now.detail[0] = '\0';
	guest_put = keep;
	print_list(format, list);
	guest_put = put;
}

void fail(const char *format, ...)
{
	va_list list;

	if (now.verdict == FAILED)
		return;
	now.verdict = FAILED;
	va_start(list, format);
	say(format, list);
	va_end(list);
}

void skip(const char *format, ...)
{
	va_list list;

	if (now.verdict != PASSED)
		return;
	now.verdict = SKIPPED;
	va_start(list, format);
	say(format, list);
	va_end(list);
}

void note(const char *format, ...)
{
	va_list list;

	if (now.verdict != PASSED)
		return;
	va_start(list, format);
	say(format, list);
	va_end(list);
}

bool has_failed(void)
{
	return now.verdict == FAILED;
}

/* --- one check --- */

/* The runtime's own words go nowhere but into the reason of the check that they end. */
static void unexpected_put(char c)
{
	if (now.verdict != FAILED) {
		now.verdict = FAILED;
		now.used = 0;
	}
	if (c != '\n')
		keep(c);
}

static bool named(const char *option_name, const char *name)
{
	for (const char *at = boot.cmdline; *at; at++) {
		const char *o = option_name, *p = at, *n = name;

		while (*o && *o == *p)
			o++, p++;
		if (*o || (at != boot.cmdline && at[-1] != ' '))
			continue;
		while (*n && *p && *p != ' ' && (*n == *p || (*n == ' ' && *p == '-')))
			n++, p++;
		return !*n && (!*p || *p == ' ');
	}
	return false;
}

static void count(void)
{
	if (now.verdict == PASSED)
		block->passed++;
	else if (now.verdict == FAILED)
		block->failed++;
	else
		block->skipped++;
}

static const char *const verdict_name[] = {"PASS", "FAIL", "SKIP"};

static void run_one(const struct check_item *item, u32 of)
{
	void (*put)(char c) = guest_put;
	u32 length = block->length;

	now.name = item->name;
	now.verdict = PASSED;
	now.used = 0;
	now.detail[0] = '\0';
	planted = named("fail=", item->name);
	output_progress(item->name, done, of);
	output_keep("not ended: ");
	output_keep(item->name);
	output_keep("\n");
	output_seal(SELFTEST_BEGUN); /* a test that hangs or resets the machine is named by this */
	block->length = length;
	guest_put = unexpected_put;
	if (planted)
		fail("planted by the option fail=");
	if (attempt(item->run))
		now.verdict = FAILED;
	guest_put = put;
	count();
	done++;
	print("%s: %s%s%s\n", verdict_name[now.verdict], item->name, now.detail[0] ? " - " : "", now.detail);
	output_seal(SELFTEST_BEGUN);
}

static u32 length_of(const struct check_item *list)
{
	u32 n = 0;

	while (list[n].name)
		n++;
	return n;
}

static u32 total(void)
{
	return length_of(paging_checks) + length_of(rights_checks) + length_of(system_checks) +
	       length_of(event_checks);
}

static void run_list(const struct check_item *list)
{
	u32 n = length_of(list);

	for (u32 i = 0; i < n; i++)
		run_one(&list[i], total());
}

static void run_events(void)
{
	run_list(event_checks);
}

/* --- the whole --- */
void guest_set_up(void)
{
	block = (struct selftest_block *)option("block", 0);
	guest_finish = abandon;
	output_init();
}

/* What the hypervisor has counted, where it is not 0, some to a line. */
static void tell_counters(void)
{
	u32 count = under_umbra() ? cpuid(0x40000001, 0).b : 0, told = 0;

	for (u32 i = 0; i < count; i++) {
		u64 value = umbra_counter_at(i);
		char name[65];

		if (!value)
			continue;
		umbra_counter_name(i, name);
		print("%s%s %lu", told % 6 ? ", " : "counted: ", name, value);
		if (++told % 6 == 0)
			print("\n");
	}
	if (told % 6)
		print("\n");
}

static void tell_verdict(void)
{
	print("\nself-test: %u passed, %u failed, %u skipped\n", block->passed, block->failed, block->skipped);
	tell_counters();
	output_seal(SELFTEST_DONE);
}

void run_tests(void)
{
	struct space space = space_new();

	space_load(&space);
	if (cpuid(0x80000001, 0).d & BIT(20))
		wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE);
	screen_init(&block->machine.framebuffer);
	output_replay();
	clock_init();
	run_list(paging_checks);
	run_list(rights_checks);
	run_list(system_checks);
	guest_set_up_tables();
	space_load(&space);
	smp_first = cpuid(1, 0).b >> 24;
	smp_x2apic = rdmsr(MSR_APIC_BASE) & BIT(10);
	smp_run(run_events);
	tell_verdict();
	if (option("exit", 0)) /* a test's emulator ends with the verdict */
		outl(DEBUG_EXIT, block->failed ? 0x11 : 0x10);
	power_end(pages_show());
}
