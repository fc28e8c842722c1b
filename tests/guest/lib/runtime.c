/* SPDX-License-Identifier: BSD-2-Clause */
/* The runtime of the test images: start, output, exceptions, ring 3; see guest.h. */
#include "tests/guest/lib/guest.h"

#include "tests/guest/lib/tables.h"

#define COM1 0x3f8
#define DEBUG_EXIT 0xf4
#define VERDICT_PASS 0x10
#define VERDICT_FAIL 0x11

/* boot_params, Documentation/arch/x86/zero-page.rst */
#define BP_EXT_CMDLINE 0x0c8
#define BP_E820_COUNT 0x1e8
#define BP_CMDLINE 0x228
#define BP_E820 0x2d0

struct boot_params_view boot;
struct exception caught;
u32 phys_bits;
static u32 failures;
static bool expecting;
static struct cpuid_regs signature;

struct gate {
	u16 offset0, selector;
	u8 ist, type;
	u16 offset1;
	u32 offset2, zero;
} PACKED;
struct frame {
	u64 vector, error, rip, cs, rflags, rsp, ss;
};

static struct gate idt[256] ALIGNED(16);
static struct tss tss ALIGNED(16);
u64 gdt[GDT_ENTRIES] ALIGNED(16);
extern char stubs[];
extern u64 fault_rax;
static u8 fault_stack[8192] ALIGNED(16);

void image_main(const u8 *params);
u64 exception(struct frame *f);

/* --- what the compiler calls; weak, since lib/string.c has them too --- */
__attribute__((weak)) void *memset(void *p, int c, size_t n)
{
	void *at = p;

	asm volatile("rep stosb" : "+D"(at), "+c"(n) : "a"(c) : "memory");
	return p;
}

__attribute__((weak)) void *memcpy(void *to, const void *from, size_t n)
{
	void *at = to;

	asm volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(n) : : "memory");
	return to;
}

/* --- output --- */
void (*guest_put)(char c);
void (*guest_finish)(void);

__attribute__((weak)) void guest_set_up(void) {}

static void put(char c)
{
	if (guest_put) {
		guest_put(c);
		return;
	}
	if (c == '\n')
		put('\r');
	while (!(inb(COM1 + 5) & 0x20))
		;
	outb(COM1, (u8)c);
}

static void put_string(const char *s)
{
	while (*s)
		put(*s++);
}

static void put_number(u64 v, u32 base)
{
	char digits[24];
	u32 n = 0;

	do
		digits[n++] = "0123456789abcdef"[v % base];
	while (v /= base);
	while (n)
		put(digits[--n]);
}

void print_list(const char *f, va_list list)
{
	for (; *f; f++) {
		bool wide = false;

		if (*f != '%') {
			put(*f);
			continue;
		}
		while (*++f == 'l')
			wide = true;
		switch (*f) {
		case 's': put_string(va_arg(list, const char *)); break;
		case 'c': put((char)va_arg(list, int)); break;
		case 'x': put_number(wide ? va_arg(list, u64) : va_arg(list, u32), 16); break;
		default: put_number(wide ? va_arg(list, u64) : va_arg(list, u32), 10); break;
		}
	}
}

void print(const char *format, ...)
{
	va_list list;

	va_start(list, format);
	print_list(format, list);
	va_end(list);
}

bool check(bool ok, const char *name, const char *detail, ...)
{
	va_list list;

	print("%s: %s", ok ? "PASS" : "FAIL", name);
	if (!ok) {
		failures++;
		put_string(" - ");
		va_start(list, detail);
		print_list(detail, list);
		va_end(list);
	}
	put('\n');
	return ok;
}

void finish(void)
{
	if (guest_finish)
		guest_finish();
	print("END: %u failures\n", failures);
	outl(DEBUG_EXIT, failures ? VERDICT_FAIL : VERDICT_PASS);
	for (;;)
		asm volatile("hlt");
}

/* --- the machine --- */
u64 option(const char *name, u64 fallback)
{
	for (const char *at = boot.cmdline; *at; at++) {
		const char *n = name, *p = at;
		u64 v = 0;

		while (*n && *n == *p)
			n++, p++;
		if (*n || *p++ != '=')
			continue;
		for (; *p >= '0' && *p <= '9'; p++)
			v = v * 10 + (u64)(*p - '0');
		return v;
	}
	return fallback;
}

struct cpuid_regs cpuid(u32 leaf, u32 index)
{
	struct cpuid_regs r;

	asm volatile("cpuid" : "=a"(r.a), "=b"(r.b), "=c"(r.c), "=d"(r.d) : "a"(leaf), "c"(index));
	return r;
}

bool under_umbra(void)
{
	return signature.b == 0x72626d55; /* "Umbr" */
}

void umbra_counter_name(u32 index, char name[65])
{
	for (u32 part = 0; part < 4; part++) {
		struct cpuid_regs r = cpuid(0x40000011, index * 4 + part);

		memcpy(name + part * 16, &r, 16);
	}
	name[64] = '\0';
}

static bool counter_is(u32 index, const char *name)
{
	char text[65];

	umbra_counter_name(index, text);
	for (const char *t = text; *name && *t == *name; t++, name++)
		;
	return !*name;
}

u32 umbra_counter_find(const char *name)
{
	u32 count = under_umbra() ? cpuid(0x40000001, 0).b : 0;

	for (u32 i = 0; i < count; i++)
		if (counter_is(i, name))
			return i;
	return NO_COUNTER;
}

u64 umbra_counter_at(u32 index)
{
	struct cpuid_regs r = {0};

	if (index != NO_COUNTER)
		r = cpuid(0x40000010, index);
	return (u64)r.d << 32 | r.a;
}

u64 umbra_counter(const char *name)
{
	return umbra_counter_at(umbra_counter_find(name));
}

/* --- exceptions and ring 3 --- */
u64 exception(struct frame *f)
{
	caught.happened = true;
	caught.vector = (u32)f->vector;
	caught.error = f->error;
	caught.rip = f->rip;
	caught.cr2 = read_cr2();
	caught.rax = fault_rax;
	if (expecting)
		return 1;
	print("FAIL: unexpected exception %u error %lx rip %lx cr2 %lx rsp %lx\n", caught.vector, caught.error,
	      caught.rip, caught.cr2, f->rsp);
	failures++;
	finish();
}

struct user_call {
	u64 rip, rsp, arg0, arg1;
};

static void user_thunk(void *p)
{
	struct user_call *c = p;

	enter_user(c->rip, c->rsp, c->arg0, c->arg1);
}

int guarded(void (*fn)(void *), void *arg)
{
	int r;

	caught = (struct exception){0};
	expecting = true;
	r = try(fn, arg);
	expecting = false;
	return r;
}

void try_user(u64 rip, u64 arg0, u64 arg1)
{
	struct user_call c = {rip, 0, arg0, arg1};

	guarded(user_thunk, &c);
}

void set_handler(u32 vector, const void *entry)
{
	u64 at = (u64)(uintptr_t)entry;

	idt[vector] = (struct gate){(u16)at,         CODE64,          0, vector == VEC_USER_RETURN ? 0xee : 0x8e,
				    (u16)(at >> 16), (u32)(at >> 32), 0};
}

void set_ist(u32 vector, u32 ist, u64 top)
{
	idt[vector].ist = (u8)ist;
	if (ist)
		tss.ist[ist - 1] = top;
}

struct access_call {
	u64 va;
	enum access_kind kind;
};
u64 access_value;

static void kernel_access(void *p)
{
	struct access_call *c = p;

	switch (c->kind) {
	case A_READ: access_value = load(c->va); break;
	case A_WRITE: store(c->va, access_value); break;
	case A_FETCH: call_address(c->va); break;
	}
}

bool access(enum access_kind kind, bool user, u64 va)
{
	static char *const stub[] = {user_read, user_write, user_fetch};
	struct access_call c = {va, kind};

	if (user)
		try_user(user_address(stub[kind]), va, access_value);
	else
		guarded(kernel_access, &c);
	if (user && kind == A_READ)
		access_value = caught.rax;
	return !caught.happened || caught.vector == VEC_USER_RETURN;
}

struct msr_call {
	u32 msr;
	u64 value;
};

static void msr_read_thunk(void *p)
{
	struct msr_call *c = p;

	c->value = rdmsr(c->msr);
}

static void msr_write_thunk(void *p)
{
	struct msr_call *c = p;

	wrmsr(c->msr, c->value);
}

bool msr_read(u32 msr, u64 *value)
{
	struct msr_call c = {msr, 0};
	bool ok = !guarded(msr_read_thunk, &c);

	*value = c.value;
	return ok;
}

bool msr_write(u32 msr, u64 value)
{
	struct msr_call c = {msr, value};

	return !guarded(msr_write_thunk, &c);
}

/* --- start --- */
void guest_set_up_tables(void)
{
	struct descriptor d = {sizeof(gdt) - 1, (u64)(uintptr_t)gdt};

	gdt[1] = 0x00af9b000000ffffull; /* 64-bit code */
	gdt[2] = 0x00cf93000000ffffull; /* data */
	gdt[3] = 0x00cff3000000ffffull; /* ring-3 data */
	gdt[4] = 0x00affb000000ffffull; /* ring-3 64-bit code */
	set_tss_descriptor(gdt + GDT_TSS, &tss);
	gdt[7] = 0x00cf9b000000ffffull; /* 32-bit code */
	gdt[8] = 0x00cffb000000ffffull; /* ring-3 32-bit code */
	tss.rsp[0] = (u64)(uintptr_t)(fault_stack + sizeof(fault_stack));
	tss.iomap = sizeof(tss);
	load_gdt(&d, TSS_SELECTOR);

	for (u32 v = 0; v < 256; v++)
		set_handler(v, stubs + v * 16);
	d = (struct descriptor){sizeof(idt) - 1, (u64)(uintptr_t)idt};
	asm volatile("lidt %0" : : "m"(d));
}

static u64 param(const u8 *params, u32 offset, u32 bytes)
{
	u64 v = 0;

	memcpy(&v, params + offset, bytes);
	return v;
}

static void read_params(const u8 *p)
{
	boot.cmdline = (const char *)(uintptr_t)(param(p, BP_CMDLINE, 4) | param(p, BP_EXT_CMDLINE, 4) << 32);
	boot.e820 = (const struct e820_entry *)(p + BP_E820);
	boot.e820_count = (u32)param(p, BP_E820_COUNT, 1);
}

void image_main(const u8 *params)
{
	read_params(params);
	guest_set_up();
	guest_set_up_tables();
	signature = cpuid(0x40000000, 0);
	phys_bits = cpuid(0x80000008, 0).a & 0xff;
	outb(COM1 + 1, 0);
	print("\nSTART: %s\n", under_umbra() ? "under Umbra" : "bare");
	run_tests();
	finish();
}
