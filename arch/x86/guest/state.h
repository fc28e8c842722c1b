/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the neutral half keeps for one virtual CPU beyond struct vcpu: the
 * memory-type registers, the CPUID table, the last exits. Reached through
 * guest_of(vcpu); private to arch/x86/guest.
 */
#ifndef ARCH_X86_GUEST_STATE_H
#define ARCH_X86_GUEST_STATE_H

#include "arch/x86/acpi.h"
#include "arch/x86/cpu.h"
#include "arch/x86/guest/debug_point.h"
#include "arch/x86/guest/decode.h"
#include "arch/x86/guest/io_filter.h"
#include "arch/x86/guest/msr_table.h"
#include "arch/x86/guest/processors.h"
#include "arch/x86/guest/vcpu.h"
#include "arch/x86/vendor.h"
#include "lib/spinlock.h"

/* Guest's memory-type range registers, SDM vol. 3 section 11.11. */
#define MTRR_FIXED_COUNT 11
#define MTRR_VARIABLE_MAX 32

struct guest_mtrr {
	u64 cap, def_type;
	u64 fixed[MTRR_FIXED_COUNT];
	u64 base[MTRR_VARIABLE_MAX], mask[MTRR_VARIABLE_MAX];
	u32 variable; /* pairs that the CPU has */
	u32 changes;  /* writes that changed something */
};

/* Feature registers of CPUID that are filtered, in cpuid.c's order. */
#define CPUID_FEATURES 19
/* Leaves whose answer never changes but for a few bits. */
#define CPUID_STATIC 12

struct guest_cpuid {
	u32 hide[CPUID_FEATURES]; /* bits that the guest does not see */
	struct cpuid_regs fixed[CPUID_STATIC];
	u64 xcr0_valid;  /* bits of XCR0 that the guest may set */
	u64 xss_valid;   /* likewise of IA32_XSS */
	u32 phys_bits;   /* MAXPHYADDR that the guest sees */
	u32 xsave_bytes; /* save area for all of xcr0_valid */
	bool amd;
};

#define IO_TRAP_MAX 17
#define MMIO_TRAP_MAX 11 /* two for each block of struct acpi_sleep, one for debug/ */
struct io_trap {
	u32 first, count;
	io_filter_fn *filter;
	io_instead_fn *instead; /* one of the two */
};
struct mmio_trap {
	gpa_t page;
	io_filter_fn *filter;
};

struct guest_sleep {
	struct acpi_sleep acpi;
	bool refused; /* the guest has not cleared WAK_STS since */
};

/* See a20.c. */
struct guest_a20 {
	u8 fast, keyboard; /* the bit as the guest has it in either register */
	u8 command;        /* the keyboard controller's last, while data belongs to it */
	u8 skip;           /* bytes that are read before the answer */
};

/* As many MSRs are named in the log when a write to them is ignored, each once. */
#define MSR_LOGGED_MAX 16

/* Events that are logged once only, lest the guest floods the log. */
enum once {
	ONCE_APIC_ICR,
	ONCE_APIC_SHAPE,
	ONCE_APIC_MOVE,
	ONCE_EMULATE,
	ONCE_DEVICE,
	ONCE_EVENT,
	ONCE_MTRR,
	ONCE_DEBUGCTL,
	ONCE_SLEEP,
	ONCE_A20,
	ONCE_COUNT,
};

/* What the guest's processors share. */
struct guest_shared {
	struct processors processors; /* by vcpu.id */
	struct vcpu *vcpu[PROCESSORS_MAX];
	struct spinlock lock; /* sleep and a20: held while a filter looks at an access */
	struct guest_sleep sleep;
	struct guest_a20 a20;
	bool logged[ONCE_COUNT];
	u64 msr_ignored;                /* writes that did not reach the hardware */
	u32 msr_logged[MSR_LOGGED_MAX]; /* MSRs of which that was logged; 0: none */
};

/* What the interpreter has decoded, by the bytes themselves: see interpret.c. */
#define DECODED_MAX 256u
struct guest_decoded {
	u64 bytes[2]; /* INSN_MAX of them, and what they are decoded for: 16 or 32 */
	u8 group, cost, size;
	bool plain; /* nothing needs to be looked at before the group's function is called */
	struct insn insn;
};

/* See known.h. */
#define KNOWN_PAGES 16u
struct known_segment {
	struct segment segment;
	u64 end[SEGMENT_ACCESSES]; /* offsets below may be accessed so; 0: it takes a closer look */
	u8 bits;                   /* 16 or 32: of code, or of a stack */
};
struct guest_known {
	bool on;
	bool quiet;   /* no breakpoint is enabled, */
	bool flat;    /* nor paging: linear addresses are physical ones */
	u32 segments; /* bits: those that are in */
	struct known_segment segment[SEG_COUNT];
	struct known_page {
		u64 number; /* of the frame, and 1; 0: there is none */
		struct shadow_ram ram;
	} page[KNOWN_PAGES];
};

/* See debug_registers.c. */
struct guest_debug {
	bool armed;
	u8 holds[DEBUG_POINTS_MAX]; /* by register: the point in it */
	u32 ours, missed;           /* bits: registers that hold points, points without one */
	u32 count;
	struct debug_point point[DEBUG_POINTS_MAX];
	debug_points_hit_fn *hit;
	u64 dr[4], dr6, dr7; /* the guest's, while armed */
	u64 loaded_dr7;      /* the processor's */
};

struct guest_config;

struct guest {
	struct vcpu *vcpu;
	struct guest_shared *shared;
	const struct guest_config *config;
	hpa_t pdpt; /* shadow_mmu_create() */
	struct shadow *shadow;
	const struct shadow_ops *ops; /* of the shadow MMU, while the trace is off */
	u32 phys_bits;
	u32 ticks_per_us; /* of the TSC */
	u32 audit_interval;
	u64 next_whole_audit; /* number of exits at which shadow_audit() is due */
	u32 tag;              /* of vcpu->root */
	u64 pdpte[4];
	u64 cr4_valid, efer_valid;
	bool pages_1g;
	bool task_switches_unseen;
	bool x2apic_offered; /* the firmware left the APIC in x2APIC mode: the guest switches the hardware's */
	bool icr_logical; /* the last command had a logical destination, though the hardware was given a physical one */
	u64 icr_destination; /* that destination, in x2APIC mode */
	u64 icr; /* several processors: the last command, whatever the hardware's register was used for since */
	struct guest_cpuid cpuid;
	struct guest_mtrr mtrr;
	struct guest_debug debug;
	u32 io_traps, mmio_traps;
	struct io_trap io_trap[IO_TRAP_MAX];
	struct mmio_trap mmio_trap[MMIO_TRAP_MAX];
	struct guest_known known;
	struct guest_decoded decoded[DECODED_MAX];
	struct guest_decoded decoded_once; /* what is not kept */
	bool msr_there[MSR_ROWS_MAX]; /* by row of the table: the guest's CPUID does not say that it is absent */
};

static inline struct guest *guest_of(const struct vcpu *vcpu)
{
	return vcpu->guest;
}

/* True the first time for each event, on whichever processor. */
static inline bool guest_once(struct guest *g, enum once what)
{
	return !__atomic_exchange_n(&g->shared->logged[what], true, __ATOMIC_RELAXED);
}

static inline bool in_long_mode(const struct vcpu *vcpu)
{
	return vcpu->efer & EFER_LMA;
}

#endif
