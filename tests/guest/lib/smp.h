/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The other processors of the machine for test images: starts them by INIT and SIPI through a page below 64 KiB, gives each
 * a block with its stacks, GDT and TSS, has them call functions, and handles interrupts with code that counts and returns.
 * Processors are numbered by their APIC IDs, 0 to smp_count - 1; the image's first is 0 (options: cpus=N).
 *
 * Nothing here measures time. Whoever waits turns in a loop that ends when the event is there, or after so many turns that
 * it will not come.
 */
#ifndef TESTS_GUEST_LIB_SMP_H
#define TESTS_GUEST_LIB_SMP_H

#include "tests/guest/lib/guest.h"
#include "tests/guest/lib/tables.h"

#define SMP_MAX 16
#define SMP_BLOCK 0x10000ull    /* and its alignment: a stack pointer tells whose it is */
#define SMP_STACK_TOP 0x8000ull /* of functions; that for interrupts in ring 3 is at the block's end */
#define SMP_NMI_OFFSET 0x600u   /* of the handler of NMIs in real mode, in the start page */
#define SMP_START_OFFSET 0x800u /* of struct smp_start there */
#define SMP_MARKER 0x4d41524bu

/* What a processor found at its start, and what it shall load. */
struct smp_start {
	volatile u32 starts, nmis; /* nmis: that came in real mode */
	u32 park;                  /* halt there */
	u32 cr3_load, cr4_load;
	u32 marker, marker_at;
	u32 ip;
	u32 gpr[8]; /* in the order of their encodings */
	u32 eflags;
	u16 selector[6]; /* ES CS SS DS FS GS */
	u32 seen[5];     /* at marker_at, by ES SS DS FS GS */
	u32 cr[4];       /* 0 2 3 4 */
	u32 dr[6];       /* 0 1 2 3 6 7 */
	u32 efer[2];
	u16 gdt_limit;
	u32 gdt_base;
	u16 idt_limit;
	u32 idt_base;
	u16 gdt_load_limit;
	u32 gdt_load_base;
} PACKED;

struct smp_frame {
	u64 r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
	u64 vector, error, rip, cs, rflags, rsp, ss;
};

struct smp_cpu {
	u32 id;
	volatile u32 up;    /* how often it reached smp_main() */
	volatile u32 calls; /* done */
	void (*volatile call)(struct smp_cpu *cpu);
	volatile u64 argument, ready, ticks; /* the functions' own */
	volatile u32 count[256];             /* interrupts */
	volatile u32 depth, deepest;         /* of NMIs */
	u32 apic[0x40];                      /* its registers at the start, by offset / 16 */
	u64 tr, ldtr;                        /* at the start */
	u64 gdt[GDT_ENTRIES];
	struct tss tss;
};

extern struct smp_cpu *smp_cpus[256];
extern u32 smp_count;
extern u32 smp_first;          /* the image's first, if it is not 0 */
extern struct space smp_space; /* the tables that all run on */

/* Lays out blocks and the start page and goes on in main(), on the first processor's block; nobody is started. */
void smp_run(void (*main)(void));
/* A processor with any ID below 255, beside those. */
void smp_add(u32 id);
/* A further start page, whose processors halt there; its number is the SIPI's vector. */
struct smp_start *smp_park_page(u32 *vector);
extern struct smp_start *smp_start_page;
extern u32 smp_start_vector;

/* Both only send; smp_wait_up() waits until it has come up so often. */
void smp_init(u32 id);
void smp_sipi(u32 id, u32 vector);
bool smp_wait_up(u32 id, u32 times);
/* INIT, SIPI, and until it is up. */
bool smp_restart(u32 id);
bool smp_start_all(void);

/* That processor calls the function; true if it came back. */
void smp_call(u32 id, void (*call)(struct smp_cpu *cpu), u64 argument);
bool smp_join(u32 id);
bool smp_do(u32 id, void (*call)(struct smp_cpu *cpu), u64 argument);
/* What was sent to it before is there: it has left the guest often enough. */
bool smp_fence(u32 id);
bool smp_fence_all(void);

/* Of whoever calls it. */
struct smp_cpu *smp_self(void);

/* Interrupts of that vector are counted and return; handler may be NULL. Those from 32 on are acknowledged. */
typedef void smp_handler(struct smp_cpu *cpu, struct smp_frame *frame);
void smp_handle(u32 vector, smp_handler *handler);

/* As at the beginning: the image ends at an interrupt of that vector. */
void smp_refuse(u32 vector);

/* --- waiting --- */
#define SMP_PATIENCE 40000000u
/* Until the condition holds; false: it does not come. */
#define SMP_WAIT(condition) \
	({ \
		u32 left = SMP_PATIENCE; \
		while (!(condition) && --left) \
			asm volatile("pause" : : : "memory"); \
		left != 0; \
	})

struct smp_barrier {
	volatile u32 arrived, phase;
};
void smp_barrier_wait(struct smp_barrier *b, u32 processors);

/* --- the local APIC, in xAPIC or x2APIC mode --- */
#define APIC_PAGE 0xfee00000ull
enum {
	APIC_ID = 0x20,
	APIC_TPR = 0x80,
	APIC_EOI = 0xb0,
	APIC_LDR = 0xd0,
	APIC_DFR = 0xe0,
	APIC_SVR = 0xf0,
	APIC_ISR = 0x100,
	APIC_IRR = 0x200,
	APIC_ICR_LOW = 0x300,
	APIC_ICR_HIGH = 0x310,
	APIC_LVT_TIMER = 0x320,
	APIC_LVT_PERF = 0x340,
	APIC_LVT_LINT0 = 0x350,
	APIC_LVT_LINT1 = 0x360,
	APIC_LVT_ERROR = 0x370,
	APIC_TIMER_INITIAL = 0x380,
};
enum {
	ICR_FIXED = 0x000,
	ICR_LOWEST = 0x100,
	ICR_SMI = 0x200,
	ICR_RESERVED = 0x300,
	ICR_NMI = 0x400,
	ICR_INIT = 0x500,
	ICR_STARTUP = 0x600,
	ICR_EXTINT = 0x700,
	ICR_LOGICAL = 0x800,
	ICR_PENDING = 0x1000,
	ICR_ASSERT = 0x4000,
	ICR_LEVEL = 0x8000,
	ICR_SELF = 0x40000,
	ICR_ALL = 0x80000,
	ICR_OTHERS = 0xc0000,
};
extern bool smp_x2apic; /* all processors are in that mode */
u32 apic_read(u32 offset);
void apic_write(u32 offset, u32 value);
void apic_send(u32 destination, u32 command);

#endif
