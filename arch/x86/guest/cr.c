/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Control-register writes are checked in full before anything changes. The
 * hardware holds CR0 | PG | WP and CR4 | PAE; reads exit only while the guest's
 * own value differs from that.
 */
#include "arch/x86/guest/cpuid.h"
#include "arch/x86/guest/cr.h"
#include "arch/x86/guest/emulate_memory.h"
#include "arch/x86/guest/hw.h"
#include "arch/x86/guest/inject.h"
#include "arch/x86/guest/insn.h"
#include "arch/x86/guest/state.h"
#include "arch/x86/memory.h"
#include "mm/gpt.h"
#include "mm/shadow.h"

#define CR0_DEFINED \
	(CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG)
#define CR0_LMSW_MASK (CR0_PE | CR0_MP | CR0_EM | CR0_TS)
/* Writes of CR4 that flush: SDM vol. 3 section 4.10.4.1, APM vol. 2 section 5.5.2. */
#define CR4_FLUSHES \
	(CR4_PGE | CR4_PAE | CR4_PSE | CR4_SMEP | CR4_SMAP | CR4_PCIDE | CR4_LA57 | CR4_PKE | CR4_PKS | CR4_CET)
/* Changes that make PAE paging load its four top entries again, SDM vol. 3 section 4.4.1. */
#define CR0_RELOADS (CR0_CD | CR0_NW | CR0_PG)
#define CR4_RELOADS (CR4_PAE | CR4_PGE | CR4_PSE | CR4_SMEP)

#define PDPTE_COUNT 4

static u64 above_phys_bits(const struct guest *g)
{
	return g->phys_bits < 64 ? ~0ull << g->phys_bits : 0;
}

/* CR4 bits and the CPUID bit that each depends on, SDM vol. 3 section 2.5. */
static const struct {
	u64 cr4;
	u32 leaf;
	u8 reg;
	u32 mask;
} cr4_features[] = {
	{CR4_VME | CR4_PVI, 1, CPUID_EDX, CPUID1_EDX_VME},
	{CR4_TSD, 1, CPUID_EDX, CPUID1_EDX_TSC},
	{CR4_DE, 1, CPUID_EDX, CPUID1_EDX_DE},
	{CR4_PSE, 1, CPUID_EDX, CPUID1_EDX_PSE},
	{CR4_PAE, 1, CPUID_EDX, CPUID1_EDX_PAE},
	{CR4_MCE, 1, CPUID_EDX, CPUID1_EDX_MCE},
	{CR4_PGE, 1, CPUID_EDX, CPUID1_EDX_PGE},
	{CR4_OSFXSR, 1, CPUID_EDX, CPUID1_EDX_FXSR},
	{CR4_OSXMMEXCPT, 1, CPUID_EDX, CPUID1_EDX_SSE},
	{CR4_PCIDE, 1, CPUID_ECX, CPUID1_ECX_PCID},
	{CR4_OSXSAVE, 1, CPUID_ECX, CPUID1_ECX_XSAVE},
	{CR4_UMIP, 7, CPUID_ECX, CPUID7_ECX_UMIP},
	{CR4_LA57, 7, CPUID_ECX, CPUID7_ECX_LA57},
	{CR4_FSGSBASE, 7, CPUID_EBX, CPUID7_EBX_FSGSBASE},
	{CR4_SMEP, 7, CPUID_EBX, CPUID7_EBX_SMEP},
	{CR4_SMAP, 7, CPUID_EBX, CPUID7_EBX_SMAP},
	{CR4_PKE, 7, CPUID_ECX, CPUID7_ECX_PKU},
};

void cr_init(struct vcpu *vcpu)
{
	struct guest *g = guest_of(vcpu);

	g->cr4_valid = CR4_PCE;
	for (u32 i = 0; i < ARRAY_SIZE(cr4_features); i++)
		if (cpuid_has(vcpu, cr4_features[i].leaf, cr4_features[i].reg, cr4_features[i].mask))
			g->cr4_valid |= cr4_features[i].cr4;
	g->efer_valid = EFER_LMA;
	if (cpuid_has(vcpu, CPUID_LEAF_EXT1, CPUID_EDX, CPUIDE1_EDX_SYSCALL))
		g->efer_valid |= EFER_SCE;
	if (cpuid_has(vcpu, CPUID_LEAF_EXT1, CPUID_EDX, CPUIDE1_EDX_NX))
		g->efer_valid |= EFER_NXE;
	if (cpuid_has(vcpu, CPUID_LEAF_EXT1, CPUID_EDX, CPUIDE1_EDX_FFXSR))
		g->efer_valid |= EFER_FFXSR;
	if (cpuid_has(vcpu, CPUID_LEAF_EXT1, CPUID_EDX, CPUIDE1_EDX_LM))
		g->efer_valid |= EFER_LME;
	if (cpuid_has(vcpu, CPUID_LEAF_EXT1, CPUID_ECX, CPUIDE1_ECX_TCE))
		g->efer_valid |= EFER_TCE;
	g->pages_1g = cpuid_has(vcpu, CPUID_LEAF_EXT1, CPUID_EDX, CPUIDE1_EDX_PAGES_1G);
}

void cr_set_read_intercepts(struct vcpu *vcpu)
{
	u32 mask = INTERCEPT_CR3_READ | INTERCEPT_INVLPG;

	if (~vcpu->cr0 & (CR0_PG | CR0_WP))
		mask |= INTERCEPT_CR0_READ;
	if (~vcpu->cr4 & CR4_PAE)
		mask |= INTERCEPT_CR4_READ;
	vcpu->vendor->set_intercepts(vcpu, mask | vcpu->debug_intercepts);
}

static void set_paging(struct vcpu *vcpu, bool flush)
{
	const struct guest *g = guest_of(vcpu);
	struct shadow_paging paging = {
		.cr0 = vcpu->cr0,
		.cr3 = vcpu->cr3,
		.cr4 = vcpu->cr4,
		.efer = vcpu->efer,
		.pat = vcpu->pat,
		.phys_bits = g->phys_bits,
		.pages_1g = g->pages_1g,
	};

	for (u32 i = 0; i < PDPTE_COUNT; i++)
		paging.pdpte[i] = g->pdpte[i];
	if (flush)
		vcpu_note_event(vcpu, NOTED_FLUSH_ALL, 0);
	shadow_set_paging(vcpu->mmu, &paging, flush);
}

void cr_set_check_root(struct vcpu *vcpu)
{
	vcpu->check_root = (guest_of(vcpu)->task_switches_unseen && !in_long_mode(vcpu)) || vcpu->stepped;
}

void cr_apply(struct vcpu *vcpu, bool flush)
{
	cr_set_check_root(vcpu);
	vcpu->vendor->update_control(vcpu);
	cr_set_read_intercepts(vcpu);
	set_paging(vcpu, flush);
}

static bool is_pae(u64 cr0, u64 cr4, u64 efer)
{
	return cr0 & CR0_PG && cr4 & CR4_PAE && !(efer & EFER_LMA);
}

/* Loads the PDPTEs of a PAE guest; -EINVAL if one has reserved bits (none is changed then). */
static int load_pdptes(struct vcpu *vcpu, u64 cr3)
{
	struct guest *g = guest_of(vcpu);
	struct gpt_context ctx = {
		.regions = memory_regions(),
		.mode = GPT_PAE,
		.phys_bits = g->phys_bits,
		.cr3 = cr3,
	};
	u64 entry[PDPTE_COUNT], reserved = PDPTE_RESERVED | above_phys_bits(g);

	for (u32 i = 0; i < PDPTE_COUNT; i++) {
		entry[i] = gpt_read_entry(&ctx, (u32)cr3 >> PAGE_SHIFT, (cr3 >> 3 & 0x1fc) + i);
		if (entry[i] & PTE_P && entry[i] & reserved)
			return -EINVAL;
	}
	for (u32 i = 0; i < PDPTE_COUNT; i++)
		g->pdpte[i] = entry[i];
	return 0;
}

static bool code_is_64bit(const struct vcpu *vcpu)
{
	return insn_code_bits(vcpu) == 64;
}

/* SDM vol. 2 "MOV - Move to/from Control Registers": #GP for a 16-bit TSS; the APM has no such rule. */
static bool task_fits_ia32e(const struct vcpu *vcpu)
{
	struct segment tr;

	if (guest_of(vcpu)->cpuid.amd)
		return true;
	vcpu->vendor->get_segment(vcpu, SEG_TR, &tr);
	return tr.attributes & SEG_TYPE_TSS32;
}

/* Turning paging on with LME set enters IA-32e mode, SDM vol. 3 section 9.8.5. */
static int check_paging_on(const struct vcpu *vcpu)
{
	struct segment cs;

	if (!(vcpu->efer & EFER_LME))
		return 0;
	vcpu->vendor->get_segment(vcpu, SEG_CS, &cs);
	return !(vcpu->cr4 & CR4_PAE) || cs.attributes & SEG_ATTR_L || !task_fits_ia32e(vcpu) ? -EINVAL : 0;
}

static int check_paging_off(const struct vcpu *vcpu)
{
	return vcpu->cr4 & CR4_PCIDE || code_is_64bit(vcpu) ? -EINVAL : 0;
}

static int check_cr0(const struct vcpu *vcpu, u64 value)
{
	if (value >> 32 || (value & CR0_NW && !(value & CR0_CD)))
		return -EINVAL;
	if (value & CR0_PG && !(value & CR0_PE))
		return -EINVAL;
	if (!(value & CR0_WP) && vcpu->cr4 & CR4_CET)
		return -EINVAL;
	if (!((value ^ vcpu->cr0) & CR0_PG))
		return 0;
	return value & CR0_PG ? check_paging_on(vcpu) : check_paging_off(vcpu);
}

int cr_write_cr0(struct vcpu *vcpu, u64 value)
{
	u64 changed, efer = vcpu->efer;
	int err = check_cr0(vcpu, value);

	if (err)
		return err;
	value = (value & CR0_DEFINED) | CR0_ET;
	changed = value ^ vcpu->cr0;
	if (changed & CR0_PG)
		efer = value & CR0_PG && efer & EFER_LME ? efer | EFER_LMA : efer & ~EFER_LMA;
	if (changed & CR0_RELOADS && is_pae(value, vcpu->cr4, efer)) {
		err = load_pdptes(vcpu, vcpu->cr3);
		if (err)
			return err;
	}
	vcpu->cr0 = value;
	vcpu->efer = efer;
	if (!(changed & (CR0_PG | CR0_WP | CR0_RELOADS))) {
		/* TS, MP, EM, NE, AM, PE: nothing that translation depends on. */
		vcpu->vendor->update_control(vcpu);
		return 0;
	}
	cr_apply(vcpu, changed & CR0_PG);
	return 0;
}

static NOINLINE int write_cr3_other(struct vcpu *vcpu, u64 value)
{
	const struct guest *g = guest_of(vcpu);
	bool no_flush = vcpu->cr4 & CR4_PCIDE && value & CR3_NO_FLUSH;
	int err;

	if (vcpu->cr4 & CR4_PCIDE)
		value &= ~CR3_NO_FLUSH;
	if (in_long_mode(vcpu)) {
		if (value & above_phys_bits(g))
			return -EINVAL;
	} else {
		value = (u32)value;
	}
	if (is_pae(vcpu->cr0, vcpu->cr4, vcpu->efer)) {
		err = load_pdptes(vcpu, value);
		if (err)
			return err;
	}
	vcpu->cr3 = value;
	set_paging(vcpu, !no_flush);
	return 0;
}

/* Mostly CR3 is all that changes, and is flushed for. Each time that it is asked to come again the flush is smaller. */
int cr_write_cr3(struct vcpu *vcpu, u64 value)
{
	if (unlikely(!in_long_mode(vcpu) || (vcpu->cr4 & CR4_PCIDE) || (value & above_phys_bits(guest_of(vcpu)))))
		return write_cr3_other(vcpu, value);
	if (unlikely(!shadow_set_cr3(vcpu->mmu, value)))
		return -EAGAIN;
	vcpu->cr3 = value;
	vcpu_note_event(vcpu, NOTED_FLUSH_ALL, 0);
	return 0;
}

static int check_cr4(const struct vcpu *vcpu, u64 value)
{
	u64 changed = value ^ vcpu->cr4;

	if (value & ~guest_of(vcpu)->cr4_valid)
		return -EINVAL;
	if (in_long_mode(vcpu) && (!(value & CR4_PAE) || changed & CR4_LA57))
		return -EINVAL;
	if (value & changed & CR4_PCIDE && (!in_long_mode(vcpu) || vcpu->cr3 & CR3_PCID_MASK))
		return -EINVAL;
	if (value & CR4_CET && !(vcpu->cr0 & CR0_WP))
		return -EINVAL;
	return 0;
}

int cr_write_cr4(struct vcpu *vcpu, u64 value)
{
	u64 changed = value ^ vcpu->cr4;
	int err = check_cr4(vcpu, value);

	if (err)
		return err;
	if (changed & CR4_RELOADS && is_pae(vcpu->cr0, value, vcpu->efer)) {
		err = load_pdptes(vcpu, vcpu->cr3);
		if (err)
			return err;
	}
	vcpu->cr4 = value;
	cr_apply(vcpu, changed & CR4_FLUSHES);
	return 0;
}

int cr_write_efer(struct vcpu *vcpu, u64 value)
{
	u64 changed;

	if (value & ~guest_of(vcpu)->efer_valid)
		return -EINVAL;
	/* LMA is the CPU's own. */
	value = (value & ~EFER_LMA) | (vcpu->efer & EFER_LMA);
	changed = value ^ vcpu->efer;
	if (changed & EFER_LME && vcpu->cr0 & CR0_PG)
		return -EINVAL;
	vcpu->efer = value;
	cr_apply(vcpu, changed & EFER_NXE);
	return 0;
}

static u64 read_cr(const struct vcpu *vcpu, u8 cr)
{
	switch (cr) {
	case 0: return vcpu->cr0;
	case 2: return vcpu->cr2;
	case 3: return vcpu->cr3;
	case 8: return hw_read_cr8(); /* the APIC is the guest's: so is the register */
	default: return vcpu->cr4;
	}
}

/* SMSW: 16 bits to memory, the operand's size to a register. */
static void store_msw(struct vcpu *vcpu, const struct insn *insn)
{
	u64 *reg = &vcpu->gpr[insn->rm];
	u16 msw = vcpu->cr0;
	gva_t gva;

	if (insn->has_mem) {
		if (insn_memory_operand(vcpu, insn, sizeof(msw), SEGMENT_WRITE, &gva) ||
		    emulate_write(vcpu, gva, &msw, sizeof(msw)))
			return;
	} else if (insn->opsize == 2) {
		*reg = (*reg & ~0xffffull) | msw;
	} else {
		*reg = insn_truncate(vcpu->cr0, insn->opsize);
	}
	insn_skip(vcpu);
}

void cr_handle_read(struct vcpu *vcpu)
{
	struct vcpu_exit *exit = &vcpu->exit;
	struct insn insn = {0};
	u64 value;

	insn_fill_exit(vcpu);
	if (!exit->operand_known && insn_exit_operands(vcpu, &insn))
		return;
	if (exit->lmsw) {
		store_msw(vcpu, &insn);
		return;
	}
	if ((exit->cr > 4 && exit->cr != 8) || exit->cr == 1) {
		inject_ud(vcpu);
		return;
	}
	value = read_cr(vcpu, exit->cr);
	vcpu->gpr[exit->gpr] = code_is_64bit(vcpu) ? value : (u32)value;
	insn_skip(vcpu);
}

static int write_cr(struct vcpu *vcpu, const struct vcpu_exit *exit)
{
	u64 value = vcpu->gpr[exit->gpr];

	if (exit->clts)
		return cr_write_cr0(vcpu, vcpu->cr0 & ~CR0_TS);
	if (exit->lmsw) /* LMSW sets PE, never clears it */
		return cr_write_cr0(vcpu,
				    (vcpu->cr0 & ~(CR0_LMSW_MASK & ~CR0_PE)) | (exit->lmsw_value & CR0_LMSW_MASK));
	if (!code_is_64bit(vcpu))
		value = (u32)value;
	switch (exit->cr) {
	case 0: return cr_write_cr0(vcpu, value);
	case 3: return cr_write_cr3(vcpu, value);
	case 4: return cr_write_cr4(vcpu, value);
	default: return -ENOENT;
	}
}

void cr_handle_write(struct vcpu *vcpu)
{
	struct insn insn;
	int err;

	insn_fill_exit(vcpu);
	if (!vcpu->exit.operand_known && insn_exit_operands(vcpu, &insn))
		return;
	/* The length first: the write may change how code is decoded. */
	if (!vcpu->exit.insn_len) {
		if (insn_fetch(vcpu, &insn))
			return;
		vcpu->exit.insn_len = insn.len;
	}
	err = write_cr(vcpu, &vcpu->exit);
	if (err == -EAGAIN)
		return;
	if (err == -ENOENT)
		inject_ud(vcpu);
	else if (err)
		inject_gp(vcpu);
	else
		insn_skip(vcpu);
}

static bool all_or_none(u64 value, u64 mask)
{
	return !(value & mask) || (value & mask) == mask;
}

static bool xcr0_is_legal(const struct guest *g, u64 value)
{
	if (!(value & XCR0_X87) || value & ~g->cpuid.xcr0_valid)
		return false;
	if (value & XCR0_AVX && !(value & XCR0_SSE))
		return false;
	if (value & XCR0_AVX512 && !(value & XCR0_AVX))
		return false;
	return all_or_none(value, XCR0_MPX) && all_or_none(value, XCR0_AVX512) && all_or_none(value, XCR0_AMX);
}

void cr_handle_xsetbv(struct vcpu *vcpu)
{
	u32 index = vcpu->gpr[GPR_RCX];
	u64 value = (u32)vcpu->gpr[GPR_RAX] | vcpu->gpr[GPR_RDX] << 32;

	if (!(vcpu->cr4 & CR4_OSXSAVE))
		inject_ud(vcpu);
	else if (vcpu->cpl || index || !xcr0_is_legal(guest_of(vcpu), value) || hw_xsetbv(index, value))
		inject_gp(vcpu);
	else
		insn_skip(vcpu);
}
