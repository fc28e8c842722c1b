/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A new virtual CPU: its VMCS with controls and host state, its bitmaps, and the
 * state after RESET (SDM vol. 3 table 9-1) but in flat protected mode.
 */
#include "arch/x86/cpu.h"
#include "arch/x86/gdt.h"
#include "arch/x86/memory.h"
#include "arch/x86/percpu.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/phys.h"
#include "vmx/insn.h"
#include "vmx/segments.h"
#include "vmx/vmx.h"

#define NO_VMCS (~0ull)

_Static_assert(sizeof(struct vmx_vcpu) <= PAGE_SIZE, "one page");

/* Below 4 GiB, which some processors ask for. */
int vmx_vcpu_alloc(struct vcpu *vcpu)
{
	struct vmx_vcpu *vmx = memory_alloc(0);
	void *vmcs = memory_alloc(0);

	if (!vmx || !vmcs)
		return -ENOMEM;
	vmx->vmcs = virt_to_phys(vmcs);
	vmx->msr_bitmap = memory_alloc(0);
	vmx->io_bitmap = memory_alloc(VMX_IO_BITMAP_ORDER);
	if (!vmx->msr_bitmap || !vmx->io_bitmap)
		return -ENOMEM;
	vcpu->hw = vmx;
	return 0;
}

/* A fresh VMCS, current on this CPU; VMCLEAR of the old one first, lest the CPU still holds some of it. */
static enum vmx_status clear_pages(struct vmx_vcpu *vmx)
{
	u32 *vmcs = phys_to_virt(vmx->vmcs);
	enum vmx_status status = VMX_OK;

	if (vmcs[0])
		status = insn_vmclear(vmx->vmcs);
	*vmx = (struct vmx_vcpu){.vmcs = vmx->vmcs, .msr_bitmap = vmx->msr_bitmap, .io_bitmap = vmx->io_bitmap};
	memset(vmcs, 0, PAGE_SIZE);
	memset(vmx->msr_bitmap, 0xff, PAGE_SIZE);
	memset(vmx->io_bitmap, 0, PAGE_SIZE << VMX_IO_BITMAP_ORDER);
	vmcs[0] = (u32)(vmx_capability()->basic & BASIC_REVISION);
	if (status == VMX_OK)
		status = insn_vmclear(vmx->vmcs);
	return status == VMX_OK ? insn_vmptrld(vmx->vmcs) : status;
}

static void init_control(struct vmx_vcpu *vmx)
{
	hpa_t io = virt_to_phys(vmx->io_bitmap);

	for (u32 i = 0; i < VMX_CONTROL_WORDS; i++)
		vmx->word[i] = vmx_controls()->word[i];
	vmcs_write32(VMCS_PIN_CONTROLS, vmx->word[VMX_PIN]);
	vmcs_write32(VMCS_PRIMARY_CONTROLS, vmx->word[VMX_PRIMARY]);
	if (vmx->word[VMX_PRIMARY] & PRIMARY_SECONDARY)
		vmcs_write32(VMCS_SECONDARY_CONTROLS, vmx->word[VMX_SECONDARY]);
	vmcs_write32(VMCS_EXIT_CONTROLS, vmx->word[VMX_EXIT]);
	vmcs_write32(VMCS_ENTRY_CONTROLS, vmx->word[VMX_ENTRY]);
	if (vmx->word[VMX_SECONDARY] & SECONDARY_XSAVES)
		vmcs_write64(VMCS_XSS_EXITING_BITMAP, 0);
	if (vmx->word[VMX_SECONDARY] & SECONDARY_ENCLS_EXITING)
		vmcs_write64(VMCS_ENCLS_EXITING_BITMAP, ~0ull);
	if (vmx->word[VMX_SECONDARY] & SECONDARY_ENCLV_EXITING)
		vmcs_write64(VMCS_ENCLV_EXITING_BITMAP, ~0ull);
	if (vmx_controls()->vpid)
		vmcs_write16(VMCS_VPID, VMX_TAG_FIRST);
	vmcs_write64(VMCS_MSR_BITMAP, virt_to_phys(vmx->msr_bitmap).v);
	vmcs_write64(VMCS_IO_BITMAP_A, io.v);
	vmcs_write64(VMCS_IO_BITMAP_B, io.v + PAGE_SIZE);
	vmcs_write64(VMCS_TSC_OFFSET, 0);
	vmcs_write32(VMCS_EXCEPTION_BITMAP, 0);
	vmcs_write32(VMCS_PF_ERROR_MASK, 0);
	vmcs_write32(VMCS_PF_ERROR_MATCH, 0);
	vmcs_write32(VMCS_CR3_TARGET_COUNT, 0);
	vmcs_write32(VMCS_EXIT_MSR_STORE_COUNT, 0);
	vmcs_write32(VMCS_EXIT_MSR_LOAD_COUNT, 0);
	vmcs_write32(VMCS_ENTRY_MSR_LOAD_COUNT, 0);
	vmcs_write32(VMCS_ENTRY_INTR_INFO, 0);
	if (vmx_has_timer())
		vmx_start_timer(VMX_TIMER_TICKS);
}

static void init_host_segments(void)
{
	struct percpu *cpu = this_cpu();
	struct table_pointer idt;

	asm volatile("sidt %0" : "=m"(idt));
	vmcs_write16(VMCS_HOST_CS_SELECTOR, SEL_CODE);
	vmcs_write16(VMCS_HOST_SS_SELECTOR, SEL_DATA);
	vmcs_write16(VMCS_HOST_DS_SELECTOR, SEL_DATA);
	vmcs_write16(VMCS_HOST_ES_SELECTOR, SEL_DATA);
	vmcs_write16(VMCS_HOST_FS_SELECTOR, 0);
	vmcs_write16(VMCS_HOST_GS_SELECTOR, 0);
	vmcs_write16(VMCS_HOST_TR_SELECTOR, SEL_TSS);
	vmcs_write_natural(VMCS_HOST_FS_BASE, 0);
	vmcs_write_natural(VMCS_HOST_GS_BASE, (u64)cpu);
	vmcs_write_natural(VMCS_HOST_TR_BASE, (u64)&cpu->tss);
	vmcs_write_natural(VMCS_HOST_GDTR_BASE, (u64)cpu->gdt.entry);
	vmcs_write_natural(VMCS_HOST_IDTR_BASE, idt.base);
}

/* What every exit loads. HOST_RSP is written by enter.asm. */
static void init_host(void)
{
	init_host_segments();
	vmcs_write_natural(VMCS_HOST_CR0, read_cr0());
	vmcs_write_natural(VMCS_HOST_CR3, read_cr3());
	vmcs_write_natural(VMCS_HOST_CR4, read_cr4());
	if (vmx_controls()->efer)
		vmcs_write64(VMCS_HOST_EFER, rdmsr(MSR_EFER));
	vmcs_write32(VMCS_HOST_SYSENTER_CS, 0);
	vmcs_write_natural(VMCS_HOST_SYSENTER_ESP, 0);
	vmcs_write_natural(VMCS_HOST_SYSENTER_EIP, 0);
	vmcs_write_natural(VMCS_HOST_RIP, (u64)vmx_exit);
}

static void set_flat(enum segment_name which, u16 selector, u32 attributes, u32 limit)
{
	struct segment segment = {.selector = selector, .attributes = attributes, .limit = limit};

	vmx_segment_put(which, &segment);
}

static void init_segments(void)
{
	set_flat(SEG_CS, 0x08, SEG_FLAT_CODE32, ~0u);
	for (u32 i = SEG_ES; i <= SEG_GS; i++) {
		if (i != SEG_CS)
			set_flat((enum segment_name)i, 0x10, SEG_FLAT_DATA, ~0u);
	}
	set_flat(SEG_LDTR, 0, SEG_LDT, 0xffff);
	set_flat(SEG_TR, 0, SEG_TSS32_BUSY, 0xffff);
	set_flat(SEG_GDTR, 0, 0, 0xffff);
	set_flat(SEG_IDTR, 0, 0, 0xffff);
}

/* The MSRs that entries do not load; the firmware's values are none of the guest's business. */
static void init_msrs(void)
{
	static const u32 zeroed[] = {MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_SFMASK, MSR_KERNEL_GS_BASE};

	for (u32 i = 0; i < ARRAY_SIZE(zeroed); i++)
		wrmsr(zeroed[i], 0);
}

static void init_state(struct vmx_vcpu *vmx)
{
	init_segments();
	init_msrs();
	write_dr6(DR6_RESET);
	vmcs_write_natural(VMCS_GUEST_DR7, DR7_RESET);
	vmcs_write64(VMCS_GUEST_DEBUGCTL, 0);
	vmcs_write_natural(VMCS_GUEST_PENDING_DEBUG, 0);
	vmcs_write32(VMCS_GUEST_ACTIVITY, ACTIVITY_ACTIVE);
	vmcs_write32(VMCS_GUEST_INTERRUPTIBILITY, 0);
	vmcs_write64(VMCS_GUEST_LINK_POINTER, NO_VMCS);
	vmcs_write32(VMCS_GUEST_SYSENTER_CS, 0);
	vmcs_write_natural(VMCS_GUEST_SYSENTER_ESP, 0);
	vmcs_write_natural(VMCS_GUEST_SYSENTER_EIP, 0);
	vmcs_write_natural(VMCS_GUEST_CR3, 0);
	vmx->rflags = RFLAGS_FIXED;
	vmcs_write_natural(VMCS_GUEST_RIP, vmx->rip);
	vmcs_write_natural(VMCS_GUEST_RSP, vmx->rsp);
	vmcs_write_natural(VMCS_GUEST_RFLAGS, vmx->rflags);
}

int vmx_vcpu_init(struct vcpu *vcpu)
{
	struct vmx_vcpu *vmx;

	if (!vcpu->hw && vmx_vcpu_alloc(vcpu)) {
		log_error("VMX: no memory for the guest's control structure\n");
		return -ENOMEM;
	}
	vmx = vcpu->hw;
	if (clear_pages(vmx) != VMX_OK) {
		log_error("VMX: VMCLEAR or VMPTRLD refuses the VMCS at 0x%lx\n", (unsigned long)vmx->vmcs.v);
		return -EIO;
	}
	vmx->nmi_seen = this_cpu()->nmi_count;
	vmx->nmi_exits = vmx->halt_exits = vcpu->several;
	init_control(vmx);
	init_host();
	init_state(vmx);
	vmx_set_intercepts(vcpu, INTERCEPT_CR3_READ | INTERCEPT_INVLPG);
	vmx_load_control(vcpu);
	return 0;
}
