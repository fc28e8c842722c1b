/* SPDX-License-Identifier: BSD-2-Clause */
/* Checks on guest state, SDM vol. 3 section 26.3.1; see check.h. */
#include "vmx/check_guest.h"

#include "arch/x86/guest/entry_rules.h"
#include "lib/x86.h"
#include "mm/phys.h"
#include "vmx/segments.h"
#include "vmx/vmcs.h"

#define DEBUGCTL_DEFINED (BITS(15, 14) | BITS(12, 6) | BITS(2, 0))

static bool is_ia32e(const struct vmx_check *k)
{
	return k->word[VMX_ENTRY] & ENTRYC_IA32E_GUEST;
}

/* --- control registers, debug registers, MSRs (26.3.1.1) -------------------- */

static void check_control_registers(struct vmx_check *k)
{
	u64 cr0 = vmcs_read_natural(VMCS_GUEST_CR0), cr4 = vmcs_read_natural(VMCS_GUEST_CR4);
	u64 cacheless = cr0 & ~(CR0_NW | CR0_CD);

	EXPECT(vmx_fix_cr0(k->c, cacheless) == cacheless, "CR0: a bit that VMX fixes (26.3.1.1)");
	EXPECT(cr0 & CR0_PE || !(cr0 & CR0_PG), "CR0: PG without PE (26.3.1.1)");
	EXPECT(vmx_fix_cr4(k->c, cr4) == cr4, "CR4: a bit that VMX fixes (26.3.1.1)");
	EXPECT(vmx_check_physical(k, vmcs_read_natural(VMCS_GUEST_CR3)), "CR3: beyond MAXPHYADDR (26.3.1.1)");
	if (is_ia32e(k))
		EXPECT(cr0 & CR0_PG && cr4 & CR4_PAE, "IA-32e guest without CR0.PG or CR4.PAE (26.3.1.1)");
	else
		EXPECT(!(cr4 & CR4_PCIDE), "CR4.PCIDE outside IA-32e mode (26.3.1.1)");
}

static void check_debug(struct vmx_check *k)
{
	if (!(k->word[VMX_ENTRY] & ENTRYC_LOAD_DEBUG))
		return;
	EXPECT(!(vmcs_read64(VMCS_GUEST_DEBUGCTL) & ~DEBUGCTL_DEFINED), "DEBUGCTL: reserved bits (26.3.1.1)");
	EXPECT(!(vmcs_read_natural(VMCS_GUEST_DR7) >> 32), "DR7: high half is not 0 (26.3.1.1)");
}

static void check_msrs(struct vmx_check *k)
{
	u64 efer;

	EXPECT(vmx_check_canonical(vmcs_read_natural(VMCS_GUEST_SYSENTER_ESP)) &&
		       vmx_check_canonical(vmcs_read_natural(VMCS_GUEST_SYSENTER_EIP)),
	       "SYSENTER_ESP or EIP: not canonical (26.3.1.1)");
	if (!(k->word[VMX_ENTRY] & ENTRYC_LOAD_EFER))
		return;
	efer = vmcs_read64(VMCS_GUEST_EFER);
	EXPECT(!(efer & ~VMX_EFER_DEFINED), "EFER: reserved bits (26.3.1.1)");
	EXPECT(!!(efer & EFER_LMA) == is_ia32e(k), "EFER.LMA differs from the control IA32E_GUEST (26.3.1.1)");
	EXPECT(!(vmcs_read_natural(VMCS_GUEST_CR0) & CR0_PG) || !(efer & EFER_LMA) == !(efer & EFER_LME),
	       "EFER.LME differs from LMA with paging on (26.3.1.1)");
}

/* 26.3.1.3 */
static void check_tables(struct vmx_check *k, const struct entry_segments *m)
{
	for (u32 i = SEG_GDTR; i <= SEG_IDTR; i++) {
		const struct segment *s = &m->segment[i];

		vmx_expect(k, vmx_check_canonical(s->base), entry_segment_name((enum segment_name)i),
			   "base not canonical (26.3.1.3)");
		vmx_expect(k, !(s->limit >> 16), entry_segment_name((enum segment_name)i),
			   "limit above 0xffff (26.3.1.3)");
	}
}

/* --- RIP and RFLAGS (26.3.1.4) ------------------------------------------------ */

#define RFLAGS_RESERVED (BITS(63, 22) | BIT(15) | BIT(5) | BIT(3))

static u32 injected(u32 *type)
{
	u32 info = vmcs_read32(VMCS_ENTRY_INTR_INFO);

	*type = (u32)((info & INTR_INFO_TYPE_MASK) >> INTR_INFO_TYPE_SHIFT);
	return info & INTR_INFO_VALID ? info : 0;
}

static void check_rip(struct vmx_check *k, const struct entry_segments *m)
{
	u64 rip = vmcs_read_natural(VMCS_GUEST_RIP), rflags = vmcs_read_natural(VMCS_GUEST_RFLAGS);
	u32 type, info = injected(&type);

	if (m->ia32e && m->segment[SEG_CS].attributes & SEG_ATTR_L)
		EXPECT(vmx_check_canonical(rip), "RIP: not canonical (26.3.1.4)");
	else
		EXPECT(!(rip >> 32), "RIP: high half is not 0 outside 64-bit mode (26.3.1.4)");
	EXPECT(!(rflags & RFLAGS_RESERVED) && rflags & RFLAGS_FIXED, "RFLAGS: reserved bits (26.3.1.4)");
	EXPECT(!m->ia32e || !(rflags & RFLAGS_VM), "RFLAGS.VM in IA-32e mode (26.3.1.4)");
	EXPECT(!info || type != INTR_TYPE_EXTERNAL || rflags & RFLAGS_IF,
	       "external interrupt injected with RFLAGS.IF = 0 (26.3.1.4)");
}

/* --- what is not a register (26.3.1.5) ---------------------------------------- */

#define INTERRUPTIBILITY_RESERVED BITS(31, 5)
#define PENDING_DEBUG_RESERVED (BITS(63, 17) | BIT(15) | BIT(13) | BITS(11, 4))

static void check_activity(struct vmx_check *k, const struct entry_segments *m)
{
	static const u64 supported[] = {
		[ACTIVITY_HLT] = MISC_ACTIVITY_HLT,
		[ACTIVITY_SHUTDOWN] = MISC_ACTIVITY_SHUTDOWN,
		[ACTIVITY_WAIT_FOR_SIPI] = MISC_ACTIVITY_SIPI,
	};
	u32 activity = vmcs_read32(VMCS_GUEST_ACTIVITY), blocking = vmcs_read32(VMCS_GUEST_INTERRUPTIBILITY);

	EXPECT(activity == ACTIVITY_ACTIVE || (activity < ARRAY_SIZE(supported) && k->c->misc & supported[activity]),
	       "activity state: not supported (26.3.1.5)");
	EXPECT(activity != ACTIVITY_HLT || !SEG_ATTR_DPL(m->segment[SEG_SS].attributes),
	       "activity state: HLT outside ring 0 (26.3.1.5)");
	EXPECT(activity == ACTIVITY_ACTIVE || !(blocking & BLOCKING_SHADOW),
	       "activity state: not active under a shadow (26.3.1.5)");
}

/* In HLT: interrupts, NMI, #DB and #MC (26.3.1.5). */
static void check_activity_injection(struct vmx_check *k)
{
	u32 type, info = injected(&type), vector = info & INTR_INFO_VECTOR_MASK;
	bool wakes = type == INTR_TYPE_EXTERNAL || type == INTR_TYPE_NMI ||
		     (type == INTR_TYPE_EXCEPTION && (vector == VEC_DB || vector == VEC_MC));

	EXPECT(!info || vmcs_read32(VMCS_GUEST_ACTIVITY) != ACTIVITY_HLT || wakes,
	       "activity state: HLT with an event that does not end it (26.3.1.5)");
}

static void check_interruptibility(struct vmx_check *k)
{
	u32 state = vmcs_read32(VMCS_GUEST_INTERRUPTIBILITY), type, info = injected(&type);
	bool interrupt = info && type == INTR_TYPE_EXTERNAL, nmi = info && type == INTR_TYPE_NMI;

	EXPECT(!(state & INTERRUPTIBILITY_RESERVED), "interruptibility: reserved bits (26.3.1.5)");
	EXPECT((state & BLOCKING_SHADOW) != BLOCKING_SHADOW, "interruptibility: both STI and MOV SS (26.3.1.5)");
	EXPECT(!(state & BLOCKING_STI) || vmcs_read_natural(VMCS_GUEST_RFLAGS) & RFLAGS_IF,
	       "interruptibility: STI with RFLAGS.IF = 0 (26.3.1.5)");
	EXPECT(!interrupt || !(state & BLOCKING_SHADOW), "interrupt injected under a shadow (26.3.1.5)");
	EXPECT(!nmi || !(state & BLOCKING_MOV_SS), "NMI injected under a shadow (26.3.1.5)");
	EXPECT(!(state & BLOCKING_SMI), "interruptibility: SMI blocking outside SMM (26.3.1.5)");
	EXPECT(!nmi || !(k->word[VMX_PIN] & PIN_VIRTUAL_NMIS) || !(state & BLOCKING_NMI),
	       "NMI injected while virtual NMIs are blocked (26.3.1.5)");
}

static void check_pending_debug(struct vmx_check *k)
{
	u64 pending = vmcs_read_natural(VMCS_GUEST_PENDING_DEBUG);
	bool step = vmcs_read_natural(VMCS_GUEST_RFLAGS) & RFLAGS_TF &&
		    !(vmcs_read64(VMCS_GUEST_DEBUGCTL) & DEBUGCTL_BTF);
	bool held = vmcs_read32(VMCS_GUEST_INTERRUPTIBILITY) & BLOCKING_SHADOW ||
		    vmcs_read32(VMCS_GUEST_ACTIVITY) == ACTIVITY_HLT;

	EXPECT(!(pending & PENDING_DEBUG_RESERVED), "pending debug exceptions: reserved bits (26.3.1.5)");
	EXPECT(!held || !!(pending & PENDING_DEBUG_BS) == step,
	       "pending debug exceptions: BS differs from TF (26.3.1.5)");
}

/* --- PDPTEs (26.3.1.6) -------------------------------------------------------- */

#define PAE_CR3_ADDRESS BITS(31, 5)
#define ABOVE_52_BITS BITS(63, 52)

/* Without EPT they come from the memory that CR3 points at, which is the hypervisor's. */
static void check_pdptes(struct vmx_check *k)
{
	u64 cr3 = vmcs_read_natural(VMCS_GUEST_CR3) & PAE_CR3_ADDRESS;
	const u64 *pdpt;

	if (is_ia32e(k) || !(vmcs_read_natural(VMCS_GUEST_CR0) & CR0_PG))
		return;
	EXPECT(cr3, "CR3: no PAE root");
	if (!cr3)
		return;
	pdpt = phys_to_virt(hpa(cr3));
	for (u32 i = 0; i < 4; i++)
		EXPECT(!(pdpt[i] & PTE_P) || (!(pdpt[i] & (PDPTE_RESERVED | ABOVE_52_BITS)) &&
					      vmx_check_physical(k, pdpt[i] & PTE_ADDR_MASK)),
		       "PDPTE: reserved bits (26.3.1.6)");
}

static void report_rule(void *k, const char *subject, const char *rule)
{
	vmx_expect(k, false, subject, rule);
}

void vmx_check_guest(struct vmx_check *k)
{
	struct entry_segments mode = {
		.ia32e = is_ia32e(k),
		.v8086 = vmcs_read_natural(VMCS_GUEST_RFLAGS) & RFLAGS_VM,
	};

	for (u32 i = 0; i < SEG_COUNT; i++)
		vmx_segment_get((enum segment_name)i, &mode.segment[i]);
	check_control_registers(k);
	check_debug(k);
	check_msrs(k);
	entry_rules_check(&mode, report_rule, k);
	check_tables(k, &mode);
	check_rip(k, &mode);
	check_activity(k, &mode);
	check_activity_injection(k);
	check_interruptibility(k);
	check_pending_debug(k);
	EXPECT(vmcs_read64(VMCS_GUEST_LINK_POINTER) == ~0ull, "VMCS link pointer is not all ones (26.3.1.5)");
	check_pdptes(k);
}
