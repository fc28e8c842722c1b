/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The runtime of the in-guest test images: serial output, check lines, one
 * recovery from exceptions, page tables, ring 3, CPUID counters of Umbra. The
 * images run in 64-bit mode with interrupts off, at their link address, with
 * SCRATCH bytes of memory of their own; bare and under the hypervisor alike.
 */
#ifndef TESTS_GUEST_LIB_GUEST_H
#define TESTS_GUEST_LIB_GUEST_H

#include "lib/types.h"
#include "lib/x86.h"

/* --- output and verdicts --- */
void print(const char *format, ...) PRINTF_LIKE(1, 2); /* %s %c %d %u %x %lx %lu, no widths */
void print_list(const char *format, va_list list);
/* Prints PASS: or FAIL: name; a failure adds the text of detail. Returns ok. */
bool check(bool ok, const char *name, const char *detail, ...) PRINTF_LIKE(3, 4);
NORETURN void finish(void); /* ends the emulator with the verdict */

/* The image's tests; called once by the runtime. */
void run_tests(void);
/* An image may have its own, called first: it may set where each character goes, and what finish() does. */
void guest_set_up(void);
extern void (*guest_put)(char c);
extern void (*guest_finish)(void); /* does not return */
/* GDT, TSS and IDT as they are at the start. */
void guest_set_up_tables(void);

/* What the compiler calls too. */
void *memset(void *p, int c, size_t n);
void *memcpy(void *to, const void *from, size_t n);

/* --- the machine --- */
struct e820_entry {
	u64 base, size;
	u32 type;
} PACKED;
#define E820_RAM 1
#define E820_RESERVED 2
struct boot_params_view {
	const char *cmdline;
	const struct e820_entry *e820;
	u32 e820_count;
};
extern struct boot_params_view boot;
/* The value of "name=NUMBER" on the command line, or fallback. */
u64 option(const char *name, u64 fallback);

struct cpuid_regs {
	u32 a, b, c, d;
};
struct cpuid_regs cpuid(u32 leaf, u32 index);
bool under_umbra(void);
/* A counter of the hypervisor by its name; 0 bare. */
u64 umbra_counter(const char *name);
/* The same in two steps, for one that is read often. */
#define NO_COUNTER 0xffffffffu
u32 umbra_counter_find(const char *name);
u64 umbra_counter_at(u32 index);
void umbra_counter_name(u32 index, char name[65]);
extern u32 phys_bits; /* MAXPHYADDR */

/* --- exceptions --- */
struct exception {
	bool happened;
	u32 vector;
	u64 error, rip, cr2, rax;
};
#define VEC_USER_RETURN 0x80
extern struct exception caught; /* by the last try() */
extern u64 recovery_rsp;
int try(void (*fn)(void *), void *arg); /* the assembly half of guarded() */
/* Runs fn(arg); 1 if it ended with an exception, which caught describes. Does not nest. */
int guarded(void (*fn)(void *), void *arg);
/* Runs code at rip in ring 3; caught.vector is VEC_USER_RETURN if it ended well. */
void try_user(u64 rip, u64 arg0, u64 arg1);
/* Points vector's gate at an IST stack (1..7, 0: none) whose top is given. */
void set_ist(u32 vector, u32 ist, u64 top);
/* Handles the vector with code of the test's own, which ends in IRETQ. */
void set_handler(u32 vector, const void *entry);
void call_address(u64 address);
void enter_user(u64 rip, u64 rsp, u64 arg0, u64 arg1);

/* --- memory --- */
#define IMAGE_BASE 0x4000000ull
#define SCRATCH_END (IMAGE_BASE + 0x4000000ull)
/* Pages of scratch memory, zeroed, never given back. */
void *alloc_pages(u32 count);
void *alloc_aligned(u64 size, u64 align);
/* Gives back all that was allocated since. */
u64 alloc_mark(void);
void alloc_release(u64 mark);

/* --- page tables: 4-level; addresses in entries are physical = virtual --- */
struct space {
	u64 *pml4;
};
/* A space with identity 2 MiB supervisor mappings of the first 4 GiB and the ring-3 stubs. */
struct space space_new(void);
/* Maps va with the level's entry = pa | flags; tables above get P|W|U. Returns the entry. */
u64 *space_map(struct space *s, u64 va, u64 pa, u64 flags, u32 level);
/* The entry of va at a level, its tables made on the way (P|W|U). */
u64 *space_entry(struct space *s, u64 va, u32 level);
void space_load(struct space *s);
/* Where the ring-3 stubs appear in every space. */
u64 user_address(const void *stub);
extern char user_read[], user_write[], user_fetch[], user_return[];
/* First address that no space maps: tests use what follows. */
#define TEST_VA 0x8000000000ull

enum access_kind { A_READ, A_WRITE, A_FETCH };
/*
 * One access of 8 bytes (or a jump) at va, in ring 3 if user. Returns true if
 * it succeeded; else caught says why. A fetch target must hold CODE_RETURN.
 */
bool access(enum access_kind kind, bool user, u64 va);
extern u64 access_value;                  /* read: what was read; write: what will be written */
#define CODE_RETURN 0x9080cd9080cd80cdull /* INT 0x80 in either ring */

/* --- other modes (modes.asm, modes.c): probes of one address whose entries are changed before each --- */
#define GDT_ENTRIES 12
extern u64 gdt[GDT_ENTRIES]; /* 9: the TSS of probe_legacy(), 10 and 11: the LDT */
enum probe_kind {
	PROBE_READ,
	PROBE_WRITE,
	PROBE_FETCH,
	PROBE_SEGMENT, /* loads ES from the LDT in the page: a read of the supervisor's in any ring */
	PROBE_FRESH,   /* the same with a descriptor whose accessed bit must be set */
	PROBE_KINDS
};
enum probe_flush { FLUSH_NONE, FLUSH_PAGE, FLUSH_ALL, FLUSH_KEEP /* and leaves the entries alone */ };
extern const u32 offset_of[PROBE_KINDS]; /* of the access in the page */
#define PROBE_AT_WRITE 0x30              /* what PROBE_WRITE writes */

struct probe {
	u64 leaf, upper; /* stored first */
	u64 leaf_after, upper_after;
	u64 cr2, value;    /* of a page fault; of a read */
	u64 data[2];       /* what lies at PROBE_AT_WRITE of either target afterwards */
	u32 error, vector; /* vector 0 or VEC_USER_RETURN: no fault */
	u8 kind, user, ac, flush;
	u32 pattern; /* a write's value */
};

struct probe_run {
	u64 va;
	u64 leaf_slot, upper_slot; /* addresses of the entries; upper_slot may be 0 */
	u64 target[2];             /* physical addresses of the pages that the leaf may map */
	u64 probes;                /* the probes' address */
	u64 user_base;             /* ring-3 stubs: their address less that in the image */
	u32 cr0, cr3, cr4, efer_nxe;
	u32 narrow; /* entries of 4 bytes */
	u32 count;
};
/* Fills a target: code, a value to read, descriptors for ES. */
void probe_fill_target(u64 target, u32 value);
/* Makes va the base of the LDT's page: PROBE_SEGMENT and PROBE_FRESH read there. */
void probe_set_ldt(u64 va);
/* Makes ready what probe_legacy() needs; once. */
void probe_init(void);
/* The probes in protected mode with the paging that cr0, cr3, cr4 and efer_nxe make. */
void probe_legacy(struct probe_run *run);
/* The probes from 64-bit or compatibility-mode code, with the control registers as they are. */
void probe_long(struct probe_run *run, bool compat);
/* Turns 5-level paging on or off (it is on if CR4.LA57 is set); cr3 must fit. */
void switch_levels(u64 cr3);

/* --- instructions --- */
static inline u64 read_cr0(void)
{
	u64 v;
	asm volatile("mov %%cr0, %0" : "=r"(v));
	return v;
}
static inline u64 read_cr2(void)
{
	u64 v;
	asm volatile("mov %%cr2, %0" : "=r"(v));
	return v;
}
static inline u64 read_cr3(void)
{
	u64 v;
	asm volatile("mov %%cr3, %0" : "=r"(v));
	return v;
}
static inline u64 read_cr4(void)
{
	u64 v;
	asm volatile("mov %%cr4, %0" : "=r"(v));
	return v;
}
static inline void write_cr0(u64 v)
{
	asm volatile("mov %0, %%cr0" : : "r"(v) : "memory");
}
static inline void write_cr3(u64 v)
{
	asm volatile("mov %0, %%cr3" : : "r"(v) : "memory");
}
static inline void write_cr4(u64 v)
{
	asm volatile("mov %0, %%cr4" : : "r"(v) : "memory");
}
static inline void invlpg(u64 va)
{
	asm volatile("invlpg (%0)" : : "r"(va) : "memory");
}
static inline void flush_tlb(void)
{
	write_cr3(read_cr3());
}
static inline u64 rdmsr(u32 msr)
{
	u32 low, high;

	asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
	return (u64)high << 32 | low;
}
static inline void wrmsr(u32 msr, u64 v)
{
	asm volatile("wrmsr" : : "c"(msr), "a"((u32)v), "d"((u32)(v >> 32)) : "memory");
}
static inline void outb(u16 port, u8 v)
{
	asm volatile("outb %0, %1" : : "a"(v), "d"(port));
}
static inline void outl(u16 port, u32 v)
{
	asm volatile("outl %0, %1" : : "a"(v), "d"(port));
}
static inline u8 inb(u16 port)
{
	u8 v;
	asm volatile("inb %1, %0" : "=a"(v) : "d"(port));
	return v;
}
static inline u64 load(u64 va)
{
	return *(volatile u64 *)va;
}
static inline void store(u64 va, u64 v)
{
	*(volatile u64 *)va = v;
}

/* try() over an instruction or two; what it does to registers is the caller's asm. */
bool msr_read(u32 msr, u64 *value); /* false: it faulted, see caught */
bool msr_write(u32 msr, u64 value);

#endif
