/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From the VMCS's numbers to the neutral description of an exit, and back for
 * events. Pure functions: compiled for the host tests as they are.
 */
#ifndef VMX_EXITS_H
#define VMX_EXITS_H

#include "arch/x86/guest/vcpu.h"
#include "vmx/vmcs.h"

/* The exit-information fields; what a reason does not define may be anything. */
struct vmx_exit_info {
	u32 reason;
	u64 qualification;
	u32 intr_info, intr_error; /* exceptions and NMIs */
	u32 idt_info, idt_error;   /* event under delivery */
	u32 insn_len;
};

/* VM-entry interruption information; info 0: no event. */
struct vmx_entry_event {
	u32 info, error, insn_len;
};

/* The exception bitmap's exits are told apart by intr_info, CR accesses by the qualification. */
enum exit_kind vmx_exit_kind(const struct vmx_exit_info *info);

/* "CPUID" for REASON_CPUID, entry failures too; never NULL. */
const char *vmx_exit_name(u64 reason);

/* "GUEST_RIP" for VMCS_GUEST_RIP; "?" if unknown. */
const char *vmx_field_name(u32 field);

/* What a VM-instruction error number means, SDM vol. 3 section 30.4. */
const char *vmx_error_text(u32 error);

/* The event whose delivery the exit cut short; type NONE if none. */
struct vcpu_event vmx_interrupted_event(const struct vmx_exit_info *info);

/* How the entry delivers an event, SDM vol. 3 section 26.6. */
struct vmx_entry_event vmx_entry_event(const struct vcpu_event *event);

/* Did an IRET whose exit this is end NMI blocking? Then it must be restored. */
bool vmx_nmi_unblocked(const struct vmx_exit_info *info);

/*
 * The interruptibility state for the next entry: what the CPU had, less what
 * neutral code ended, in a form that the entry checks allow (section 26.3.1.5).
 */
u32 vmx_interruptibility(u32 old, const struct vcpu *vcpu, bool virtual_nmis);

/* The second of the two numbers that dumps show. */
static inline u64 vmx_exit_info2(const struct vmx_exit_info *info)
{
	return info->intr_info | (u64)info->idt_info << 32;
}

/* Is it one of those that can be handled with a part of the guest's state (arch/x86/guest/fast_path.h)? */
bool vmx_exit_is_fast(const struct vmx_exit_info *info, enum exit_kind kind);

/* Fills *exit. */
void vmx_decode_exit(const struct vmx_exit_info *info, struct vcpu_exit *exit);

#endif
