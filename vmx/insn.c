/* SPDX-License-Identifier: BSD-2-Clause */
/* The VMX instructions. Real functions, so that the host tests can put a fake CPU underneath. */
#include "vmx/insn.h"

#include "lib/log.h"
#include "vmx/exits.h"

static ALWAYS_INLINE enum vmx_status status_of(bool carry, bool zero)
{
	return carry ? VMX_FAIL_INVALID : zero ? VMX_FAIL_VALID : VMX_OK;
}

enum vmx_status insn_vmxon(hpa_t region)
{
	bool carry, zero;

	asm volatile("vmxon %2" : "=@ccc"(carry), "=@ccz"(zero) : "m"(region.v) : "memory");
	return status_of(carry, zero);
}

enum vmx_status insn_vmxoff(void)
{
	bool carry, zero;

	asm volatile("vmxoff" : "=@ccc"(carry), "=@ccz"(zero) : : "memory");
	return status_of(carry, zero);
}

enum vmx_status insn_vmclear(hpa_t vmcs)
{
	bool carry, zero;

	asm volatile("vmclear %2" : "=@ccc"(carry), "=@ccz"(zero) : "m"(vmcs.v) : "memory");
	return status_of(carry, zero);
}

enum vmx_status insn_vmptrld(hpa_t vmcs)
{
	bool carry, zero;

	asm volatile("vmptrld %2" : "=@ccc"(carry), "=@ccz"(zero) : "m"(vmcs.v) : "memory");
	return status_of(carry, zero);
}

enum vmx_status insn_invvpid(enum vmx_invvpid type, u16 vpid, gva_t gva)
{
	const struct {
		u64 vpid, gva;
	} descriptor = {vpid, gva};
	bool carry, zero;

	asm volatile("invvpid %2, %3"
		     : "=@ccc"(carry), "=@ccz"(zero)
		     : "m"(descriptor), "r"((u64)type)
		     : "memory");
	return status_of(carry, zero);
}

static ALWAYS_INLINE enum vmx_status insn_vmread(u64 field, u64 *value)
{
	bool carry, zero;

	asm volatile("vmread %3, %2" : "=@ccc"(carry), "=@ccz"(zero), "=r"(*value) : "r"(field));
	return status_of(carry, zero);
}

static ALWAYS_INLINE enum vmx_status insn_vmwrite(u64 field, u64 value)
{
	bool carry, zero;

	asm volatile("vmwrite %3, %2" : "=@ccc"(carry), "=@ccz"(zero) : "r"(field), "r"(value));
	return status_of(carry, zero);
}

static NORETURN void access_failed(const char *what, u32 field, enum vmx_status status)
{
	panic("VMX: %s of field 0x%x (%s) failed: %s", what, field, vmx_field_name(field),
	      status == VMX_FAIL_INVALID ? "no current VMCS" : "this CPU has no such field");
}

u64 vmcs_read_raw(u32 field)
{
	u64 value;
	enum vmx_status status = insn_vmread(field, &value);

	if (unlikely(status != VMX_OK))
		access_failed("VMREAD", field, status);
	return value;
}

void vmcs_write_raw(u32 field, u64 value)
{
	enum vmx_status status = insn_vmwrite(field, value);

	if (unlikely(status != VMX_OK))
		access_failed("VMWRITE", field, status);
}

int vmcs_try_read(u32 field, u64 *value)
{
	return insn_vmread(field, value) == VMX_OK ? 0 : -ENOENT;
}
