/* SPDX-License-Identifier: BSD-2-Clause */
/* The common half of the multiboot test kernels; see kernel.h. */
#include "tests/guest/multiboot/kernel.h"

#define COM1 0x3f8
#define DEBUG_EXIT 0xf4
#define VERDICT_PASS 0x10
#define VERDICT_FAIL 0x11
#define MIB (1ull << 20)
#define RAM_TYPE 1
#define CR0_PE 1u
#define CR0_PG 0x80000000u
#define FLAGS_IF 0x200u
#define ZEROS 100000

struct given given;
extern const char kernel_start[], kernel_end[];
extern const uint32_t entry_cr0, entry_flags;
static volatile uint8_t zeros[ZEROS]; /* nobody writes here */
static uint32_t failures;
static uint64_t last_end;

static void outb(uint16_t port, uint8_t v)
{
	__asm__ volatile("outb %0, %1" : : "a"(v), "d"(port));
}

static uint8_t inb(uint16_t port)
{
	uint8_t v;

	__asm__ volatile("inb %1, %0" : "=a"(v) : "d"(port));
	return v;
}

static void put(char c)
{
	if (c == '\n')
		put('\r');
	while (!(inb(COM1 + 5) & 0x20))
		;
	outb(COM1, (uint8_t)c);
}

static void put_string(const char *s)
{
	while (*s)
		put(*s++);
}

static void put_hex(uint64_t v)
{
	bool started = false;
	int shift;

	put_string("0x");
	for (shift = 60; shift >= 0; shift -= 4) {
		unsigned digit = (unsigned)(v >> shift) & 15;

		started |= digit || !shift;
		if (started)
			put("0123456789abcdef"[digit]);
	}
}

static void put_decimal(uint32_t v)
{
	if (v >= 10)
		put_decimal(v / 10);
	put((char)('0' + v % 10));
}

static bool verdict(bool ok, const char *name)
{
	put_string(ok ? "PASS: " : "FAIL: ");
	put_string(name);
	failures += !ok;
	return ok;
}

bool check(bool ok, const char *name)
{
	verdict(ok, name);
	put('\n');
	return ok;
}

bool check_equal(uint64_t is, uint64_t should_be, const char *name)
{
	if (!verdict(is == should_be, name)) {
		put_string(" - is ");
		put_hex(is);
		put_string(" and should be ");
		put_hex(should_be);
	}
	put('\n');
	return is == should_be;
}

__attribute__((noreturn)) static void finish(void)
{
	put_string("END: ");
	put_decimal(failures);
	put_string(" failures\n");
	__asm__ volatile("outl %0, %1"
			 :
			 : "a"(failures ? VERDICT_FAIL : VERDICT_PASS), "Nd"((uint16_t)DEBUG_EXIT));
	for (;;)
		__asm__ volatile("cli; hlt");
}

bool string_equal(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

bool bytes_equal(const void *a, const void *b, uint32_t n)
{
	const uint8_t *x = a, *y = b;

	while (n && *x == *y)
		n--, x++, y++;
	return !n;
}

uint32_t number_of(const char *line, const char *name)
{
	for (; *line; line++) {
		const char *n = name, *p = line;
		uint32_t v = 0;

		while (*n && *n == *p)
			n++, p++;
		if (*n || *p++ != '=')
			continue;
		for (; *p >= '0' && *p <= '9'; p++)
			v = v * 10 + (uint32_t)(*p - '0');
		return v;
	}
	return 0;
}

void add_map_entry(uint64_t base, uint64_t size, uint32_t type)
{
	struct range *last = given.ram_count ? &given.ram[given.ram_count - 1] : NULL;

	given.map_sorted &= base >= last_end && size;
	last_end = base + size;
	put_string("map ");
	put_hex(base);
	put(' ');
	put_hex(base + size);
	put(' ');
	put_hex(type);
	put('\n');
	if (type != RAM_TYPE)
		return;
	if (last && last->end == base)
		last->end += size;
	else if (given.ram_count < MAX_RANGES)
		given.ram[given.ram_count++] = (struct range){base, base + size};
}

static struct range kernel_range(void)
{
	return (struct range){(uintptr_t)kernel_start, (uintptr_t)kernel_end};
}

static bool is_ram(struct range r)
{
	uint32_t i;

	for (i = 0; i < given.ram_count; i++)
		if (given.ram[i].base <= r.base && r.end <= given.ram[i].end)
			return true;
	return false;
}

static bool overlap(struct range a, struct range b)
{
	return a.base < b.end && b.base < a.end;
}

/* --- the checks -------------------------------------------------------------------- */

static void check_entry(void)
{
	uint32_t i, set = 0;

	check((entry_cr0 & (CR0_PE | CR0_PG)) == CR0_PE, "entered in protected mode without paging");
	check(!(entry_flags & FLAGS_IF), "entered with interrupts off");
	for (i = 0; i < ZEROS; i++)
		set += zeros[i];
	check(!set, "what the file does not hold is zero");
}

static void check_strings(void)
{
	check(given.cmdline && bytes_equal(given.cmdline, "umbra-test ram_mib=", 19),
	      "the command line is passed on");
	check(given.loader && string_equal(given.loader, "Umbra"), "the boot loader has a name");
}

/* mem_upper, worked out from the map: up to the first hole that the kernel is not in. */
static uint64_t upper_end(void)
{
	uint32_t i;

	for (i = 0; i < given.ram_count; i++) {
		if (given.ram[i].end <= MIB)
			continue;
		if (i + 1 == given.ram_count ||
		    !overlap(kernel_range(), (struct range){given.ram[i].end, given.ram[i + 1].base}))
			return given.ram[i].end;
	}
	return MIB;
}

static void check_memory(void)
{
	uint64_t bytes = 0, mib = number_of(given.cmdline, "ram_mib");
	uint32_t i;

	check(given.ram_count, "the memory map has RAM");
	check(given.map_sorted, "the memory map is sorted and free of overlaps");
	for (i = 0; i < given.ram_count; i++)
		bytes += given.ram[i].end - given.ram[i].base;
	check(bytes <= mib * MIB && bytes >= (mib - 64) * MIB, "the memory map has what the machine has");
	check(bytes + 16 * MIB <= mib * MIB, "the hypervisor's memory is not RAM in the map");
	check(given.mem_lower >= 512 && given.mem_lower <= 640, "mem_lower makes sense");
	check_equal(given.mem_upper, (upper_end() - MIB) >> 10, "mem_upper ends at the first hole");
	if (number_of(given.cmdline, "forced"))
		check(!is_ram(kernel_range()), "a forced kernel lies in reserved memory");
	else
		check(is_ram(kernel_range()), "the kernel lies in RAM");
	check(is_ram(given.info), "the information lies in RAM");
	check(!overlap(kernel_range(), given.info), "the information does not overlap the kernel");
}

static bool module_is_good(uint32_t k)
{
	const struct module *m = &given.module[k];
	const uint8_t *p = at(m->at.base);
	uint64_t i, size = m->at.end - m->at.base;

	if (size != number_of(m->string, "bytes") || m->string[7] != (char)('0' + k))
		return false;
	for (i = 0; i < size; i++)
		if (p[i] != (uint8_t)(k + 7 * i))
			return false;
	return true;
}

static void check_modules(void)
{
	uint32_t i, j;

	check_equal(given.module_count, number_of(given.cmdline, "modules"),
		    "there are as many modules as in the entry");
	for (i = 0; i < given.module_count; i++) {
		const struct module *m = &given.module[i];
		bool apart = !overlap(m->at, kernel_range()) && !overlap(m->at, given.info);

		for (j = 0; j < i; j++)
			apart &= !overlap(m->at, given.module[j].at);
		check(module_is_good(i), "a module has its content and its string");
		check(!(m->at.base & 4095) && is_ram(m->at) && apart, "a module has pages of its own");
	}
}

static void check_framebuffer(void)
{
	const struct framebuffer *f = &given.framebuffer;
	volatile uint32_t *pixel = (volatile uint32_t *)(uintptr_t)f->address;

	if (!f->depth && !number_of(given.cmdline, "screen"))
		return;
	if (!check(f->depth == 32 && f->type == 1, "there is a framebuffer with 32 bits a pixel"))
		return;
	check(f->width >= 640 && f->height >= 480 && f->pitch >= f->width * 4, "the framebuffer's size makes sense");
	check(f->red_size == 8 && f->green_size == 8 && f->blue_size == 8 &&
		      f->red_position + f->green_position + f->blue_position == 24,
	      "the framebuffer's colours make sense");
	*pixel = 0x123456;
	check((*pixel & 0xffffff) == 0x123456, "the framebuffer's memory is there");
}

/* Section headers of this kernel's own class. */
#if UINTPTR_MAX > 0xffffffff
struct section {
	uint32_t name, type;
	uint64_t flags, address, offset, size;
	uint32_t link, info;
	uint64_t align, entry;
};
struct symbol {
	uint32_t name;
	uint8_t info, other;
	uint16_t section;
	uint64_t value, size;
};
#else
struct section {
	uint32_t name, type, flags, address, offset, size, link, info, align, entry;
};
struct symbol {
	uint32_t name, value, size;
	uint8_t info, other;
	uint16_t section;
};
#endif
#define SYMBOL_TABLE 2

static bool symbol_found(const struct section *all, const struct section *table)
{
	const struct symbol *symbols = at(table->address);
	const char *names = at(all[table->link].address);
	uint32_t i, count = (uint32_t)table->size / (uint32_t)sizeof(*symbols);

	for (i = 0; i < count; i++)
		if (string_equal(names + symbols[i].name, "kernel_main"))
			return symbols[i].value == (uintptr_t)kernel_main;
	return false;
}

static void check_symbols(void)
{
	const struct section *all = (const struct section *)given.sections;
	bool found = false;
	uint32_t i;

	if (!number_of(given.cmdline, "symbols"))
		return;
	if (!check(all && given.section_bytes == sizeof(*all), "there are section headers"))
		return;
	for (i = 0; i < given.section_count; i++)
		if (all[i].type == SYMBOL_TABLE && all[i].link < given.section_count)
			found |= symbol_found(all, &all[i]);
	check(found, "the kernel finds its own symbols");
}

void check_given_and_finish(void)
{
	check_entry();
	check_strings();
	check_memory();
	check_modules();
	check_framebuffer();
	check_symbols();
	finish();
}
