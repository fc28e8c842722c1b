/* SPDX-License-Identifier: BSD-2-Clause */
/* Checks on control fields and host state, SDM vol. 3 section 26.2; see check.h. */
#include "vmx/check.h"

#include "lib/printf.h"
#include "vmx/check_guest.h"
#include "vmx/vmcs.h"

#define SELECTOR_RPL_TI BITS(2, 0)

/* --- control fields ---------------------------------------------------------- */

static void check_reserved(struct vmx_check *k, enum vmx_control_word w)
{
	u32 must = (u32)k->c->control[w], may = (u32)(k->c->control[w] >> 32);
	char text[VMX_CHECK_TEXT_MAX];

	for (u32 bit = 0; bit < 32; bit++) {
		bool on = k->word[w] & BIT(bit), low = must & BIT(bit) && !on, high = on && !(may & BIT(bit));

		snprintf(text, sizeof(text), "bit %u (%s) %s (26.2.1)", bit, vmx_control_name(w, bit),
			 low ? "must be 1" : "must be 0");
		vmx_expect(k, !low && !high, vmx_control_word_name(w), text);
	}
}

static void check_page(struct vmx_check *k, u64 address, const char *what)
{
	vmx_expect(k, !(address & ~PAGE_MASK), what, "address not page-aligned (26.2.1.1)");
	vmx_expect(k, vmx_check_physical(k, address), what, "address beyond MAXPHYADDR (26.2.1.1)");
}

static void check_bitmaps(struct vmx_check *k)
{
	if (k->word[VMX_PRIMARY] & PRIMARY_IO_BITMAPS) {
		check_page(k, vmcs_read64(VMCS_IO_BITMAP_A), "I/O bitmap A");
		check_page(k, vmcs_read64(VMCS_IO_BITMAP_B), "I/O bitmap B");
	}
	if (k->word[VMX_PRIMARY] & PRIMARY_MSR_BITMAPS)
		check_page(k, vmcs_read64(VMCS_MSR_BITMAP), "MSR bitmap");
}

static void check_execution(struct vmx_check *k)
{
	u32 pin = k->word[VMX_PIN], primary = k->word[VMX_PRIMARY], secondary = k->word[VMX_SECONDARY];

	EXPECT(vmcs_read32(VMCS_CR3_TARGET_COUNT) <= (k->c->misc >> MISC_CR3_TARGETS_SHIFT & MISC_CR3_TARGETS_MASK),
	       "too many CR3 targets (26.2.1.1)");
	EXPECT(pin & PIN_NMI_EXITING || !(pin & PIN_VIRTUAL_NMIS), "virtual NMIs without NMI exiting (26.2.1.1)");
	EXPECT(pin & PIN_VIRTUAL_NMIS || !(primary & PRIMARY_NMI_WINDOW),
	       "NMI-window exiting without virtual NMIs (26.2.1.1)");
	EXPECT(!(primary & PRIMARY_TPR_SHADOW), "TPR shadow is on, which Umbra does not use");
	EXPECT(!(secondary & (SECONDARY_EPT | SECONDARY_UNRESTRICTED)),
	       "EPT or unrestricted guest is on, which Umbra does not use");
	EXPECT(!(pin & PIN_POSTED_INTR), "posted interrupts are on, which Umbra does not use");
	EXPECT(!(pin & PIN_PREEMPTION_TIMER) || k->word[VMX_EXIT] & EXITC_SAVE_PREEMPTION_TIMER,
	       "the timer is on and begins anew at each entry");
	if (secondary & SECONDARY_VPID)
		EXPECT(vmcs_read16(VMCS_VPID) != 0, "VPID is 0 (26.2.1.1)");
	check_bitmaps(k);
}

static void check_msr_area(struct vmx_check *k, u32 count, u64 address, const char *what)
{
	if (!count)
		return;
	vmx_expect(k, !(address & 15), what, "MSR area not 16-byte aligned (26.2.1.2)");
	vmx_expect(k, vmx_check_physical(k, address + count * 16ull - 1), what,
		   "MSR area beyond MAXPHYADDR (26.2.1.2)");
}

static void check_exit_controls(struct vmx_check *k)
{
	EXPECT(!(k->word[VMX_EXIT] & EXITC_SAVE_PREEMPTION_TIMER) || k->word[VMX_PIN] & PIN_PREEMPTION_TIMER,
	       "preemption timer saved but not on (26.2.1.2)");
	check_msr_area(k, vmcs_read32(VMCS_EXIT_MSR_STORE_COUNT), vmcs_read64(VMCS_EXIT_MSR_STORE_ADDRESS),
		       "exit store");
	check_msr_area(k, vmcs_read32(VMCS_EXIT_MSR_LOAD_COUNT), vmcs_read64(VMCS_EXIT_MSR_LOAD_ADDRESS),
		       "exit load");
}

static bool pushes_error_code(u32 type, u32 vector)
{
	switch (vector) {
	case VEC_DF:
	case VEC_TS:
	case VEC_NP:
	case VEC_SS:
	case VEC_GP:
	case VEC_PF:
	case VEC_AC: return type == INTR_TYPE_EXCEPTION;
	default: return false;
	}
}

#define ENTRY_INFO_RESERVED BITS(30, 12)
#define ENTRY_ERROR_RESERVED BITS(31, 15)
#define INSN_LEN_MAX 15u

/* The event that the entry delivers, section 26.2.1.3. */
static void check_injection(struct vmx_check *k)
{
	u32 info = vmcs_read32(VMCS_ENTRY_INTR_INFO), vector = info & INTR_INFO_VECTOR_MASK;
	u32 type = (u32)((info & INTR_INFO_TYPE_MASK) >> INTR_INFO_TYPE_SHIFT);
	u32 length = vmcs_read32(VMCS_ENTRY_INSN_LENGTH);
	bool error = info & INTR_INFO_ERROR, any = k->c->basic & BASIC_ANY_ERROR_CODE;

	if (!(info & INTR_INFO_VALID))
		return;
	EXPECT(type != INTR_TYPE_RESERVED && type != INTR_TYPE_OTHER, "injected event: reserved type (26.2.1.3)");
	EXPECT(type != INTR_TYPE_NMI || vector == VEC_NMI, "injected NMI: vector is not 2 (26.2.1.3)");
	EXPECT(type != INTR_TYPE_EXCEPTION || vector < 32, "injected exception: vector above 31 (26.2.1.3)");
	EXPECT(error == pushes_error_code(type, vector) || (any && type == INTR_TYPE_EXCEPTION),
	       "injected event: error code where there is none, or none where there is one (26.2.1.3)");
	EXPECT(!(info & ENTRY_INFO_RESERVED), "injected event: reserved bits (26.2.1.3)");
	if (error)
		EXPECT(!(vmcs_read32(VMCS_ENTRY_INTR_ERROR) & ENTRY_ERROR_RESERVED),
		       "injected event: reserved bits of the error code (26.2.1.3)");
	if (type >= INTR_TYPE_SOFT_INTERRUPT)
		EXPECT(length <= INSN_LEN_MAX && (length || k->c->misc & MISC_ZERO_LENGTH_INJECTION),
		       "injected soft event: instruction length (26.2.1.3)");
}

static void check_entry_controls(struct vmx_check *k)
{
	EXPECT(!(k->word[VMX_ENTRY] & (ENTRYC_TO_SMM | ENTRYC_DEACTIVATE_DUAL_MONITOR)),
	       "entry to SMM from outside SMM (26.2.1.3)");
	check_injection(k);
	check_msr_area(k, vmcs_read32(VMCS_ENTRY_MSR_LOAD_COUNT), vmcs_read64(VMCS_ENTRY_MSR_LOAD_ADDRESS),
		       "entry load");
}

static void check_controls(struct vmx_check *k)
{
	for (u32 w = 0; w < VMX_CONTROL_WORDS; w++) {
		if (w != VMX_SECONDARY || k->word[VMX_PRIMARY] & PRIMARY_SECONDARY)
			check_reserved(k, (enum vmx_control_word)w);
	}
	check_execution(k);
	check_exit_controls(k);
	check_entry_controls(k);
}

/* --- host state -------------------------------------------------------------- */

static void check_host_registers(struct vmx_check *k)
{
	u64 cr0 = vmcs_read_natural(VMCS_HOST_CR0), cr4 = vmcs_read_natural(VMCS_HOST_CR4);

	EXPECT(vmx_fix_cr0(k->c, cr0) == cr0, "host CR0: a bit that VMX fixes (26.2.2)");
	EXPECT(vmx_fix_cr4(k->c, cr4) == cr4, "host CR4: a bit that VMX fixes (26.2.2)");
	EXPECT(vmx_check_physical(k, vmcs_read_natural(VMCS_HOST_CR3)), "host CR3: beyond MAXPHYADDR (26.2.2)");
	EXPECT(cr4 & CR4_PAE, "host CR4.PAE is 0 for a 64-bit host (26.2.4)");
	EXPECT(vmx_check_canonical(vmcs_read_natural(VMCS_HOST_SYSENTER_ESP)) &&
		       vmx_check_canonical(vmcs_read_natural(VMCS_HOST_SYSENTER_EIP)),
	       "host SYSENTER_ESP or EIP: not canonical (26.2.2)");
	EXPECT(vmx_check_canonical(vmcs_read_natural(VMCS_HOST_RIP)), "host RIP: not canonical (26.2.4)");
}

static void check_host_efer(struct vmx_check *k)
{
	u64 efer, both = EFER_LMA | EFER_LME;

	if (!(k->word[VMX_EXIT] & EXITC_LOAD_EFER))
		return;
	efer = vmcs_read64(VMCS_HOST_EFER);
	EXPECT(!(efer & ~VMX_EFER_DEFINED), "host EFER: reserved bits (26.2.2)");
	EXPECT((efer & both) == both, "host EFER: LMA or LME is 0 for a 64-bit host (26.2.2)");
}

static void check_host_segments(struct vmx_check *k)
{
	u16 cs = vmcs_read16(VMCS_HOST_CS_SELECTOR), tr = vmcs_read16(VMCS_HOST_TR_SELECTOR);
	u32 others = vmcs_read16(VMCS_HOST_SS_SELECTOR) | vmcs_read16(VMCS_HOST_DS_SELECTOR) |
		     vmcs_read16(VMCS_HOST_ES_SELECTOR) | vmcs_read16(VMCS_HOST_FS_SELECTOR) |
		     vmcs_read16(VMCS_HOST_GS_SELECTOR);

	EXPECT(!((cs | tr | others) & SELECTOR_RPL_TI), "host selectors: RPL or TI is not 0 (26.2.3)");
	EXPECT(cs && tr, "host selectors: CS or TR is 0 (26.2.3)");
	EXPECT(vmx_check_canonical(vmcs_read_natural(VMCS_HOST_FS_BASE)) &&
		       vmx_check_canonical(vmcs_read_natural(VMCS_HOST_GS_BASE)) &&
		       vmx_check_canonical(vmcs_read_natural(VMCS_HOST_TR_BASE)) &&
		       vmx_check_canonical(vmcs_read_natural(VMCS_HOST_GDTR_BASE)) &&
		       vmx_check_canonical(vmcs_read_natural(VMCS_HOST_IDTR_BASE)),
	       "host FS, GS, TR, GDTR or IDTR base: not canonical (26.2.3)");
}

static void check_host(struct vmx_check *k)
{
	EXPECT(k->word[VMX_EXIT] & EXITC_HOST_64BIT, "exit to a 32-bit host from a 64-bit one (26.2.4)");
	check_host_registers(k);
	check_host_efer(k);
	check_host_segments(k);
}

u32 vmx_check(const struct vmx_capability *c, u32 phys_bits, vmx_check_report report, void *arg)
{
	struct vmx_check check = {
		.c = c,
		.phys_bits = phys_bits,
		.report = report,
		.arg = arg,
		.word =
			{
				[VMX_PIN] = vmcs_read32(VMCS_PIN_CONTROLS),
				[VMX_PRIMARY] = vmcs_read32(VMCS_PRIMARY_CONTROLS),
				[VMX_EXIT] = vmcs_read32(VMCS_EXIT_CONTROLS),
				[VMX_ENTRY] = vmcs_read32(VMCS_ENTRY_CONTROLS),
			},
	};

	if (check.word[VMX_PRIMARY] & PRIMARY_SECONDARY)
		check.word[VMX_SECONDARY] = vmcs_read32(VMCS_SECONDARY_CONTROLS);
	check_controls(&check);
	check_host(&check);
	vmx_check_guest(&check);
	return check.broken;
}
