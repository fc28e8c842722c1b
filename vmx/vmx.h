/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The VMX backend's own state, shared by its files. A virtual CPU's VMCS is the
 * current one of the CPU that it runs on from vmx_vcpu_init() on, so all that
 * reads or writes VMCS fields takes the vcpu of this CPU.
 */
#ifndef VMX_VMX_H
#define VMX_VMX_H

#include "arch/x86/percpu.h"
#include "arch/x86/vendor.h"
#include "vmx/capability.h"
#include "vmx/exits.h"
#include "vmx/vmcs.h"

/* One per CPU, at this_cpu()->backend. */
struct vmx_cpu {
	hpa_t region; /* VMXON region */
};

#define VMX_TAGS 64u /* VPIDs used where there are any */
#define VMX_TAG_FIRST 1u

/* vcpu->hw */
struct vmx_vcpu {
	hpa_t vmcs;
	u8 *msr_bitmap, *io_bitmap;
	bool launched;               /* VMRESUME, not VMLAUNCH */
	u32 requested;               /* INTERCEPT_* as neutral code asked */
	u32 word[VMX_CONTROL_WORDS]; /* what the VMCS holds */
	u32 exception_bitmap;
	u64 cr0_owned, cr4_owned; /* bits that the guest changes without an exit */
	/* As the VMCS holds them since the last exit: written only when changed. */
	u64 rip, rsp, rflags;
	u32 interruptibility;
	u64 nmi_seen;    /* of this_cpu()->nmi_count: passed on or waiting */
	bool nmi_exits;  /* always: of several processors */
	bool halt_exits; /* HLT does: halt.c */
	bool halted;     /* then: it sleeps with interrupts off, RIP being halt_rip */
	u64 halt_rip;
	bool v8086;      /* the VMCS holds the guest as v8086.c makes it: real mode in virtual-8086 mode */
	bool intr_exits; /* so do external interrupts, there */
	/* What the VMCS then holds otherwise, bits of ES to GS: of which it has newer selectors and bases, or older ones. */
	struct segment own[SEG_TR + 1];
	u32 own_stale, own_changed;
	u32 own_sysenter_cs;
	u64 own_iopl;
	bool nmi_window; /* an exit is asked for when one may go in */
};

static inline struct vmx_vcpu *vmx_of(const struct vcpu *vcpu)
{
	return vcpu->hw;
}

/* cpu.c */
const struct vmx_capability *vmx_capability(void);
const struct vmx_controls *vmx_controls(void);
u32 vmx_phys_bits(void);
const char *vmx_unsupported(void);
void vmx_describe(char *buf, u32 size);
const char *vmx_hidden(void);
const char *vmx_one_processor(void);
void *vmx_cpu_alloc(void);
int vmx_cpu_enable(void);
void vmx_cpu_disable(void);
u32 vmx_tags(void);

/* vcpu.c */
int vmx_vcpu_alloc(struct vcpu *vcpu);
int vmx_vcpu_init(struct vcpu *vcpu);

/* control.c: control registers, intercepts, TLB */
#define VMX_CR0_NATIVE (CR0_MP | CR0_EM | CR0_TS | CR0_AM)
#define VMX_CR4_NATIVE (CR4_VME | CR4_PVI | CR4_TSD | CR4_DE | CR4_PCE | CR4_OSFXSR | CR4_OSXMMEXCPT)
/* Loads the guest's view into the VMCS, whatever it is. */
void vmx_load_control(struct vcpu *vcpu);
/* The same for the vendor table: who executes the guest may be another then. */
void vmx_update_control(struct vcpu *vcpu);
/* What of CR0 and CR4 the guest changed by itself. */
void vmx_store_control(struct vcpu *vcpu);
void vmx_set_shadow_root(struct vcpu *vcpu, hpa_t root, u32 tag);
hpa_t vmx_hardware_root(const struct vcpu *vcpu);
void vmx_set_intercepts(struct vcpu *vcpu, u32 mask);
void vmx_trap_invlpg(struct vcpu *vcpu, bool on);
/* Once more what was asked for last: v8086 or intr_exits has changed. */
void vmx_update_intercepts(struct vcpu *vcpu);
/* The preemption timer: is there one that goes on behind an exit? How long it runs from the next entry on, 32 bits at most. */
#define VMX_TIMER_TICKS (1u << 24)
bool vmx_has_timer(void);
void vmx_start_timer(u64 ticks);
/* The next entry delivers its event and exits. */
void vmx_exit_soon(struct vcpu *vcpu);
/* Asks for an exit when the guest can take an NMI. */
void vmx_set_nmi_window(struct vcpu *vcpu, bool on);
void vmx_tlb_flush(struct vcpu *vcpu, u32 tag);
void vmx_tlb_flush_page(struct vcpu *vcpu, u32 tag, gva_t gva);

/* msr.c */
#define VMX_IO_BITMAP_ORDER 1 /* A and B, one behind the other */
void vmx_set_msr_intercept(struct vcpu *vcpu, u32 msr, bool read, bool write);
void vmx_set_io_intercept(struct vcpu *vcpu, u16 port, bool on);
bool vmx_get_msr(const struct vcpu *vcpu, u32 msr, u64 *value);
bool vmx_set_msr(struct vcpu *vcpu, u32 msr, u64 value);

/* nmi.c: with the rest of struct vcpu as the next entry shall have it */
void vmx_nmi_entry(struct vcpu *vcpu);
/* Those that came since the last time wait in the virtual CPU. */
void vmx_note_nmis(struct vcpu *vcpu);

/* halt.c */
/* The next entry wakes it. */
void vmx_halt_end(struct vcpu *vcpu);
/* Of several processors: */
/* Behind each exit: one for HLT, which is executed; false: another one. */
bool vmx_halt_begin(struct vcpu *vcpu, const struct vmx_exit_info *info);
/* Behind a slow exit while halt_exits, with vcpu->rip and rflags: it sleeps again with the next entry if it slept. */
void vmx_halt_exit(struct vcpu *vcpu);

/* v8086.c */
void vmx_v8086_begin(struct vcpu *vcpu); /* into the form of virtual-8086 mode */
void vmx_v8086_load(struct vcpu *vcpu); /* into the form that vcpu->execution asks for, and what each entry needs of it */
u64 vmx_v8086_rflags(struct vcpu *vcpu); /* what the VMCS is to hold */
void vmx_v8086_store(struct vcpu *vcpu); /* behind an exit, with RFLAGS and interruptibility as the VMCS has them */
/* MSRs that the VMCS does not hold then: true if it is one. */
bool vmx_v8086_get_msr(const struct vcpu *vcpu, u32 msr, u64 *value);
bool vmx_v8086_set_msr(struct vcpu *vcpu, u32 msr, u64 value);
void vmx_get_segment(const struct vcpu *vcpu, enum segment_name which, struct segment *out);
void vmx_set_segment(struct vcpu *vcpu, enum segment_name which, const struct segment *in);

/* state.c: all of the guest's state between the VMCS and struct vcpu */
void vmx_load_guest(struct vcpu *vcpu);
void vmx_look(struct vcpu *vcpu);
void vmx_store_guest(struct vcpu *vcpu);

static inline u32 vmx_guest_cpl(void)
{
	return SEG_ATTR_DPL(vmcs_read32(VMCS_GUEST_SS_ATTRIBUTES));
}

/* Is there an NMI for the guest that came while the hypervisor ran? */
static inline bool vmx_nmi_is_due(const struct vcpu *vcpu)
{
	return unlikely(vcpu->nmi_waits || this_cpu()->nmi_count != vmx_of(vcpu)->nmi_seen);
}

/* fast_path.c: true if the guest can be entered again */
bool vmx_fast_path(struct vcpu *vcpu, const struct vmx_exit_info *info);

/* run.c */
NORETURN void vmx_run(struct vcpu *vcpu);
void vmx_run_once(struct vcpu *vcpu);

/* dump.c */
void vmx_dump(const struct vcpu *vcpu);

/*
 * enter.asm: loads the general registers from vcpu->gpr, runs the guest until an
 * exit, stores them back. Returns enum vmx_status (vmx/insn.h): the flags of
 * VMLAUNCH or VMRESUME. host_rsp_field: VMCS_HOST_RSP.
 */
u32 vmx_enter(struct vcpu *vcpu, u32 resume, u64 host_rsp_field);
u32 vmx_enter_shared(struct vcpu *vcpu, u32 resume, u64 host_rsp_field, const bool *kicked);
extern u8 vmx_entry_begin[], vmx_entry_end[], vmx_entry_back[];
/* Where exits arrive; never called. */
void vmx_exit(void);

#endif
