/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VMX instructions, SDM vol. 3 chapter 30, each with its flags looked at.
 * VMREAD and VMWRITE are in vmx/vmcs.h, VMLAUNCH and VMRESUME in enter.asm.
 */
#ifndef VMX_INSN_H
#define VMX_INSN_H

#include "vmx/vmcs.h"

/* What a VMX instruction left in the flags, section 30.2. */
enum vmx_status {
	VMX_OK,
	VMX_FAIL_INVALID, /* CF: no current VMCS, or the operand is refused */
	VMX_FAIL_VALID,   /* ZF: the number is in the VM-instruction error field */
	VMX_KICKED,       /* of an entry alone: a kick came before it, there was none */
};

MUST_CHECK enum vmx_status insn_vmxon(hpa_t region);
MUST_CHECK enum vmx_status insn_vmxoff(void);
MUST_CHECK enum vmx_status insn_vmclear(hpa_t vmcs);
MUST_CHECK enum vmx_status insn_vmptrld(hpa_t vmcs);
MUST_CHECK enum vmx_status insn_invvpid(enum vmx_invvpid type, u16 vpid, gva_t gva);

#endif
