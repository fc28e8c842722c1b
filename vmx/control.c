/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the hardware holds while the guest runs: control registers, intercepts,
 * root and tag, TLB flushes.
 *
 * CR0 and CR4: bits in the guest-host mask are the hypervisor's; the guest reads
 * them from the read shadow, and a write that would change one exits. All others
 * are the guest's own, without exits either way.
 */
#include "arch/x86/guest/hw.h"
#include "lib/log.h"
#include "vmx/insn.h"
#include "vmx/vmx.h"

/* --- control words ----------------------------------------------------------- */

static void set_word(struct vmx_vcpu *vmx, enum vmx_control_word which, u32 value)
{
	static const u32 fields[VMX_CONTROL_WORDS] = {
		[VMX_PIN] = VMCS_PIN_CONTROLS,
		[VMX_PRIMARY] = VMCS_PRIMARY_CONTROLS,
		[VMX_SECONDARY] = VMCS_SECONDARY_CONTROLS,
		[VMX_EXIT] = VMCS_EXIT_CONTROLS,
		[VMX_ENTRY] = VMCS_ENTRY_CONTROLS,
	};

	if (vmx->word[which] == value)
		return;
	vmx->word[which] = value;
	vmcs_write_raw(fields[which], value);
}

/* The bit as asked, unless this CPU cannot turn it off. */
static u32 with_bit(u32 word, enum vmx_control_word which, u32 bit, bool on)
{
	return on || vmx_must(vmx_capability(), which, bit) ? word | bit : word & ~bit;
}

/* Section 25.5.1. Without the second it would begin anew at each entry, and never end where exits are frequent. */
bool vmx_has_timer(void)
{
	return vmx_may(vmx_capability(), VMX_PIN, PIN_PREEMPTION_TIMER) &&
	       vmx_may(vmx_capability(), VMX_EXIT, EXITC_SAVE_PREEMPTION_TIMER);
}

/* It counts once for so many ticks of the TSC (appendix A.6). */
void vmx_start_timer(u64 ticks)
{
	vmcs_write32(VMCS_GUEST_PREEMPTION_TIMER, (u32)(ticks >> (vmx_capability()->misc & MISC_TIMER_SHIFT)));
}

void vmx_exit_soon(struct vcpu *vcpu)
{
	vmx_start_timer(0);
}

static u32 nmi_exiting_bits(void)
{
	return PIN_NMI_EXITING | (vmx_controls()->virtual_nmis ? PIN_VIRTUAL_NMIS : 0);
}

static void update_exec_controls(struct vmx_vcpu *vmx)
{
	u32 pin = vmx_controls()->word[VMX_PIN], primary = vmx_controls()->word[VMX_PRIMARY];
	u32 exit = vmx_controls()->word[VMX_EXIT];
	bool virtual_window = vmx->nmi_window && vmx_controls()->virtual_nmis;

	if (vmx->requested & INTERCEPT_INTR || vmx->intr_exits)
		pin |= PIN_INTR_EXITING;
	if ((vmx->requested & INTERCEPT_NMI) || virtual_window || vmx->nmi_exits || vmx->v8086)
		pin |= nmi_exiting_bits();
	if (vmx->requested & INTERCEPT_TIMER && vmx_has_timer()) {
		pin |= PIN_PREEMPTION_TIMER;
		exit |= EXITC_SAVE_PREEMPTION_TIMER;
	}
	if (vmx->nmi_window)
		primary |= virtual_window ? PRIMARY_NMI_WINDOW : PRIMARY_INTR_WINDOW;
	primary = with_bit(primary, VMX_PRIMARY, PRIMARY_CR3_STORE_EXITING, vmx->requested & INTERCEPT_CR3_READ);
	primary = with_bit(primary, VMX_PRIMARY, PRIMARY_INVLPG_EXITING, vmx->requested & INTERCEPT_INVLPG);
	primary = with_bit(primary, VMX_PRIMARY, PRIMARY_HLT_EXITING, vmx->halt_exits);
	primary = with_bit(primary, VMX_PRIMARY, PRIMARY_MOV_DR_EXITING, vmx->requested & INTERCEPT_DEBUG_REGISTERS);
	set_word(vmx, VMX_PIN, pin);
	set_word(vmx, VMX_PRIMARY, primary);
	set_word(vmx, VMX_EXIT, exit);
}

/* CR0 and CR4 reads never exit: the read shadows answer them. */
void vmx_set_intercepts(struct vcpu *vcpu, u32 mask)
{
	struct vmx_vcpu *vmx = vmx_of(vcpu);
	u32 bitmap = (u32)(BIT(VEC_PF) | (mask & INTERCEPT_DB ? BIT(VEC_DB) : 0) |
			   (mask & INTERCEPT_BP ? BIT(VEC_BP) : 0));

	if (unlikely(vmx->v8086))
		bitmap = ~0u;

	vmx->requested = mask;
	update_exec_controls(vmx);
	if (vmx->exception_bitmap != bitmap) {
		vmx->exception_bitmap = bitmap;
		vmcs_write32(VMCS_EXCEPTION_BITMAP, bitmap);
	}
}

void vmx_update_intercepts(struct vcpu *vcpu)
{
	vmx_set_intercepts(vcpu, vmx_of(vcpu)->requested);
}

void vmx_trap_invlpg(struct vcpu *vcpu, bool on)
{
	struct vmx_vcpu *vmx = vmx_of(vcpu);

	vmx->requested = on ? vmx->requested | INTERCEPT_INVLPG : vmx->requested & ~(u32)INTERCEPT_INVLPG;
	set_word(vmx, VMX_PRIMARY, with_bit(vmx->word[VMX_PRIMARY], VMX_PRIMARY, PRIMARY_INVLPG_EXITING, on));
}

void vmx_set_nmi_window(struct vcpu *vcpu, bool on)
{
	struct vmx_vcpu *vmx = vmx_of(vcpu);

	if (likely(vmx->nmi_window == on))
		return;
	vmx->nmi_window = on;
	update_exec_controls(vmx);
}

/* --- control registers ------------------------------------------------------- */

/* Entry and exit leave CR0.CD and NW as the hypervisor has them (section 26.3.2.1). */
static u64 hardware_cr0(const struct vcpu *vcpu)
{
	u64 cr0 = (vcpu->cr0 | CR0_PE | CR0_PG | CR0_WP | CR0_NE | CR0_ET) & ~(CR0_CD | CR0_NW);

	if (vmx_of(vcpu)->v8086)
		cr0 &= ~CR0_AM;
	return vmx_fix_cr0(vmx_capability(), cr0);
}

/*
 * With guest paging off its pages are all user pages in the shadow, which SMEP,
 * SMAP and protection keys would forbid to the guest's kernel. Virtual-8086 mode is CPL 3, in the place of real mode's CPL 0, which may
 * do what TSD, UMIP and CR0.AM forbid; RDPMC exits as a #GP.
 */
static u64 hardware_cr4(const struct vcpu *vcpu)
{
	u64 cr4 = vcpu->cr4 | CR4_PAE | CR4_VMXE;

	if (!(vcpu->cr0 & CR0_PG))
		cr4 &= ~(CR4_SMEP | CR4_SMAP | CR4_PKE);
	if (vmx_of(vcpu)->v8086)
		cr4 &= ~(CR4_VME | CR4_PVI | CR4_TSD | CR4_PCE | CR4_UMIP);
	if (!(vcpu->efer & EFER_LMA))
		cr4 &= ~(CR4_PCIDE | CR4_LA57);
	return vmx_fix_cr4(vmx_capability(), cr4);
}

static u64 hardware_efer(const struct vcpu *vcpu)
{
	u64 efer = (vcpu->efer & ~(EFER_LME | EFER_LMA)) | EFER_NXE;

	return vcpu->efer & EFER_LMA ? efer | EFER_LME | EFER_LMA : efer;
}

/*
 * By hand: entry and exit switch LME and LMA themselves, NXE is on for both
 * sides, and the hypervisor executes no SYSCALL, so SCE is left as the guest has it.
 */
static void load_efer(const struct vcpu *vcpu)
{
	u64 host, wanted;

	if (vmx_controls()->efer) {
		vmcs_write64(VMCS_GUEST_EFER, hardware_efer(vcpu));
		return;
	}
	BUG_ON(hw_msr_read(MSR_EFER, &host));
	wanted = (host & ~EFER_SCE) | (vcpu->efer & EFER_SCE);
	if (wanted != host)
		BUG_ON(hw_msr_write(MSR_EFER, wanted));
}

/* A bit that VMX operation fixes cannot be the guest's own. */
static u64 guest_owned(u64 native, u64 fixed0, u64 fixed1)
{
	return native & ~fixed0 & fixed1;
}

void vmx_load_control(struct vcpu *vcpu)
{
	const struct vmx_capability *c = vmx_capability();
	struct vmx_vcpu *vmx = vmx_of(vcpu);
	u32 entry = vmx_controls()->word[VMX_ENTRY];

	vmx->cr0_owned = vmx->v8086 ? 0 : guest_owned(VMX_CR0_NATIVE, c->cr0_fixed0, c->cr0_fixed1);
	vmx->cr4_owned = vmx->v8086 ? 0 : guest_owned(VMX_CR4_NATIVE, c->cr4_fixed0, c->cr4_fixed1);
	vmcs_write_natural(VMCS_CR0_MASK, ~vmx->cr0_owned);
	vmcs_write_natural(VMCS_CR4_MASK, ~vmx->cr4_owned);
	vmcs_write_natural(VMCS_CR0_SHADOW, vcpu->cr0 | CR0_ET);
	vmcs_write_natural(VMCS_CR4_SHADOW, vcpu->cr4);
	vmcs_write_natural(VMCS_GUEST_CR0, hardware_cr0(vcpu));
	vmcs_write_natural(VMCS_GUEST_CR4, hardware_cr4(vcpu));
	load_efer(vcpu);
	set_word(vmx, VMX_ENTRY, with_bit(entry, VMX_ENTRY, ENTRYC_IA32E_GUEST, vcpu->efer & EFER_LMA));
}

void vmx_update_control(struct vcpu *vcpu)
{
	if (!(vcpu->cr0 & CR0_PE) || vcpu->execution != EXECUTION_NATIVE)
		vcpu->execution = EXECUTION_UNDECIDED;
	vmx_load_control(vcpu);
}

void vmx_store_control(struct vcpu *vcpu)
{
	const struct vmx_vcpu *vmx = vmx_of(vcpu);

	vcpu->cr0 = (vcpu->cr0 & ~vmx->cr0_owned) | (vmcs_read_natural(VMCS_GUEST_CR0) & vmx->cr0_owned);
	vcpu->cr4 = (vcpu->cr4 & ~vmx->cr4_owned) | (vmcs_read_natural(VMCS_GUEST_CR4) & vmx->cr4_owned);
}

/* --- root, tag and TLB ------------------------------------------------------- */

/*
 * Without EPT the CPU reads the PDPTEs of a PAE root from memory at every entry
 * (section 26.3.2.4), so there is nothing else to load.
 */
void vmx_set_shadow_root(struct vcpu *vcpu, hpa_t root, u32 tag)
{
	vmcs_write_natural(VMCS_GUEST_CR3, root.v);
	if (vmx_controls()->vpid)
		vmcs_write16(VMCS_VPID, tag);
}

hpa_t vmx_hardware_root(const struct vcpu *vcpu)
{
	return hpa(vmcs_read_natural(VMCS_GUEST_CR3));
}

static void invvpid(enum vmx_invvpid type, u32 tag, gva_t gva)
{
	if (insn_invvpid(type, (u16)tag, gva) != VMX_OK)
		panic("VMX: INVVPID type %u of VPID %u, address %llx failed", (u32)type, tag,
		      (unsigned long long)gva);
}

static void flush_all(void)
{
	if (vmx_controls()->invvpid_all) {
		invvpid(INVVPID_ALL, 0, 0);
		return;
	}
	for (u32 tag = VMX_TAG_FIRST; tag < VMX_TAG_FIRST + VMX_TAGS; tag++)
		invvpid(INVVPID_SINGLE, tag, 0);
}

/* Without VPID every entry and every exit flushes all (section 28.3.3.1). */
void vmx_tlb_flush(struct vcpu *vcpu, u32 tag)
{
	if (!vmx_controls()->vpid)
		return;
	if (tag && vmx_controls()->invvpid_single)
		invvpid(INVVPID_SINGLE, tag, 0);
	else
		flush_all();
}

/* INVVPID refuses an address that is not canonical, and nothing is cached for one. */
static bool is_canonical(gva_t gva)
{
	return address_is_canonical(gva, vmcs_read_natural(VMCS_GUEST_CR4) & CR4_LA57);
}

void vmx_tlb_flush_page(struct vcpu *vcpu, u32 tag, gva_t gva)
{
	if (!vmx_controls()->vpid)
		return;
	if (!tag || !vmx_controls()->invvpid_address)
		vmx_tlb_flush(vcpu, tag);
	else if (is_canonical(gva))
		invvpid(INVVPID_ADDRESS, tag, gva);
}
