/* SPDX-License-Identifier: BSD-2-Clause */
/* Making a virtual CPU: its state, its shadow MMU, the registers it starts with. */
#include "arch/x86/guest/create.h"

#include "arch/x86/guest/a20.h"
#include "arch/x86/guest/apic.h"
#include "arch/x86/guest/cpuid.h"
#include "arch/x86/guest/cr.h"
#include "arch/x86/guest/hw.h"
#include "arch/x86/guest/msr.h"
#include "arch/x86/guest/sleep.h"
#include "arch/x86/guest/state.h"
#include "arch/x86/memory.h"
#include "lib/log.h"
#include "mm/phys.h"
#include "mm/shadow.h"

/* memory_alloc() order for struct guest */
#define GUEST_ORDER 2
_Static_assert(sizeof(struct guest) <= PAGE_SIZE << GUEST_ORDER, "GUEST_ORDER");

static void flush_tag(void *cpu, u32 tag)
{
	struct vcpu *vcpu = cpu;

	vcpu->vendor->tlb_flush(vcpu, tag);
}

static void flush_page(void *cpu, u32 tag, gva_t gva)
{
	struct vcpu *vcpu = cpu;

	vcpu->vendor->tlb_flush_page(vcpu, tag, gva);
}

static void trap_invlpg(void *cpu, bool on)
{
	struct vcpu *vcpu = cpu;

	vcpu->vendor->trap_invlpg(vcpu, on);
}

static const struct shadow_ops shadow_ops = {
	.flush = flush_tag,
	.flush_page = flush_page,
	.trap_invlpg = trap_invlpg,
	.read_pkru = hw_read_pkru,
};

static void set_flat_segments(struct vcpu *vcpu, const struct boot_guest_state *start)
{
	static const enum segment_name data[] = {SEG_DS, SEG_ES, SEG_SS, SEG_FS, SEG_GS};
	bool mode64 = start->mode == BOOT_GUEST_LONG64;
	struct segment s = {
		.selector = start->cs,
		.limit = 0xffffffff,
		.attributes = mode64 ? SEG_FLAT_CODE64 : SEG_FLAT_CODE32,
	};

	vcpu->vendor->set_segment(vcpu, SEG_CS, &s);
	s.selector = start->ds;
	s.attributes = SEG_FLAT_DATA;
	for (u32 i = 0; i < ARRAY_SIZE(data); i++)
		vcpu->vendor->set_segment(vcpu, data[i], &s);
	s = (struct segment){.base = start->gdt_base, .limit = start->gdt_limit};
	vcpu->vendor->set_segment(vcpu, SEG_GDTR, &s);
}

static void set_start_registers(struct vcpu *vcpu, const struct boot_guest_state *start)
{
	vcpu->rip = start->rip;
	vcpu->rflags = RFLAGS_FIXED;
	vcpu->gpr[GPR_RAX] = start->rax;
	vcpu->gpr[GPR_RBX] = start->rbx;
	vcpu->gpr[GPR_RCX] = start->rcx;
	vcpu->gpr[GPR_RDX] = start->rdx;
	vcpu->gpr[GPR_RSI] = start->rsi;
	vcpu->gpr[GPR_RDI] = start->rdi;
	vcpu->gpr[GPR_RBP] = start->rbp;
	vcpu->gpr[GPR_RSP] = start->rsp;
	vcpu->cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE;
	vcpu->cr3 = start->cr3;
	vcpu->pat = PAT_RESET;
	if (start->mode == BOOT_GUEST_LONG64) {
		vcpu->cr0 |= CR0_WP | CR0_PG;
		vcpu->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT;
		vcpu->efer = EFER_LME | EFER_LMA;
	}
}

int guest_create(struct vcpu *vcpu, const struct guest_config *config)
{
	struct guest *g = memory_alloc(GUEST_ORDER);
	void *low_page;
	int err;

	if (!g) {
		log_error("guest: no memory for the virtual CPU\n");
		return -ENOMEM;
	}
	g->vcpu = vcpu;
	g->shadow = config->shadow;
	g->phys_bits = config->host_phys_bits;
	g->audit_interval = config->audit_interval;
	g->next_whole_audit = config->audit_interval;
	g->task_switches_unseen = config->task_switches_unseen;
	vcpu->next_audit = config->audit_interval ? config->audit_interval : ~0ull;
	vcpu->guest = g;
	vcpu->vendor = config->vendor;
	err = config->vendor->vcpu_init(vcpu);
	if (err) {
		log_error("guest: %s cannot set up the virtual CPU (error %d)\n", config->vendor->name, err);
		return err;
	}
	low_page = memory_alloc(0);
	if (low_page)
		vcpu->mmu = shadow_mmu_create(config->shadow, &shadow_ops, vcpu, virt_to_phys(low_page));
	if (!vcpu->mmu) {
		log_error("guest: no memory for the shadow page tables\n");
		return -ENOMEM;
	}
	apic_init(vcpu);
	cpuid_init(vcpu, config->cpuid_hide);
	cr_init(vcpu);
	msr_init(vcpu);
	err = sleep_init(vcpu, config->sleep);
	if (!err)
		err = a20_init(vcpu);
	if (err) {
		log_error("guest: more I/O traps than there is room for\n");
		return err;
	}
	set_start_registers(vcpu, config->start);
	set_flat_segments(vcpu, config->start);
	cr_apply(vcpu, true);
	return 0;
}
