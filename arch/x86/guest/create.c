/* SPDX-License-Identifier: BSD-2-Clause */
/* Making a virtual CPU: its state, its shadow MMU, the registers it starts with. */
#include "arch/x86/guest/create.h"

#include "arch/x86/debug_hooks.h"
#include "arch/x86/guest/a20.h"
#include "arch/x86/guest/apic.h"
#include "arch/x86/guest/cpuid.h"
#include "arch/x86/guest/cr.h"
#include "arch/x86/guest/hw.h"
#include "arch/x86/guest/known.h"
#include "arch/x86/guest/msr.h"
#include "arch/x86/guest/sleep.h"
#include "arch/x86/guest/state.h"
#include "arch/x86/guest/flushcheck.h"
#include "arch/x86/guest/trace.h"
#include "arch/x86/memory.h"
#include "lib/log.h"
#include "mm/phys.h"
#include "mm/shadow.h"

#define PAGES_OF(type) ((u32)((sizeof(type) + PAGE_SIZE - 1) >> PAGE_SHIFT))
#define PDPTS_PER_PAGE (PAGE_SIZE / SHADOW_PDPT_BYTES)

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

static void kick(void *cpu)
{
	const struct vcpu *vcpu = cpu;

	hw_kick_to_flush(vcpu->cpu);
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
	.kick = kick,
	.read_pkru = hw_read_pkru,
};

/* INVLPG exits always then. */
static const struct shadow_ops checked_ops = {
	.flush = flush_tag,
	.flush_page = flush_page,
	.kick = kick,
	.read_pkru = hw_read_pkru,
	.where = flushcheck_where,
	.stale = flushcheck_tell,
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

	known_set_segment(vcpu, SEG_CS, &s);
	s.selector = start->ds;
	s.attributes = SEG_FLAT_DATA;
	for (u32 i = 0; i < ARRAY_SIZE(data); i++)
		known_set_segment(vcpu, data[i], &s);
	s = (struct segment){.base = start->gdt_base, .limit = start->gdt_limit};
	known_set_segment(vcpu, SEG_GDTR, &s);
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
	if (start->mode == BOOT_GUEST_LONG64) {
		vcpu->cr0 |= CR0_WP | CR0_PG;
		vcpu->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT;
		vcpu->efer = EFER_LME | EFER_LMA;
	}
}

/* --- memory: on the boot processor --------------------------------------------------- */

/* A root of PAE format of its own, below 4 GiB; so many fit into a page. */
static int alloc_pdpt(struct guest *g)
{
	static u8 *page;
	u32 slot = g->vcpu->id % PDPTS_PER_PAGE;

	if (!slot)
		page = memory_alloc(0);
	if (!page)
		return -ENOMEM;
	g->pdpt = hpa(virt_to_phys(page).v + slot * SHADOW_PDPT_BYTES);
	return 0;
}

static int alloc_guest(struct vcpu *vcpu, struct guest_shared *shared, const struct guest_config *config)
{
	struct guest *g = memory_take(PAGES_OF(struct guest));

	if (!g)
		return -ENOMEM;
	g->vcpu = vcpu;
	g->shared = shared;
	g->config = config;
	vcpu->guest = g;
	vcpu->vendor = config->vendor;
	shared->vcpu[vcpu->id] = vcpu;
	return alloc_pdpt(g);
}

int guest_create(struct vcpu *vcpu, const struct guest_config *config, u32 apic_id)
{
	struct guest_shared *shared = memory_take(PAGES_OF(struct guest_shared));

	if (!shared)
		return -ENOMEM;
	processors_init(&shared->processors, config->sipi_protected && !config->vendor->real_mode);
	if (processors_add(&shared->processors, apic_id, true) < 0)
		return -ENOSPC;
	return alloc_guest(vcpu, shared, config);
}

u32 guest_processor_limit(const struct guest_config *config, u32 wanted, const char **why)
{
	const struct vendor *vendor = config->vendor;
	u32 limit = wanted ? MIN(wanted, PROCESSORS_MAX) : PROCESSORS_MAX;

	*why = NULL;
	if (limit == 1)
		return 1;
	*why = vendor->one_processor ? vendor->one_processor() : NULL;
	return *why ? 1 : limit;
}

int guest_add(const struct vcpu *boot, u32 cpu, u32 apic_id, struct vcpu **out)
{
	struct guest_shared *shared = guest_of(boot)->shared;
	struct vcpu *vcpu = memory_take(PAGES_OF(struct vcpu));
	int id, err;

	if (!vcpu)
		return -ENOMEM;
	id = processors_add(&shared->processors, apic_id, false);
	if (id < 0)
		return id;
	vcpu->id = (u32)id;
	vcpu->cpu = cpu;
	err = alloc_guest(vcpu, shared, guest_of(boot)->config);
	if (!err)
		err = vcpu->vendor->vcpu_alloc(vcpu);
	if (err) {
		shared->processors.count--;
		return err;
	}
	for (u32 i = 0; i <= vcpu->id; i++)
		shared->vcpu[i]->several = true;
	*out = vcpu;
	return 0;
}

/* --- on the processor itself ------------------------------------------------------------ */

static void init_guest(struct guest *g)
{
	const struct guest_config *config = g->config;
	struct vcpu *vcpu = g->vcpu;

	g->shadow = config->shadow;
	g->phys_bits = config->host_phys_bits;
	g->ticks_per_us = config->ticks_per_us;
	g->audit_interval = config->audit_interval;
	g->next_whole_audit = config->audit_interval;
	g->task_switches_unseen = config->task_switches_unseen;
	vcpu->next_audit = config->audit_interval ? config->audit_interval : ~0ull;
	vcpu->pat = PAT_RESET;
	vcpu->flush_checked = config->flush_check;
}

/* What differs between processors is read from this one: CPUID, MSRs, the APIC's mode. */
static int init_neutral(struct vcpu *vcpu, const struct guest_config *config)
{
	int err;

	apic_init(vcpu);
	cpuid_init(vcpu, config->cpuid_hide);
	cr_init(vcpu);
	msr_init(vcpu);
	err = sleep_init(vcpu, config->sleep);
	if (!err)
		err = a20_init(vcpu);
	if (!err && debug_hooks)
		err = debug_hooks->init_cpu(vcpu);
	if (err)
		log_error("guest: more I/O traps than there is room for\n");
	return err;
}

int guest_start_other(struct vcpu *vcpu)
{
	struct guest *g = guest_of(vcpu);
	int err;

	init_guest(g);
	err = vcpu->vendor->vcpu_init(vcpu);
	if (err) {
		log_error("guest: %s cannot set up the virtual CPU (error %d)\n", vcpu->vendor->name, err);
		return err;
	}
	g->ops = g->config->flush_check ? &checked_ops : &shadow_ops;
	vcpu->mmu = shadow_mmu_create(g->shadow, g->ops, vcpu, g->pdpt);
	if (!vcpu->mmu) {
		log_error("guest: no memory for the shadow page tables\n");
		return -ENOMEM;
	}
	guest_trace_apply(vcpu);
	return init_neutral(vcpu, g->config);
}

int guest_start(struct vcpu *vcpu)
{
	const struct boot_guest_state *start = guest_of(vcpu)->config->start;
	int err = guest_start_other(vcpu);

	if (err)
		return err;
	set_start_registers(vcpu, start);
	set_flat_segments(vcpu, start);
	cr_apply(vcpu, true);
	return 0;
}
