/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The MSR and I/O bitmaps (SDM vol. 3 sections 24.6.4 and 24.6.9), and the MSRs
 * that live in the VMCS. The guest's STAR, LSTAR, CSTAR, SFMASK, KERNEL_GS_BASE
 * and TSC_AUX stay in the CPU: the hypervisor uses none of them.
 */
#include "vmx/vmx.h"

/* Four maps of 0x2000 MSRs, one bit each: reads of both ranges, then writes of both. */
#define RANGE_MSRS 0x2000u
#define RANGE_HIGH 0xc0000000u
#define RANGE_BYTES (RANGE_MSRS / 8)
#define MAP_WRITES (2 * RANGE_BYTES)

static void set_bit(u8 *map, u32 n, bool on)
{
	u8 bit = (u8)(1u << n % 8);

	map[n / 8] = on ? map[n / 8] | bit : map[n / 8] & (u8)~bit;
}

/* An MSR outside the two ranges exits always. */
void vmx_set_msr_intercept(struct vcpu *vcpu, u32 msr, bool read, bool write)
{
	bool high = msr >= RANGE_HIGH;
	u32 n = high ? msr - RANGE_HIGH : msr;
	u8 *map = vmx_of(vcpu)->msr_bitmap + (high ? RANGE_BYTES : 0);

	if (n >= RANGE_MSRS)
		return;
	set_bit(map, n, read);
	set_bit(map + MAP_WRITES, n, write);
}

void vmx_set_io_intercept(struct vcpu *vcpu, u16 port, bool on)
{
	set_bit(vmx_of(vcpu)->io_bitmap, port, on);
}

/* The VMCS field, 0 if the MSR has none (0 is the VPID's field). */
static u32 msr_field(u32 msr)
{
	switch (msr) {
	case MSR_FS_BASE: return VMCS_GUEST_FS_BASE;
	case MSR_GS_BASE: return VMCS_GUEST_GS_BASE;
	case MSR_SYSENTER_CS: return VMCS_GUEST_SYSENTER_CS;
	case MSR_SYSENTER_ESP: return VMCS_GUEST_SYSENTER_ESP;
	case MSR_SYSENTER_EIP: return VMCS_GUEST_SYSENTER_EIP;
	case MSR_DEBUGCTL: return VMCS_GUEST_DEBUGCTL;
	default: return 0;
	}
}

bool vmx_get_msr(const struct vcpu *vcpu, u32 msr, u64 *value)
{
	u32 field = msr_field(msr);

	if (unlikely(vmx_of(vcpu)->v8086) && vmx_v8086_get_msr(vcpu, msr, value))
		return true;
	if (field)
		*value = vmcs_read_raw(field);
	return field;
}

bool vmx_set_msr(struct vcpu *vcpu, u32 msr, u64 value)
{
	u32 field = msr_field(msr);

	if (unlikely(vmx_of(vcpu)->v8086) && vmx_v8086_set_msr(vcpu, msr, value))
		return true;
	if (field)
		vmcs_write_raw(field, value);
	return field;
}
