/* SPDX-License-Identifier: BSD-2-Clause */
/* See fake_vmx.h. */
#include "tests/unit/fake_vmx.h"

#include <string.h>

#include "arch/x86/guest/hw.h"
#include "lib/log.h"
#include "vmx/segments.h"

#define FIELDS 0x7000u

static u64 vmcs[FIELDS];

struct vmx_capability fake_capability;
struct vmx_controls fake_controls;
u64 fake_efer;
struct fake_flush fake_flushes[FAKE_FLUSHES_MAX];
u32 fake_flush_count;

void fake_vmx_reset(void)
{
	memset(vmcs, 0, sizeof(vmcs));
	fake_capability = (struct vmx_capability){0};
	fake_controls = (struct vmx_controls){0};
	fake_efer = EFER_NXE | EFER_LME | EFER_LMA;
	fake_flush_count = 0;
}

/* --- what vmx/insn.c and vmx/cpu.c are on the machine ------------------------ */

static u64 width_mask(u32 field)
{
	switch (VMCS_WIDTH(field)) {
	case VMCS_WIDTH_16: return 0xffff;
	case VMCS_WIDTH_32: return 0xffffffff;
	default: return ~0ull;
	}
}

u64 vmcs_read_raw(u32 field)
{
	BUG_ON(field >= FIELDS);
	return vmcs[field];
}

void vmcs_write_raw(u32 field, u64 value)
{
	BUG_ON(field >= FIELDS || value & ~width_mask(field));
	vmcs[field] = value;
}

int vmcs_try_read(u32 field, u64 *value)
{
	*value = vmcs_read_raw(field);
	return 0;
}

enum vmx_status insn_invvpid(enum vmx_invvpid type, u16 vpid, gva_t gva)
{
	if (fake_flush_count < FAKE_FLUSHES_MAX)
		fake_flushes[fake_flush_count++] = (struct fake_flush){type, vpid, gva};
	return VMX_OK;
}

const struct vmx_capability *vmx_capability(void)
{
	return &fake_capability;
}

const struct vmx_controls *vmx_controls(void)
{
	return &fake_controls;
}

/* --- models ------------------------------------------------------------------ */

#define MODEL_MSRS 18
struct fake_msr {
	u32 msr;
	u64 value;
};

/* As read in Bochs 2.7. */
static const struct fake_msr models[FAKE_MODELS][MODEL_MSRS] = {
	[FAKE_PENRYN] =
		{
			{MSR_VMX_BASIC, 0xd810000000002b},
			{MSR_VMX_MISC, 0x401e0},
			{MSR_VMX_CR0_FIXED0, 0x80000021},
			{MSR_VMX_CR0_FIXED1, 0xffffffff},
			{MSR_VMX_CR4_FIXED0, 0x2000},
			{MSR_VMX_CR4_FIXED1, 0x467ff},
			{MSR_VMX_TRUE_PIN, 0x3f00000016},
			{MSR_VMX_TRUE_PRIMARY, 0xf7f9fffe04006172},
			{MSR_VMX_SECONDARY, 0x4100000000},
			{MSR_VMX_TRUE_EXIT, 0x3ffff00036dfb},
			{MSR_VMX_TRUE_ENTRY, 0x3fff000011fb},
		},
	[FAKE_SKYLAKE_X] =
		{
			{MSR_VMX_BASIC, 0xd810000000002b},
			{MSR_VMX_MISC, 0x600401e0},
			{MSR_VMX_EPT_VPID, 0xf0106334141},
			{MSR_VMX_CR0_FIXED0, 0x80000021},
			{MSR_VMX_CR0_FIXED1, 0xffffffff},
			{MSR_VMX_CR4_FIXED0, 0x2000},
			{MSR_VMX_CR4_FIXED1, 0x3727ff},
			{MSR_VMX_TRUE_PIN, 0x7f00000016},
			{MSR_VMX_TRUE_PRIMARY, 0xf7f9fffe04006172},
			{MSR_VMX_SECONDARY, 0x2177fff00000000},
			{MSR_VMX_TRUE_EXIT, 0x7fffff00036dfb},
			{MSR_VMX_TRUE_ENTRY, 0xffff000011fb},
		},
};

static enum fake_model current_model;

void fake_vmx_model(enum fake_model model)
{
	current_model = model;
}

int fake_vmx_read_msr(u32 msr, u64 *value)
{
	if (current_model == FAKE_ZERO || current_model == FAKE_ONES) {
		*value = current_model == FAKE_ONES ? ~0ull : 0;
		return 0;
	}
	for (u32 i = 0; i < MODEL_MSRS; i++) {
		if (models[current_model][i].msr == msr) {
			*value = models[current_model][i].value;
			return 0;
		}
	}
	return -EIO;
}

/* --- a state that passes ------------------------------------------------------ */

static void put(enum segment_name which, u16 selector, u32 attributes, u32 limit)
{
	struct segment s = {.selector = selector, .attributes = attributes, .limit = limit};

	vmx_segment_put(which, &s);
}

static void good_controls(void)
{
	static const u32 fields[VMX_CONTROL_WORDS] = {
		VMCS_PIN_CONTROLS,  VMCS_PRIMARY_CONTROLS, VMCS_SECONDARY_CONTROLS,
		VMCS_EXIT_CONTROLS, VMCS_ENTRY_CONTROLS,
	};
	char why[200];

	if (vmx_controls_compute(&fake_capability, &fake_controls, why, sizeof(why)))
		panic("%s", why);
	fake_controls.word[VMX_ENTRY] |= ENTRYC_IA32E_GUEST;
	for (u32 i = 0; i < VMX_CONTROL_WORDS; i++)
		vmcs_write_raw(fields[i], fake_controls.word[i]);
	vmcs_write64(VMCS_IO_BITMAP_A, 0x101000);
	vmcs_write64(VMCS_IO_BITMAP_B, 0x102000);
	vmcs_write64(VMCS_MSR_BITMAP, 0x103000);
	vmcs_write16(VMCS_VPID, 1);
}

static void good_host(void)
{
	vmcs_write16(VMCS_HOST_CS_SELECTOR, 8);
	vmcs_write16(VMCS_HOST_SS_SELECTOR, 0x10);
	vmcs_write16(VMCS_HOST_TR_SELECTOR, 0x18);
	vmcs_write_natural(VMCS_HOST_CR0, CR0_PE | CR0_NE | CR0_WP | CR0_PG | CR0_ET);
	vmcs_write_natural(VMCS_HOST_CR3, 0x200000);
	vmcs_write_natural(VMCS_HOST_CR4, CR4_PAE | CR4_VMXE);
	vmcs_write64(VMCS_HOST_EFER, EFER_LME | EFER_LMA | EFER_NXE);
	vmcs_write_natural(VMCS_HOST_RIP, 0xffffffff80001000ull);
}

void fake_vmx_good_state(void)
{
	good_controls();
	good_host();
	put(SEG_CS, 8, 0xa09b, ~0u);
	for (u32 i = SEG_ES; i <= SEG_GS; i++)
		if (i != SEG_CS)
			put((enum segment_name)i, 0x10, 0xc093, ~0u);
	put(SEG_LDTR, 0, SEG_ATTR_UNUSABLE, 0);
	put(SEG_TR, 0, 0x8b, 0xffff);
	put(SEG_GDTR, 0, 0, 0xffff);
	put(SEG_IDTR, 0, 0, 0xffff);
	vmcs_write_natural(VMCS_GUEST_CR0, CR0_PE | CR0_NE | CR0_WP | CR0_PG | CR0_ET);
	vmcs_write_natural(VMCS_GUEST_CR3, 0x300000);
	vmcs_write_natural(VMCS_GUEST_CR4, CR4_PAE | CR4_VMXE);
	vmcs_write64(VMCS_GUEST_EFER, EFER_LME | EFER_LMA | EFER_NXE);
	vmcs_write_natural(VMCS_GUEST_RIP, 0x1000000);
	vmcs_write_natural(VMCS_GUEST_RFLAGS, RFLAGS_FIXED);
	vmcs_write_natural(VMCS_GUEST_DR7, 0x400);
	vmcs_write64(VMCS_GUEST_LINK_POINTER, ~0ull);
}
