/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The SVM backend's own state, shared by its files: what the CPU can do, what a
 * CPU needs to run guests, what a virtual CPU adds to struct vcpu.
 */
#ifndef SVM_SVM_H
#define SVM_SVM_H

#include "arch/x86/vendor.h"
#include "svm/exits.h"
#include "svm/vmcb.h"

/* CPUID 0x8000000a, APM vol. 3 section E.4.9. The same on every CPU of a machine. */
struct svm_features {
	u32 asids;
	bool flush_by_asid, clean_bits, invpcid;
	bool repeats_interrupts; /* QEMU's TCG: see state.c */
	bool int3_as_int;        /* QEMU's TCG: INT3 does not exit as #BP, but as INT n */
	bool a20_fixed;          /* VM_CR.DIS_A20M is set on every CPU so far */
	bool cr_reads_as_cr0;    /* QEMU's TCG from 9.1 on: see svm_work_round() */
	struct svm_assists assists;
};

/* One per CPU, at this_cpu()->backend. */
struct svm_cpu {
	hpa_t host_vmcb; /* the hypervisor's FS, GS, TR, LDTR and syscall MSRs, for VMLOAD */
	hpa_t host_save; /* VM_HSAVE_PA */
};

#define SVM_TAGS_MAX 32767u /* what the stale bitmap, one page, has room for */

/* vcpu->hw */
struct svm_vcpu {
	struct vmcb *vmcb;
	u8 *msrpm, *iopm;
	u32 requested;   /* INTERCEPT_* as neutral code asked */
	u32 clean;       /* CLEAN_* after an exit: 0 if the CPU has no clean bits */
	bool flush_all;  /* at the next entry */
	bool flush_due;  /* flush_all, or some tag may be stale */
	u32 stale_words; /* of stale, from the first: there a bit may be set */
	u64 *stale;      /* bitmap: tags to be flushed before they are used again */
	/* halt.c */
	bool halted;             /* HLT at halt_rip is executed with interrupts exiting */
	u64 halt_rip, halt_next; /* halt_next: behind it, once it has slept; else 0 */
	u64 halt_shadow;         /* VMCB_INTERRUPT_SHADOW at the HLT; if it is on, */
	u8 halt_len;             /* the HLT's length, or 0 if that cannot be told */
	/* nmi.c */
	bool step;                       /* an IRET is stepped over, at step_rip; */
	u64 step_rip, step_tf, step_dr6; /* RFLAGS.TF and DR6 as the guest has them */
	u64 nmi_seen;                    /* of hw_nmis() */
};

static inline struct svm_vcpu *svm_of(const struct vcpu *vcpu)
{
	return vcpu->hw;
}
static inline struct vmcb *vmcb_of(const struct vcpu *vcpu)
{
	return svm_of(vcpu)->vmcb;
}

/* Tells the CPU that a group of VMCB fields (CLEAN_*) was changed. */
static inline void svm_dirty(struct vmcb *vmcb, u32 group)
{
	vmcb->clean &= ~group;
}

/* Intercepts that stay as they are need not be loaded again. */
static inline void svm_set_intercept_word(struct vmcb *vmcb, u32 word, u32 value)
{
	if (vmcb->intercept[word] == value)
		return;
	vmcb->intercept[word] = value;
	svm_dirty(vmcb, CLEAN_INTERCEPTS);
}

static inline void svm_set_intercept(struct vmcb *vmcb, enum svm_exit code, bool on)
{
	u32 bit = 1u << ((u32)code % 32), word = (u32)code / 32, old = vmcb->intercept[word];

	svm_set_intercept_word(vmcb, word, on ? old | bit : old & ~bit);
}

/* cpu.c */
extern struct svm_features svm_found;
static inline const struct svm_features *svm_features(void)
{
	return &svm_found;
}
const char *svm_unsupported(void);
void svm_describe(char *buf, u32 size);
void *svm_cpu_alloc(void);
int svm_cpu_enable(void);
void svm_cpu_listen(void);
void svm_cpu_deafen(void);
bool svm_a20_fixed(void);
void svm_cpu_disable(void);
u32 svm_tags(void);

/* vcpu.c */
int svm_vcpu_alloc(struct vcpu *vcpu);
int svm_vcpu_init(struct vcpu *vcpu);

/* control.c: control registers, intercepts, permission maps, TLB */
void svm_update_control(struct vcpu *vcpu);
void svm_set_shadow_root(struct vcpu *vcpu, hpa_t root, u32 tag);
hpa_t svm_hardware_root(const struct vcpu *vcpu);
const char *svm_work_round(struct vcpu *vcpu, enum exit_kind kind);
void svm_set_intercepts(struct vcpu *vcpu, u32 mask);
void svm_trap_invlpg(struct vcpu *vcpu, bool on);
void svm_tlb_flush(struct vcpu *vcpu, u32 tag);
void svm_tlb_flush_page(struct vcpu *vcpu, u32 tag, gva_t gva);
/* Puts the flushes that are due for the tag about to run into TLB_CONTROL. */
void svm_tlb_prepare(struct svm_vcpu *svm);

/* msr.c */
void svm_set_msr_intercept(struct vcpu *vcpu, u32 msr, bool read, bool write);
void svm_set_io_intercept(struct vcpu *vcpu, u16 port, bool on);
bool svm_get_msr(const struct vcpu *vcpu, u32 msr, u64 *value);
bool svm_set_msr(struct vcpu *vcpu, u32 msr, u64 value);
#define SVM_MSRPM_PAGES 2u
#define SVM_IOPM_PAGES 3u

/* state.c: all of the guest's state between the VMCB and struct vcpu */
void svm_load_guest(struct vcpu *vcpu);
void svm_store_guest(struct vcpu *vcpu);

static inline bool svm_is_code64(const struct vmcb *vmcb)
{
	return (vmcb->cs.attributes & VMCB_ATTR_L) && (vmcb->efer & EFER_LMA);
}

/* fast_path.c: called by enter.asm after every exit, as vcpu->fast_path; true if the guest can be entered again */
bool svm_fast_path(struct vcpu *vcpu);
void svm_trace(struct vcpu *vcpu, bool on);   /* vendor->trace */
bool svm_fast_path_shared(struct vcpu *vcpu); /* with several processors */
/* For an exit that svm_fast_path() has left. */
void svm_slow_path(struct vcpu *vcpu);
void svm_enter_shared(struct vcpu *vcpu);

/* run.c */
NORETURN void svm_run(struct vcpu *vcpu);
void svm_run_once(struct vcpu *vcpu);

/* halt.c */
void svm_wake(struct vcpu *vcpu);

/* dump.c */
void svm_dump(const struct vcpu *vcpu);

/* enter.asm: runs the guest, calls svm_fast_path() and svm_slow_path() at exits, for ever. */
NORETURN void svm_loop(struct vcpu *vcpu);
/* enter.asm: runs the guest until an exit, with all registers stored behind it. */
void svm_enter(struct vcpu *vcpu);

#endif
