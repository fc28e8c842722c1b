/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A virtual CPU: general registers, the guest's view of the control registers,
 * the neutral description of the last exit and the event to inject. The
 * backend copies between this and its VMCB or VMCS in run().
 */
#ifndef ARCH_X86_GUEST_VCPU_H
#define ARCH_X86_GUEST_VCPU_H

#include "lib/log.h"
#include "lib/trace.h"
#include "lib/types.h"
#include "lib/x86.h"
#include "mm/shadow.h"

/* Exit reasons that neutral code knows; X(name, text). */
#define EXIT_KINDS(X) \
	X(PAGE_FAULT, "page fault") \
	X(CR_READ, "control register read") \
	X(CR_WRITE, "control register write") \
	X(INVLPG, "INVLPG") \
	X(INVPCID, "INVPCID") \
	X(CPUID, "CPUID") \
	X(MSR_READ, "RDMSR") \
	X(MSR_WRITE, "WRMSR") \
	X(XSETBV, "XSETBV") \
	X(INVD, "INVD") \
	X(HYPERCALL, "VMCALL/VMMCALL") \
	X(VIRT_INSN, "VMX/SVM instruction") \
	X(IO, "port access") \
	X(DEBUG_REGISTER, "debug register access") \
	X(SOFT_INTERRUPT, "INT n") \
	X(EXCEPTION, "intercepted exception") \
	X(INTERRUPT, "external interrupt") \
	X(NMI, "NMI") \
	X(HALT, "HLT") \
	X(INIT, "INIT") \
	X(SIPI, "SIPI") \
	X(MACHINE_CHECK, "machine check") \
	X(WINDOW, "interrupt or NMI window") \
	X(TASK_SWITCH, "task switch") \
	X(TIMER, "the monitor's timer") \
	X(TRIPLE_FAULT, "triple fault") \
	X(INVALID_STATE, "invalid guest state") \
	X(UNKNOWN, "unknown")

#define X(name, text) EXIT_##name,
enum exit_kind { EXIT_KINDS(X) EXIT_KIND_COUNT };
#undef X

enum event_type {
	EVENT_NONE,
	EVENT_INTERRUPT,
	EVENT_NMI,
	EVENT_EXCEPTION,
	EVENT_SOFT_INTERRUPT,      /* INT n */
	EVENT_SOFT_EXCEPTION,      /* INT3, INTO */
	EVENT_PRIV_SOFT_EXCEPTION, /* INT1 */
};

struct vcpu_event {
	u8 type; /* enum event_type */
	u8 vector;
	bool has_error;
	u8 insn_len; /* soft events: length of the instruction */
	u32 error;
};

struct vcpu_exit {
	u32 kind;              /* enum exit_kind */
	u64 raw, info1, info2; /* the vendor's own numbers, for dumps */
	gva_t gva;             /* PAGE_FAULT, INVLPG (valid only if operand_known) */
	u32 error;             /* PAGE_FAULT, EXCEPTION: error code */
	u8 vector;             /* EXCEPTION */
	u8 insn_len;           /* 0: unknown, decode the instruction */
	u8 insn_bytes_len;     /* bytes the hardware fetched, 0: none */
	u8 insn_bytes[15];
	bool operand_known; /* CR_*: cr, gpr, lmsw valid; INVLPG: gva valid */
	u8 cr, gpr;         /* CR_*: MOV between CRn and this register */
	bool cr3_pair;      /* CR_READ on the fast path: no breakpoint is on, cr3_pair.h may be used */
	bool clts, lmsw;    /* CR_WRITE: not a MOV */
	u16 lmsw_value;
	u16 port;   /* IO */
	u8 io_size; /* IO: bytes */
	bool io_in, io_string, io_rep;
	u16 task_selector;             /* TASK_SWITCH: of the new TSS */
	u8 task_source;                /* enum task_source; TASK_GATE: interrupted has the event */
	bool task_rf;                  /* RF as the old task shall find it: set by a fault */
	bool nmi_unblocked;            /* by the IRET whose fault this exit is: NMIs were blocked before it */
	struct vcpu_event interrupted; /* event whose delivery was cut short; type NONE if none */
};

/* What led to a hardware task switch. */
enum task_source { TASK_CALL, TASK_IRET, TASK_JUMP, TASK_GATE };

enum segment_name {
	SEG_ES,
	SEG_CS,
	SEG_SS,
	SEG_DS,
	SEG_FS,
	SEG_GS,
	SEG_LDTR,
	SEG_TR,
	SEG_GDTR,
	SEG_IDTR,
	SEG_COUNT
};

/* attributes: the VMX access-rights layout: type 3:0, S 4, DPL 6:5, P 7, AVL 12, L 13, D/B 14, G 15, unusable 16. */
struct segment {
	u16 selector;
	u32 attributes;
	u32 limit; /* bytes, already scaled by G */
	u64 base;
};
/* What is done through a segment. One that reads and then writes is a write; a flush of a cache line may go through code that cannot be read. */
enum segment_access { SEGMENT_READ, SEGMENT_WRITE, SEGMENT_FLUSH, SEGMENT_ACCESSES };
#define SEG_TYPE_TSS32 BIT(3) /* of a TSS: 32-bit, or 64-bit */
#define SEG_ATTR_DPL(attributes) ((attributes) >> 5 & 3)
#define SEG_ATTR_S BIT(4)
#define SEG_ATTR_P BIT(7)
#define SEG_ATTR_L BIT(13)
#define SEG_ATTR_DB BIT(14)
#define SEG_ATTR_G BIT(15)
#define SEG_ATTR_UNUSABLE BIT(16)
/* Flat, present, accessed, DPL 0: code is readable, data writable. */
#define SEG_FLAT_CODE64 0xa09bu
#define SEG_FLAT_CODE32 0xc09bu
#define SEG_FLAT_DATA 0xc093u
#define SEG_LDT 0x82u
#define SEG_TSS32_BUSY 0x8bu

/* An access to trapped or hidden memory, from its page fault to the end of its emulation. */
enum mmio_state {
	MMIO_NONE,
	MMIO_FOUND,    /* the fast path had SHADOW_EMULATE for the exit at hand: fault is filled */
	MMIO_EMULATED, /* by emulate_access(), now: gva is known to be at fault.gpa */
};

struct mmio_access {
	u8 state; /* enum mmio_state */
	gva_t gva;
	struct shadow_fault fault; /* what shadow_handle_fault() said last */
};

/* The last exits, for dumps. */
#define EXIT_RING 64
struct exit_record {
	u64 rip;
	u32 kind; /* enum exit_kind */
	u32 raw;
	u64 info1, info2;
};

/* Debug builds: the addresses that exits were about, for the oracle (run.c). */
#define NOTED_MAX 16
enum noted_event { NOTED_ACCESS, NOTED_FLUSH_PAGE, NOTED_FLUSH_ALL };
struct vcpu_noted {
	gva_t gva[NOTED_MAX]; /* address n is at n % NOTED_MAX */
	u64 count;
	u64 exit; /* when the last event was: vcpu.exits */
	u32 event;
};

/* The registers as the trace saw them last (trace.h). */
struct vcpu_seen {
	u64 cr0, cr3, cr4, efer;
};

/* Who executes the guest's instructions: execution.h. */
enum execution {
	EXECUTION_NATIVE,    /* the hardware, which is all there is where it runs real mode too */
	EXECUTION_UNDECIDED, /* what it depends on has changed: decided before the next entry */
	EXECUTION_VIRTUAL_8086,
	EXECUTION_INTERPRETED,
};

struct vendor;

struct vcpu {
	u64 gpr[GPR_COUNT]; /* offsets used by the backends' enter.asm: keep first */
	hpa_t control;      /* for svm/enter.asm: the guest's VMCB */
	hpa_t host;         /* for enter.asm: SVM: the hypervisor's VMCB; VMX: what HOST_RSP holds */
	bool (*fast_path)(struct vcpu *vcpu); /* for svm/enter.asm: what it calls after each exit */
	u64 rip, rflags;
	u64 cr0, cr2, cr3, cr4, efer; /* the guest's view */
	u64 pat, apic_base;
	u32 cpl;      /* of the last exit */
	u8 code_bits; /* 64: the exit was from 64-bit code; 32, 16: so says interpret_one(); 0: nobody looked */
	u8 execution; /* enum execution */
	bool halted;  /* by a HLT that was interpreted: until an interrupt, an NMI or an INIT */
	bool interrupt_shadow; /* STI or MOV SS blocking */
	bool nmi_blocked;      /* SVM: of several processors alone */
	bool nmi_waits;        /* one, for the end of that or for its turn; the next entry looks */
	struct vcpu_exit exit;
	struct mmio_access mmio;
	struct vcpu_event inject; /* delivered at the next entry; type NONE if none */
	struct shadow_mmu *mmu;
	const struct vendor *vendor;
	void *hw;   /* backend's state: struct svm_vcpu or vmx_vcpu */
	hpa_t root; /* what the hardware walks: set by set_shadow_root() */
	union {     /* one word of two that different CPUs write, so that neither write takes the other back */
		u16 look_closer; /* check_root, or the trace is on: then the fast path is another */
		struct {
			bool check_root; /* by a hardware task switch the guest could change that without an exit of its own */
			bool traced; /* guest_trace_apply() */
		};
	};
	void *guest;        /* arch/x86/guest private state: MTRRs, APIC, stepping */
	bool flush_checked; /* guest_config.flush_check */
	u32 id;             /* in the guest's table of processors */
	u32 cpu;            /* percpu_of() */
	u32 unfit; /* bits: of ES to GS those that virtual-8086 mode could not have; none of them is wrong while INTERPRETED */
	u32 interpreted;      /* interpret_one() counts here, in units of 400 host instructions */
	u32 debug_intercepts; /* INTERCEPT_* that debug/ asks for */
	bool stepped;         /* by debug/, with RFLAGS.TF */
	bool several;         /* the guest has more: its NMIs exit, and an entry begins with shadow_enter() */
	u64 exit_count[EXIT_KIND_COUNT];
	u64 longest_exit; /* of the slow path, in ticks of the TSC */
	s64 exit_looks;   /* one that takes longer is looked at: longest_exit; -1: each, for the trace */
	u64 exits;
	u64 next_audit; /* number of exits at which an audit or a look of the oracle is due, ~0: never */
	struct exit_record ring[EXIT_RING]; /* exit n is at n % EXIT_RING */
	struct vcpu_noted noted;
	struct trace_ring trace; /* guest_trace_give() */
	struct vcpu_seen seen;
	u64 trace_asked; /* the exit by which the guest last read the trace: vcpu.exits */
	/* #DB is injected with these bits of DR6, of which run() clears B0 to B3 first; then it clears them here. */
	u64 dr6_set;
	u32 breakpoints_hit; /* DR6.B0 to B3 that the instruction at hand has earned so far: breakpoint.h */
};

/* Counts an exit and keeps it for dumps: the first thing after it. raw: the vendor's code or reason. */
static ALWAYS_INLINE void vcpu_note_exit(struct vcpu *vcpu, u32 kind, u32 raw, u64 rip, u64 info1, u64 info2)
{
	u32 at = vcpu->exits % EXIT_RING * sizeof(struct exit_record); /* in bytes: wherever ring lies, one LEA */
	struct exit_record *r = (struct exit_record *)((u8 *)vcpu->ring + at);

	vcpu->exits++;
	vcpu->exit_count[kind]++;
	*r = (struct exit_record){rip, kind, raw, info1, info2};
}

/* gva: of an access or a flush of one page. Nothing in release builds. */
static ALWAYS_INLINE void vcpu_note_event(struct vcpu *vcpu, enum noted_event event, gva_t gva)
{
	struct vcpu_noted *n = &vcpu->noted;

	if (!UMBRA_DEBUG_ENABLED)
		return;
	if (event != NOTED_FLUSH_ALL)
		n->gva[n->count++ % NOTED_MAX] = gva;
	n->event = event;
	n->exit = vcpu->exits;
}

static inline const struct exit_record *vcpu_last_exit(const struct vcpu *vcpu)
{
	return &vcpu->ring[(vcpu->exits - 1) % EXIT_RING];
}

#endif
