/* SPDX-License-Identifier: BSD-2-Clause */
/* Checks on guest state, SDM vol. 3 section 26.3.1; see check.h. */
#include "vmx/check_guest.h"

#include "lib/x86.h"
#include "mm/phys.h"
#include "vmx/segments.h"
#include "vmx/vmcs.h"

#define DEBUGCTL_DEFINED (BITS(15, 14) | BITS(12, 6) | BITS(2, 0))
#define SELECTOR_RPL BITS(1, 0)
#define SELECTOR_TI BIT(2)
#define ATTR_TYPE(attributes) ((attributes)&15)
#define ATTR_RESERVED (BITS(31, 17) | BITS(11, 8))
#define ATTR_V8086 0xf3u
#define TYPE_ACCESSED BIT(0)
#define TYPE_READABLE BIT(1)
#define TYPE_CODE BIT(3)
#define TYPE_LDT 2u
#define TYPE_TSS16_BUSY 3u
#define TYPE_TSS_BUSY 11u

static const char *const segment_names[SEG_COUNT] = {
	"ES", "CS", "SS", "DS", "FS", "GS", "LDTR", "TR", "GDTR", "IDTR",
};

/* What the segment checks need to know of the rest. */
struct guest_mode {
	bool ia32e, v8086;
	struct segment segment[SEG_COUNT];
};

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

/* --- segments (26.3.1.2) ------------------------------------------------------ */

static bool is_usable(const struct segment *s)
{
	return !(s->attributes & SEG_ATTR_UNUSABLE);
}

static void check_selectors(struct vmx_check *k, const struct guest_mode *m)
{
	const struct segment *s = m->segment;

	EXPECT(!(s[SEG_TR].selector & SELECTOR_TI), "TR selector: TI is 1 (26.3.1.2)");
	EXPECT(!is_usable(&s[SEG_LDTR]) || !(s[SEG_LDTR].selector & SELECTOR_TI),
	       "LDTR selector: TI is 1 (26.3.1.2)");
	EXPECT(m->v8086 || (s[SEG_SS].selector & SELECTOR_RPL) == (s[SEG_CS].selector & SELECTOR_RPL),
	       "SS and CS selectors: RPL differs (26.3.1.2)");
}

static void check_bases(struct vmx_check *k, const struct guest_mode *m)
{
	const struct segment *s = m->segment;

	EXPECT(vmx_check_canonical(s[SEG_TR].base) && vmx_check_canonical(s[SEG_FS].base) &&
		       vmx_check_canonical(s[SEG_GS].base),
	       "TR, FS or GS base: not canonical (26.3.1.2)");
	EXPECT(!is_usable(&s[SEG_LDTR]) || vmx_check_canonical(s[SEG_LDTR].base),
	       "LDTR base: not canonical (26.3.1.2)");
	EXPECT(!(s[SEG_CS].base >> 32), "CS base: high half is not 0 (26.3.1.2)");
	EXPECT((!is_usable(&s[SEG_SS]) || !(s[SEG_SS].base >> 32)) &&
		       (!is_usable(&s[SEG_DS]) || !(s[SEG_DS].base >> 32)) &&
		       (!is_usable(&s[SEG_ES]) || !(s[SEG_ES].base >> 32)),
	       "SS, DS or ES base: high half is not 0 (26.3.1.2)");
}

static bool granularity_holds(const struct segment *s)
{
	if (s->attributes & SEG_ATTR_G)
		return (s->limit & 0xfff) == 0xfff;
	return !(s->limit >> 20);
}

/* What every usable register needs. */
static void check_common(struct vmx_check *k, const struct guest_mode *m, enum segment_name which, bool system)
{
	const struct segment *s = &m->segment[which];
	const char *name = segment_names[which];

	vmx_expect(k, !(s->attributes & SEG_ATTR_S) == system, name, "descriptor type S (26.3.1.2)");
	vmx_expect(k, s->attributes & SEG_ATTR_P, name, "not present (26.3.1.2)");
	vmx_expect(k, !(s->attributes & ATTR_RESERVED), name, "reserved access-rights bits (26.3.1.2)");
	vmx_expect(k, granularity_holds(s), name, "limit and granularity disagree (26.3.1.2)");
}

static void check_cs(struct vmx_check *k, const struct guest_mode *m)
{
	const struct segment *cs = &m->segment[SEG_CS], *ss = &m->segment[SEG_SS];
	u32 type = ATTR_TYPE(cs->attributes), dpl = SEG_ATTR_DPL(cs->attributes),
	    ss_dpl = SEG_ATTR_DPL(ss->attributes);

	EXPECT((type & (TYPE_CODE | TYPE_ACCESSED)) == (TYPE_CODE | TYPE_ACCESSED),
	       "CS: not accessed code (26.3.1.2)");
	/* Types 9 and 11 are not conforming. */
	EXPECT(type & BIT(2) ? dpl <= ss_dpl : dpl == ss_dpl, "CS: DPL does not fit SS.DPL (26.3.1.2)");
	EXPECT(!(m->ia32e && cs->attributes & SEG_ATTR_L) || !(cs->attributes & SEG_ATTR_DB),
	       "CS: D is 1 in 64-bit code (26.3.1.2)");
	check_common(k, m, SEG_CS, false);
}

static void check_ss(struct vmx_check *k, const struct guest_mode *m)
{
	const struct segment *ss = &m->segment[SEG_SS];
	u32 type = ATTR_TYPE(ss->attributes);

	EXPECT(SEG_ATTR_DPL(ss->attributes) == (ss->selector & SELECTOR_RPL), "SS: DPL is not RPL (26.3.1.2)");
	if (!is_usable(ss))
		return;
	EXPECT(type == 3 || type == 7, "SS: not accessed writable data (26.3.1.2)");
	check_common(k, m, SEG_SS, false);
}

static void check_data(struct vmx_check *k, const struct guest_mode *m, enum segment_name which)
{
	const struct segment *s = &m->segment[which];
	const char *name = segment_names[which];
	u32 type = ATTR_TYPE(s->attributes);

	if (!is_usable(s))
		return;
	vmx_expect(k, type & TYPE_ACCESSED, name, "not accessed (26.3.1.2)");
	vmx_expect(k, !(type & TYPE_CODE) || type & TYPE_READABLE, name, "code that is not readable (26.3.1.2)");
	vmx_expect(k, type >= 12 || SEG_ATTR_DPL(s->attributes) >= (s->selector & SELECTOR_RPL), name,
		   "DPL below RPL (26.3.1.2)");
	check_common(k, m, which, false);
}

static void check_v8086_segment(struct vmx_check *k, const struct guest_mode *m, enum segment_name which)
{
	const struct segment *s = &m->segment[which];

	vmx_expect(k, s->base == (u64)s->selector << 4 && s->limit == 0xffff && s->attributes == ATTR_V8086,
		   segment_names[which], "not as in virtual-8086 mode (26.3.1.2)");
}

static void check_system_segments(struct vmx_check *k, const struct guest_mode *m)
{
	const struct segment *tr = &m->segment[SEG_TR], *ldtr = &m->segment[SEG_LDTR];
	u32 type = ATTR_TYPE(tr->attributes);

	EXPECT(type == TYPE_TSS_BUSY || (type == TYPE_TSS16_BUSY && !m->ia32e), "TR: not a busy TSS (26.3.1.2)");
	EXPECT(is_usable(tr), "TR: unusable (26.3.1.2)");
	check_common(k, m, SEG_TR, true);
	if (!is_usable(ldtr))
		return;
	EXPECT(ATTR_TYPE(ldtr->attributes) == TYPE_LDT, "LDTR: not an LDT (26.3.1.2)");
	check_common(k, m, SEG_LDTR, true);
}

static void check_segments(struct vmx_check *k, const struct guest_mode *m)
{
	check_selectors(k, m);
	check_bases(k, m);
	for (u32 i = SEG_ES; i <= SEG_GS; i++) {
		if (m->v8086)
			check_v8086_segment(k, m, (enum segment_name)i);
		else if (i == SEG_CS)
			check_cs(k, m);
		else if (i == SEG_SS)
			check_ss(k, m);
		else
			check_data(k, m, (enum segment_name)i);
	}
	check_system_segments(k, m);
}

/* 26.3.1.3 */
static void check_tables(struct vmx_check *k, const struct guest_mode *m)
{
	for (u32 i = SEG_GDTR; i <= SEG_IDTR; i++) {
		const struct segment *s = &m->segment[i];

		vmx_expect(k, vmx_check_canonical(s->base), segment_names[i], "base not canonical (26.3.1.3)");
		vmx_expect(k, !(s->limit >> 16), segment_names[i], "limit above 0xffff (26.3.1.3)");
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

static void check_rip(struct vmx_check *k, const struct guest_mode *m)
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

static void check_activity(struct vmx_check *k, const struct guest_mode *m)
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

void vmx_check_guest(struct vmx_check *k)
{
	struct guest_mode mode = {
		.ia32e = is_ia32e(k),
		.v8086 = vmcs_read_natural(VMCS_GUEST_RFLAGS) & RFLAGS_VM,
	};

	for (u32 i = 0; i < SEG_COUNT; i++)
		vmx_segment_get((enum segment_name)i, &mode.segment[i]);
	check_control_registers(k);
	check_debug(k);
	check_msrs(k);
	check_segments(k, &mode);
	check_tables(k, &mode);
	check_rip(k, &mode);
	check_activity(k, &mode);
	check_activity_injection(k);
	check_interruptibility(k);
	check_pending_debug(k);
	EXPECT(vmcs_read64(VMCS_GUEST_LINK_POINTER) == ~0ull, "VMCS link pointer is not all ones (26.3.1.5)");
	check_pdptes(k);
}
