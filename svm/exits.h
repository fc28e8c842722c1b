/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From the VMCB's numbers to the neutral description of an exit, and back for
 * events. Pure functions: compiled for the host tests as they are.
 */
#ifndef SVM_EXITS_H
#define SVM_EXITS_H

#include "arch/x86/guest/vcpu.h"
#include "svm/vmcb.h"

/* What the CPU adds to an exit, CPUID 0x8000000a EDX. */
struct svm_assists {
	bool next_rip; /* NRIP save */
	bool decode;   /* instruction bytes, CR and INVLPG operands */
};

#define SVM_INSN_LEN_MAX 15

/* info1 tells RDMSR from WRMSR. */
enum exit_kind svm_exit_kind(u64 code, u64 info1);

/* "CPUID" for SVM_EXIT_CPUID; never NULL. */
const char *svm_exit_name(u64 code);

/* The event whose delivery the exit cut short, from EXITINTINFO; type NONE if none. */
struct vcpu_event svm_interrupted_event(u64 exit_int_info);

/* EVENTINJ for an event; 0 for type NONE. */
u64 svm_event_inj(const struct vcpu_event *event);

/*
 * Makes vector the pending virtual interrupt in *virtual_interrupt, which the CPU
 * delivers once the guest takes interrupts. False if another one is pending there.
 */
bool svm_queue_virtual_interrupt(u64 *virtual_interrupt, u8 vector);

/* The length of an instruction that exited, other than for port access; 0 if the CPU does not tell. */
static inline u8 svm_insn_len(const struct vmcb *vmcb, struct svm_assists assists)
{
	u64 len = vmcb->next_rip - vmcb->rip;

	return assists.next_rip && vmcb->next_rip && len <= SVM_INSN_LEN_MAX ? (u8)len : 0;
}

/* Fills *exit from the VMCB of a CPU that has just left the guest. */
void svm_decode_exit(const struct vmcb *vmcb, struct svm_assists assists, struct vcpu_exit *exit);

#endif
