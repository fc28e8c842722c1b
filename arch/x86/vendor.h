/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The vendor contract: all that neutral code knows of SVM and VMX. One const
 * table each, chosen at boot by arch/x86/vendor.c. Everything the table's
 * functions do to guest state holds from the next run() on.
 */
#ifndef ARCH_X86_VENDOR_H
#define ARCH_X86_VENDOR_H

#include "arch/x86/guest/vcpu.h"

/* What intercepts may be switched at run time (others are fixed). */
#define INTERCEPT_CR0_READ BIT(0) /* guest's CR0 differs from the hardware's */
#define INTERCEPT_CR3_READ BIT(1)
#define INTERCEPT_CR4_READ BIT(2)
#define INTERCEPT_INVLPG BIT(3)
#define INTERCEPT_DB BIT(4) /* #DB exits: single-stepping */
#define INTERCEPT_NMI BIT(5)
#define INTERCEPT_INTR BIT(6) /* external interrupts exit: only while stepping */
#define INTERCEPT_BP BIT(7)   /* #BP exits */
#define INTERCEPT_TIMER \
	BIT(8) /* an EXIT_TIMER now and then, interrupts off or not; where there is none it is ignored */
#define INTERCEPT_DEBUG_REGISTERS BIT(9) /* MOV to and from them exits */

struct vendor {
	const char *name;          /* "SVM", "VMX" */
	bool real_mode;            /* the hardware runs guests that are in real mode; else execution.h */
	bool init_exits_once;      /* an INIT that exits is gone from the hardware: SDM vol. 3 section 23.8 */
	bool fault_address_first;  /* of an exit_record for a page fault info1 is the address, else info2 */
	const char *nested_paging; /* what it calls the feature that is never used: "NPT", "EPT" */
	/* NULL if this CPU can run us, else one line: what is wrong and what to do. */
	const char *(*unsupported)(void);
	/* One line of the features found and used, for the boot log. */
	void (*describe)(char *buf, u32 size);
	/*
	 * Features that this CPU has but cannot give a guest, "rdtscp,rdpid", "" for none; CPUID hides them.
	 * NULL: there are none on any CPU.
	 */
	const char *(*hidden_features)(void);
	/* Why a guest can have one processor alone on this CPU, or NULL. NULL: it can have more on any CPU. */
	const char *(*one_processor)(void);
	/* Is the guest in a halt that a message or an NMI alone ends, and there is none? NULL: it never stays here for that. */
	bool (*halt_lasts)(const struct vcpu *vcpu);
	/* Does this CPU, once enabled, ignore address line A20? NULL or false: its ports have to be guarded. */
	bool (*a20_fixed)(void);
	/* What a CPU needs of its own, for its percpu->backend; called on any CPU. NULL: no memory. */
	void *(*cpu_alloc)(void);
	/*
	 * This CPU, whose backend is there. 0, or -errno and why in this_cpu()->trouble: only the boot CPU writes to the log,
	 * whose lock nobody frees who is stopped by an INIT, and whose serial port may be slow.
	 */
	int (*cpu_enable)(void);
	/*
	 * From now on NMIs reach the IDT of this CPU, which is enabled and runs no guest; what cannot be kept off
	 * is said in this_cpu()->trouble. NULL: they do anyway.
	 */
	void (*cpu_listen)(void);
	void (*cpu_deafen)(void);  /* no longer; NULL: they do anyway */
	void (*cpu_disable)(void); /* best effort, for panic and power-off */
	/* vcpu->hw, for any CPU. 0 or -ENOMEM. */
	int (*vcpu_alloc)(struct vcpu *vcpu);
	/* On the CPU that runs it: state as after RESET but protected, flat. Calls vcpu_alloc() unless vcpu->hw is there. */
	int (*vcpu_init)(struct vcpu *vcpu);
	u32 (*tags)(void); /* usable TLB tags (ASID, VPID), at least 1 */
	/*
	 * Runs the guest for ever. At each exit: vcpu_note_exit(); then either what
	 * arch/x86/guest/fast_path.h does, or struct vcpu and vcpu->exit are filled and
	 * guest_exit() is called. vcpu->inject is consumed by the next entry.
	 */
	NORETURN void (*run)(struct vcpu *vcpu);
	/* Enters the guest, fills struct vcpu and vcpu->exit from the next exit, and returns: for the self-check. */
	void (*run_once)(struct vcpu *vcpu);
	/*
	 * This CPU was seen not to exit as asked, or to report it wrongly: asks for such exits in
	 * another way from now on. A few words for the boot log, or NULL: there is no other way.
	 */
	const char *(*work_round)(struct vcpu *vcpu, enum exit_kind kind);
	/* The guest's view (vcpu->cr0, cr4, efer) changed: load what the hardware shall hold. */
	void (*update_control)(struct vcpu *vcpu);
	void (*set_shadow_root)(struct vcpu *vcpu, hpa_t root, u32 tag);
	/* What CR3 held at the last exit: the root that was set, if the hardware does what is asked of it. */
	hpa_t (*hardware_root)(const struct vcpu *vcpu);
	void (*tlb_flush)(struct vcpu *vcpu, u32 tag); /* tag 0: all */
	void (*tlb_flush_page)(struct vcpu *vcpu, u32 tag, gva_t gva);
	void (*set_intercepts)(struct vcpu *vcpu, u32 mask); /* INTERCEPT_*; the rest of these is off */
	void (*trap_invlpg)(struct vcpu *vcpu, bool on);     /* INTERCEPT_INVLPG alone */
	void (*set_msr_intercept)(struct vcpu *vcpu, u32 msr, bool read, bool write);
	void (*set_io_intercept)(struct vcpu *vcpu, u16 port, bool on);
	void (*get_segment)(const struct vcpu *vcpu, enum segment_name which, struct segment *out);
	void (*set_segment)(struct vcpu *vcpu, enum segment_name which, const struct segment *in);
	u64 (*get_dr7)(const struct vcpu *vcpu);
	void (*set_dr7)(struct vcpu *vcpu, u64 value);
	u64 (*get_dr6)(const struct vcpu *vcpu);
	void (*set_dr6)(struct vcpu *vcpu, u64 value);
	/* Does INTERCEPT_TIMER do anything? NULL: no. */
	bool (*has_timer)(void);
	/*
	 * The next entry delivers its event and exits before the guest's first instruction: by EXIT_TIMER, or by a kick of this
	 * CPU to itself. Only where NMIs exit or there is a timer.
	 */
	void (*exit_soon)(struct vcpu *vcpu);
	/* MSRs that the backend keeps in its control block (STAR, LSTAR, SYSENTER_*, FS_BASE...):
	 * true if known. */
	bool (*get_msr)(const struct vcpu *vcpu, u32 msr, u64 *value);
	bool (*set_msr)(struct vcpu *vcpu, u32 msr, u64 value);
	/*
	 * Between two instructions that are interpreted: NMIs that came wait in the virtual CPU, and DR6 has what it is to be set. NULL where
	 * none is (real_mode).
	 */
	void (*look)(struct vcpu *vcpu);
	/*
	 * Whether each exit that the fast path handles goes to guest_trace_exit() as well; called on any CPU. NULL: the fast
	 * path sees that in vcpu->look_closer.
	 */
	void (*trace)(struct vcpu *vcpu, bool on);
	void (*wake)(struct vcpu *vcpu);       /* by an INIT: ends a halt, drops what is pending */
	void (*dump)(const struct vcpu *vcpu); /* every field, by name, to the log */
	const char *(*exit_name)(u64 raw);
};

extern const struct vendor svm_vendor, vmx_vendor;

/* The vendor this CPU has, or NULL with *why set to one clear line. */
const struct vendor *vendor_select(const char **why);

#endif
