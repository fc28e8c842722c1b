/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * umbractl: talks to the hypervisor from inside the guest, through its CPUID
 * leaves alone, so it needs no privileges and no driver. A small static
 * program; the test initramfs carries it as /bin/umbractl. It stands on no
 * library, so that it is built for x86-64 and i386 guests alike. Here are what all
 * commands stand on and the short ones; tools/umbractl_*.c has the others.
 */
#include <cpuid.h>

#include "tools/umbractl.h"

#define LOG_BYTES_MAX (1u << 20)

/* --- the system ----------------------------------------------------------------- */

/* Where the kernel starts a program: the stack holds argc, then argv. */
#ifdef __x86_64__
#define NR_WRITE 1
#define NR_NANOSLEEP 35
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
#define NR_NANOSLEEP 162
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

size_t length(const char *s)
{
	size_t n = 0;

	while (s[n])
		n++;
	return n;
}

bool equal(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

void print_to(int fd, const char *s)
{
	system_call(NR_WRITE, fd, (long)s, (long)length(s));
}

void print(const char *s)
{
	print_to(STDOUT, s);
}

bool write_all(const void *data, size_t bytes)
{
	while (bytes) {
		long done = system_call(NR_WRITE, STDOUT, (long)data, (long)bytes);

		if (done <= 0)
			return false;
		data = (const char *)data + done;
		bytes -= (size_t)done;
	}
	return true;
}

void sleep_ms(uint32_t milliseconds)
{
	long time[2] = {(long)(milliseconds / 1000), (long)(milliseconds % 1000 * 1000000)};

	system_call(NR_NANOSLEEP, (long)time, 0, 0);
}

/* By halves. */
uint64_t divide(uint64_t v, uint32_t by, uint32_t *rest)
{
	uint32_t high = (uint32_t)(v >> 32), low;

	__asm__("divl %4" : "=a"(low), "=d"(*rest) : "0"((uint32_t)v), "1"(high % by), "rm"(by) : "cc");
	return (uint64_t)(high / by) << 32 | low;
}

static int digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : 16;
}

bool parse_number(const char *text, uint64_t *value, const char **end)
{
	unsigned base = text[0] == '0' && (text[1] | 0x20) == 'x' ? 16 : 10, digit;
	const char *at = base == 16 ? text + 2 : text;
	const char *first = at;

	for (*value = 0; (digit = (unsigned)digit_of(*at)) < base; at++) {
		if (*value >> 60)
			return false;
		*value = *value * base + digit;
	}
	*end = at;
	return at != first;
}

void put(struct line *line, const char *s)
{
	while (*s && line->at < sizeof(line->text) - 1)
		line->text[line->at++] = *s++;
}

void put_to_column(struct line *line, uint32_t column)
{
	while (line->at < column)
		put(line, " ");
}

void put_number(struct line *line, uint64_t v, uint32_t width)
{
	char text[80];
	unsigned at = sizeof(text) - 1;
	uint32_t digit;

	text[at] = '\0';
	do {
		v = divide(v, 10, &digit);
		text[--at] = (char)('0' + digit);
	} while (v);
	while (sizeof(text) - 1 - at < width && at)
		text[--at] = ' ';
	put(line, text + at);
}

void put_hex(struct line *line, uint64_t v, uint32_t digits)
{
	char text[17];
	unsigned at = 16;

	text[16] = '\0';
	while (v || 16 - at < digits || at == 16) {
		text[--at] = "0123456789abcdef"[v & 15];
		v >>= 4;
	}
	put(line, text + at);
}

void put_end(struct line *line)
{
	line->text[line->at++] = '\n';
	write_all(line->text, line->at);
	line->at = 0;
}

/* Decimal, right-aligned in width columns. */
static void print_number(uint64_t v, unsigned width)
{
	struct line line = {.at = 0};

	put_number(&line, v, width);
	write_all(line.text, line.at);
}

/* --- the hypervisor's leaves ------------------------------------------------------ */

struct regs cpuid(uint32_t leaf, uint32_t index)
{
	struct regs r;

	__cpuid_count(leaf, index, r.a, r.b, r.c, r.d);
	return r;
}

struct regs cpuid_with(uint32_t leaf, uint32_t index, uint64_t value)
{
	struct regs r;

	__asm__ volatile("cpuid"
			 : "=a"(r.a), "=b"(r.b), "=c"(r.c), "=d"(r.d)
			 : "0"(leaf), "1"((uint32_t)value), "2"(index), "3"((uint32_t)(value >> 32)));
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
uint64_t counter_value(uint32_t index, uint32_t which)
{
	struct regs r = cpuid(LEAF_COUNTER, which << 16 | index);

	return (uint64_t)r.d << 32 | r.a;
}

void counter_name(uint32_t index, char name[NAME_BYTES])
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
		char name[NAME_BYTES];
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
		char name[NAME_BYTES];
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
	write_all(text + from, to - from);
}

static int usage(void)
{
	print_to(STDERR,
		 "usage: umbractl stats [-0]   counters by name (-0: without those that are zero), then those of each processor\n"
		 "       umbractl stat         what rises, in place, fastest first; --once, --json, --cpus, -i SECONDS\n"
		 "       umbractl log          what the hypervisor has said, from its start on as far as it remembers\n"
		 "       umbractl trace        the records of the trace (umbra option trace=); --help: filters, on and off\n"
		 "       umbractl history ADDR what became of a page, as far as the trace has it\n"
		 "       umbractl who-maps PFN the entries that led to a frame, and those that still do\n"
		 "       umbractl version      versions of the hypervisor and of its interface\n");
	return 2;
}

static int stats_main(long argc, char **argv)
{
	bool hide_zeros = argc == 3 && equal(argv[2], "-0");

	if (argc > 2 && !hide_zeros)
		return usage();
	print_all_stats(hide_zeros);
	return 0;
}

static int version_main(long argc, char **argv)
{
	if (argc != 2)
		return usage();
	print_version();
	return 0;
}

static int log_main(long argc, char **argv)
{
	if (argc != 2)
		return usage();
	print_log();
	return 0;
}

/* needs: the leaf that a hypervisor has which can do it. */
static const struct command {
	const char *name;
	int (*run)(long argc, char **argv);
	uint32_t needs;
} commands[] = {
	{"stats", stats_main, LEAF_COUNTER_NAME},      {"stat", stat_main, LEAF_COUNTER_NAME},
	{"version", version_main, LEAF_COUNTER_NAME},  {"log", log_main, LEAF_LOG_TEXT},
	{"trace", trace_main, LEAF_TRACE_FILTER},      {"history", history_main, LEAF_TRACE_FILTER},
	{"who-maps", history_main, LEAF_TRACE_FILTER},
};

static int run(long argc, char **argv)
{
	const struct command *c = commands, *end = commands + sizeof(commands) / sizeof(commands[0]);

	while (c < end && !(argc >= 2 && equal(argv[1], c->name)))
		c++;
	if (c == end)
		return usage();
	if (!under_umbra()) {
		print_to(STDERR, "umbractl: this machine does not run under Umbra\n");
		return 1;
	}
	if (cpuid(LEAF_SIGNATURE, 0).a < c->needs) {
		print_to(STDERR, "umbractl: this hypervisor is older than its ");
		print_to(STDERR, c->needs == LEAF_LOG_TEXT ? "log for the guest\n" : "trace\n");
		return 1;
	}
	return c->run(argc, argv);
}

void start(long *stack)
{
	int status = run(stack[0], (char **)(stack + 1));

	for (;;)
		system_call(NR_EXIT, status, 0, 0);
}
