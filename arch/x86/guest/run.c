/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Making a virtual CPU, what comes between an exit and the next entry, and the
 * end of a guest that cannot go on. The shadow is audited every so many exits
 * when asked to.
 */
#include "arch/x86/guest/a20.h"
#include "arch/x86/guest/apic.h"
#include "arch/x86/guest/cpuid.h"
#include "arch/x86/guest/cr.h"
#include "arch/x86/guest/exits.h"
#include "arch/x86/guest/guest.h"
#include "arch/x86/guest/hw.h"
#include "arch/x86/guest/msr.h"
#include "arch/x86/guest/sleep.h"
#include "arch/x86/guest/state.h"
#include "arch/x86/log.h"
#include "arch/x86/memory.h"
#include "lib/printf.h"
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
	.flush = flush_tag, .flush_page = flush_page, .trap_invlpg = trap_invlpg, .read_pkru = hw_read_pkru,
};

/* Access rights of flat segments: type, S, DPL 0, P, G, and L or D/B. */
#define FLAT_CODE64 0xa09bu
#define FLAT_CODE32 0xc09bu
#define FLAT_DATA 0xc093u

static void set_flat_segments(struct vcpu *vcpu, const struct boot_guest_state *start)
{
	static const enum segment_name data[] = {SEG_DS, SEG_ES, SEG_SS, SEG_FS, SEG_GS};
	bool mode64 = start->mode == BOOT_GUEST_LONG64;
	struct segment s = {
		.selector = start->cs, .limit = 0xffffffff, .attributes = mode64 ? FLAT_CODE64 : FLAT_CODE32,
	};

	vcpu->vendor->set_segment(vcpu, SEG_CS, &s);
	s.selector = start->ds;
	s.attributes = FLAT_DATA;
	for (u32 i = 0; i < ARRAY_SIZE(data); i++)
		vcpu->vendor->set_segment(vcpu, data[i], &s);
	s = (struct segment){ .base = start->gdt_base, .limit = start->gdt_limit };
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
	int err;

	if (!g) {
		log_error("guest: no memory for the virtual CPU\n");
		return -ENOMEM;
	}
	g->vcpu = vcpu;
	g->shadow = config->shadow;
	g->phys_bits = config->host_phys_bits;
	g->audit_interval = config->audit_interval;
	g->task_switches_unseen = config->task_switches_unseen;
	vcpu->next_audit = config->audit_interval ? config->audit_interval : ~0ull;
	vcpu->guest = g;
	vcpu->vendor = config->vendor;
	err = config->vendor->vcpu_init(vcpu);
	if (err) {
		log_error("guest: %s cannot set up the virtual CPU (error %d)\n", config->vendor->name, err);
		return err;
	}
	vcpu->mmu = shadow_mmu_create(config->shadow, &shadow_ops, vcpu);
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

static void audit(struct guest *g, struct vcpu *vcpu)
{
	u32 mismatches;

	vcpu->next_audit = vcpu->exits + g->audit_interval;
	mismatches = shadow_audit(vcpu->mmu);
	if (mismatches)
		panic("shadow audit after %llu exits: %u mismatches", (unsigned long long)vcpu->exits,
		      mismatches);
}

static void load_root(struct guest *g, struct vcpu *vcpu)
{
	u32 tag;
	hpa_t root = shadow_prepare_entry(vcpu->mmu, &tag);

	if (likely(root.v == vcpu->root.v && tag == g->tag))
		return;
	vcpu->root = root;
	g->tag = tag;
	vcpu->vendor->set_shadow_root(vcpu, root, tag);
}

void guest_prepare_entry(struct vcpu *vcpu)
{
	struct guest *g = guest_of(vcpu);

	if (unlikely(vcpu->exits >= vcpu->next_audit))
		audit(g, vcpu);
	load_root(g, vcpu);
}

static NORETURN void stop_foreign_root(struct vcpu *vcpu)
{
	guest_stop(vcpu, "the processor holds %llx in CR3, not the shadow's root %llx: the guest made a hardware task "
		   "switch, which this processor does without the exit asked for (docs/hardware.md)",
		   (unsigned long long)vcpu->vendor->hardware_root(vcpu).v, (unsigned long long)vcpu->root.v);
}

void guest_exit(struct vcpu *vcpu)
{
	if (!guest_root_is_ours(vcpu))
		stop_foreign_root(vcpu);
	exit_dispatch(vcpu);
	if (guest_entry_due(vcpu))
		guest_prepare_entry(vcpu);
}

NORETURN void guest_run(struct vcpu *vcpu)
{
	guest_prepare_entry(vcpu);
	vcpu->vendor->run(vcpu);
}

#define X(name, text) text,
static const char *const kind_text[EXIT_KIND_COUNT] = { EXIT_KINDS(X) };
#undef X

static void dump_ring(const struct vcpu *vcpu)
{
	u64 count = MIN(vcpu->exits, EXIT_RING);

	log_error("the last %u exits, oldest first:\n", (u32)count);
	for (u64 i = vcpu->exits - count; i != vcpu->exits; i++) {
		const struct exit_record *r = &vcpu->ring[i % EXIT_RING];

		log_error("  %-24s rip %016llx raw %x info %llx %llx\n",
			  r->kind < EXIT_KIND_COUNT ? kind_text[r->kind] : "?", (unsigned long long)r->rip,
			  r->raw, (unsigned long long)r->info1, (unsigned long long)r->info2);
	}
}

NORETURN void guest_stop(struct vcpu *vcpu, const char *format, ...)
{
	char message[256];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	log_take_console();
	log_error("guest stopped: %s\n", message);
	log_error("rip %016llx after %llu exits\n", (unsigned long long)vcpu->rip,
		  (unsigned long long)vcpu->exits);
	vcpu->vendor->dump(vcpu);
	dump_ring(vcpu);
	log_error("the guest has stopped; reset the machine or switch it off\n");
	hw_stop();
}
