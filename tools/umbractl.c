/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * umbractl: talks to the hypervisor from inside the guest, through its CPUID
 * leaves alone, so it needs no privileges and no driver. A small static
 * program; the test initramfs carries it as /bin/umbractl. It stands on no
 * library, so that it is built for x86-64 and i386 guests alike.
 */
#include <cpuid.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LEAF_SIGNATURE 0x40000000u
#define LEAF_INFO 0x40000001u
#define LEAF_RELEASE 0x40000002u
#define LEAF_COUNTER 0x40000010u
#define LEAF_COUNTER_NAME 0x40000011u
#define LEAF_LOG 0x40000012u
#define LEAF_LOG_TEXT 0x40000013u
#define NAME_PARTS 4
#define LOG_BYTES_MAX (1u << 20)

/* --- the system ----------------------------------------------------------------- */

#define STDOUT 1
#define STDERR 2

/* Where the kernel starts a program: the stack holds argc, then argv. */
#ifdef __x86_64__
#define NR_WRITE 1
#define NR_EXIT 60
__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall start\n");

static long system_call(long number, long a, long b, long c)
{
	long r;

	__asm__ volatile("syscall" : "=a"(r) : "0"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
	return r;
}
#else
#define NR_WRITE 4
#define NR_EXIT 1
__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tmov %esp, %eax\n\tand $-16, %esp\n"
	"\tsub $12, %esp\n\tpush %eax\n\tcall start\n");

static long system_call(long number, long a, long b, long c)
{
	long r;

	__asm__ volatile("int $0x80" : "=a"(r) : "0"(number), "b"(a), "c"(b), "d"(c) : "memory");
	return r;
}
#endif

void *memcpy(void *to, const void *from, size_t n);
void *memset(void *p, int c, size_t n);
__attribute__((noreturn, used)) void start(long *stack);

/* The compiler may call these two. */
void *memcpy(void *to, const void *from, size_t n)
{
	void *at = to;

	__asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(n) : : "memory");
	return to;
}

void *memset(void *p, int c, size_t n)
{
	void *at = p;

	__asm__ volatile("rep stosb" : "+D"(at), "+c"(n) : "a"(c) : "memory");
	return p;
}

static size_t length(const char *s)
{
	size_t n = 0;

	while (s[n])
		n++;
	return n;
}

static bool equal(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

static void print_to(int fd, const char *s)
{
	system_call(NR_WRITE, fd, (long)s, (long)length(s));
}

static void print(const char *s)
{
	print_to(STDOUT, s);
}

/* Decimal, right-aligned in width columns; by halves, since i386 has no division of 64 bits. */
static void print_number(uint64_t v, unsigned width)
{
	char text[80];
	unsigned at = sizeof(text) - 1;

	text[at] = '\0';
	do {
		uint32_t high = (uint32_t)(v >> 32), low = (uint32_t)v, quotient, digit;

		__asm__("divl %4" : "=a"(quotient), "=d"(digit) : "0"(low), "1"(high % 10), "rm"(10u) : "cc");
		text[--at] = (char)('0' + digit);
		v = (uint64_t)(high / 10) << 32 | quotient;
	} while (v);
	while (sizeof(text) - 1 - at < width)
		text[--at] = ' ';
	print(text + at);
}

/* --- the hypervisor's leaves ------------------------------------------------------ */

struct regs {
	uint32_t a, b, c, d;
};

static struct regs cpuid(uint32_t leaf, uint32_t index)
{
	struct regs r;

	__cpuid_count(leaf, index, r.a, r.b, r.c, r.d);
	return r;
}

/* Leaves from 0x40000000 on mean something only if CPUID says "hypervisor" or the signature is ours. */
static bool under_umbra(void)
{
	struct regs r = cpuid(LEAF_SIGNATURE, 0);
	char signature[13] = "";

	memcpy(signature, &r.b, 4);
	memcpy(signature + 4, &r.c, 4);
	memcpy(signature + 8, &r.d, 4);
	return equal(signature, "Umbra Shadow") && r.a >= LEAF_COUNTER_NAME;
}

/* which: 0: of all processors together, n: of the one with number n - 1. */
static uint64_t counter_value(uint32_t index, uint32_t which)
{
	struct regs r = cpuid(LEAF_COUNTER, which << 16 | index);

	return (uint64_t)r.d << 32 | r.a;
}

static void counter_name(uint32_t index, char name[NAME_PARTS * 16 + 1])
{
	for (uint32_t part = 0; part < NAME_PARTS; part++) {
		struct regs r = cpuid(LEAF_COUNTER_NAME, index * NAME_PARTS + part);

		memcpy(name + part * 16, &r.a, 4);
		memcpy(name + part * 16 + 4, &r.b, 4);
		memcpy(name + part * 16 + 8, &r.c, 4);
		memcpy(name + part * 16 + 12, &r.d, 4);
	}
	name[NAME_PARTS * 16] = '\0';
}

static void print_stats(bool hide_zeros)
{
	uint32_t count = cpuid(LEAF_INFO, 0).b;

	for (uint32_t i = 0; i < count; i++) {
		char name[NAME_PARTS * 16 + 1];
		uint64_t value = counter_value(i, 0);

		if (hide_zeros && !value)
			continue;
		counter_name(i, name);
		print(name);
		print_number(value, 69 - (unsigned)length(name));
		print("\n");
	}
}

/* What one processor has of its own; what it never did is left out. */
static void print_stats_of(uint32_t cpu, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		char name[NAME_PARTS * 16 + 1];
		uint64_t value = counter_value(i, cpu + 1);

		if (!value)
			continue;
		counter_name(i, name);
		print("cpu");
		print_number(cpu, 0);
		print("_");
		print(name);
		print_number(value, 65 - (unsigned)length(name) - (cpu < 10 ? 1 : cpu < 100 ? 2 : 3));
		print("\n");
	}
}

static void print_all_stats(bool hide_zeros)
{
	struct regs info = cpuid(LEAF_INFO, 0);

	print_stats(hide_zeros);
	for (uint32_t cpu = 0; info.c > 1 && cpu < info.c; cpu++)
		print_stats_of(cpu, info.d);
}

static void print_version(void)
{
	struct regs r = cpuid(LEAF_RELEASE, 0);
	char release[sizeof(r) + 1] = "";

	memcpy(release, &r, sizeof(r));
	print("Umbra ");
	print(release);
	print(", interface version ");
	print_number(cpuid(LEAF_INFO, 0).a, 0);
	print("\n");
}

/* --- the log ------------------------------------------------------------------------ */

static uint64_t log_written(uint32_t *bytes)
{
	struct regs r = cpuid(LEAF_LOG, 0);

	*bytes = r.b < LOG_BYTES_MAX ? r.b : LOG_BYTES_MAX;
	return (uint64_t)r.d << 32 | r.a;
}

/* The lines that the hypervisor still has, from the first whole one on. */
static void print_log(void)
{
	static char text[LOG_BYTES_MAX + sizeof(struct regs)];
	uint32_t bytes, from, to = 0;
	uint64_t end = log_written(&bytes), first = end > bytes ? end - bytes : 0, now;

	for (uint64_t part = first / sizeof(struct regs); part * sizeof(struct regs) < end; part++) {
		struct regs r = cpuid(LEAF_LOG_TEXT, (uint32_t)part);

		memcpy(text + to, &r, sizeof(r));
		to += sizeof(r);
	}
	from = first % sizeof(struct regs);
	to = from + (uint32_t)(end - first);
	now = log_written(&bytes); /* what came meanwhile has taken the place of the oldest */
	if (now > first + bytes)
		from += now - first - bytes < to - from ? (uint32_t)(now - first - bytes) : to - from;
	if (now > bytes)
		while (from < to && text[from++] != '\n')
			;
	while (from < to) {
		long done = system_call(NR_WRITE, STDOUT, (long)(text + from), (long)(to - from));

		if (done <= 0)
			return;
		from += (uint32_t)done;
	}
}

static int usage(void)
{
	print_to(STDERR,
		 "usage: umbractl stats [-0]   counters by name (-0: without those that are zero), then those of each processor\n"
		 "       umbractl log          what the hypervisor has said, from its start on as far as it remembers\n"
		 "       umbractl version      versions of the hypervisor and of its interface\n");
	return 2;
}

static int run(long argc, char **argv)
{
	bool stats = argc >= 2 && equal(argv[1], "stats");
	bool version = argc == 2 && equal(argv[1], "version");
	bool log = argc == 2 && equal(argv[1], "log");
	bool hide_zeros = stats && argc == 3 && equal(argv[2], "-0");

	if (!version && !log && !(stats && (argc == 2 || hide_zeros)))
		return usage();
	if (!under_umbra()) {
		print_to(STDERR, "umbractl: this machine does not run under Umbra\n");
		return 1;
	}
	if (log && cpuid(LEAF_SIGNATURE, 0).a < LEAF_LOG_TEXT) {
		print_to(STDERR, "umbractl: this hypervisor is older than its log for the guest\n");
		return 1;
	}
	if (version)
		print_version();
	else if (log)
		print_log();
	else
		print_all_stats(hide_zeros);
	return 0;
}

void start(long *stack)
{
	int status = run(stack[0], (char **)(stack + 1));

	for (;;)
		system_call(NR_EXIT, status, 0, 0);
}
