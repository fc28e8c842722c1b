/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See selfcheck.h. Each probe is one instruction and, behind it, a read of an absent
 * page: the page fault of that read says that the instruction ran without an exit.
 * (Not an exception that kills the guest: after a SHUTDOWN exit the VMCB is undefined, APM
 * vol. 2 section 15.14.3.) An NMI that comes in between does kill it, so a
 * probe is tried again before it is believed.
 */
#include "arch/x86/guest/selfcheck.h"

#include "arch/x86/cpuid_bits.h"
#include "arch/x86/guest/cr.h"
#include "arch/x86/guest/hw.h"
#include "arch/x86/guest/tss.h"
#include "arch/x86/memory.h"
#include "lib/log.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "mm/phys.h"

#define TRIES 3
#define PROBE_PORT 0x80 /* what is written there goes nowhere: the diagnostic port */
#define PROBE_TAG 1u
#define GUEST_CR3 0x5000u /* what the guest believes to be in CR3 */

#define SEL_CS 0x08u
#define SEL_DS 0x10u
#define SEL_OTHER_TASK 0x18u
#define SEL_TASK 0x20u
#define OTHER_TSS (PROBE_DATA + 0x100)
#define OWN_TSS (PROBE_DATA + 0x200)
#define TSS32_LIMIT 0x67u

#define GDT_CODE32 0x00cf9b000000ffffull
#define GDT_DATA 0x00cf93000000ffffull
#define GDT_TSS(base, type) (TSS32_LIMIT | (u64)(base) << 16 | (u64)(type) << 40)
#define GDT_TSS_AVAILABLE 0x89u

/* clang-format off */
#define EXITS(n, k, ...) { .name = n, .rule = PROBE_EXITS, .kind = EXIT_##k, __VA_ARGS__ }
/* clang-format on */
#define BYTES(n, ...) .len = n, .bytes = {__VA_ARGS__}

const struct probe selfcheck_probes[] = {
	EXITS("a page fault", PAGE_FAULT, BYTES(7, 0x8a, 0x04, 0x25, 0x00, 0x60)),
	{.name = "MOV from CR0",
	 .rule = PROBE_SHADOWED,
	 .kind = EXIT_CR_READ,
	 .cr = 0,
	 .cpu_state = STATE_DIFFERENT,
	 BYTES(3, 0x0f, 0x20, 0xc0)},
	EXITS("MOV to CR0", CR_WRITE, .cr = 0, .rax = CR0_PE | CR0_PG | CR0_ET | CR0_NE, BYTES(3, 0x0f, 0x22, 0xc0)),
	EXITS("MOV to CR0 where the hardware's differs", CR_WRITE, .cr = 0, .cpu_state = STATE_DIFFERENT,
	      .rax = CR0_PE | CR0_PG | CR0_ET | CR0_NE | CR0_WP, BYTES(3, 0x0f, 0x22, 0xc0)),
	EXITS("MOV from CR3", CR_READ, .cr = 3, BYTES(3, 0x0f, 0x20, 0xd8)),
	EXITS("MOV to CR3", CR_WRITE, .cr = 3, BYTES(3, 0x0f, 0x22, 0xd8)),
	{.name = "MOV from CR4",
	 .rule = PROBE_SHADOWED,
	 .kind = EXIT_CR_READ,
	 .cr = 4,
	 .cpu_state = STATE_CODE32,
	 BYTES(3, 0x0f, 0x20, 0xe0)},
	EXITS("MOV to CR4", CR_WRITE, .cr = 4, .rax = CR4_PAE | CR4_PGE, BYTES(3, 0x0f, 0x22, 0xe0)),
	{.name = "MOV from CR8", .rule = PROBE_SHADOWED, .kind = EXIT_CR_READ, .cr = 8, BYTES(4, 0x44, 0x0f, 0x20, 0xc0)},
	{.name = "MOV to CR8", .rule = PROBE_SHADOWED, .kind = EXIT_CR_WRITE, .cr = 8, BYTES(4, 0x44, 0x0f, 0x22, 0xc0)},
	EXITS("INVLPG", INVLPG, .rax = PROBE_DATA, BYTES(3, 0x0f, 0x01, 0x38)),
	EXITS("CPUID", CPUID, BYTES(2, 0x0f, 0xa2)),
	EXITS("RDMSR", MSR_READ, .rcx = MSR_PAT, BYTES(2, 0x0f, 0x32)),
	EXITS("WRMSR", MSR_WRITE, .rcx = MSR_PAT, .rax = PAT_HOST, BYTES(2, 0x0f, 0x30)),
	EXITS("IN", IO, BYTES(2, 0xe4, PROBE_PORT)),
	EXITS("OUT", IO, BYTES(2, 0xe6, PROBE_PORT)),
	/* XCR0 is the guest's own register: an exit only keeps features out of it that CPUID does not show. */
	{.name = "XSETBV",
	 .rule = PROBE_TOLD,
	 .kind = EXIT_XSETBV,
	 .needs = NEEDS_XSAVE,
	 .rax = 1,
	 BYTES(3, 0x0f, 0x01, 0xd1)},
	EXITS("VMLOAD", VIRT_INSN, .needs = NEEDS_SVM, BYTES(3, 0x0f, 0x01, 0xda)),
	EXITS("VMSAVE", VIRT_INSN, .needs = NEEDS_SVM, BYTES(3, 0x0f, 0x01, 0xdb)),
	/* Behind this one stands guest_root_is_ours(). */
	{.name = "a hardware task switch",
	 .rule = PROBE_TOLD,
	 .kind = EXIT_TASK_SWITCH,
	 .cpu_state = STATE_CODE32,
	 BYTES(7, 0xea, 0, 0, 0, 0, SEL_OTHER_TASK, 0)},
};
const u32 selfcheck_probe_count = ARRAY_SIZE(selfcheck_probes);

/* MOV AL, [PROBE_STOP], with an SIB byte: the same in 32-bit and in 64-bit code. */
static const u8 stop_bytes[] = {0x8a, 0x04, 0x25, PROBE_STOP & 0xff, PROBE_STOP >> 8, 0, 0};

/* --- the probe guest's memory ---------------------------------------------------- */

enum { CODE_PAGE, DATA_PAGE, PT, PD, PDPT, PML4, PAE_PDPT, PAGES };

struct probe_memory {
	u8 *page[PAGES];
};

static hpa_t page_hpa(const struct probe_memory *m, u32 which)
{
	return virt_to_phys(m->page[which]);
}

static void free_memory(struct probe_memory *m)
{
	for (u32 i = 0; i < PAGES; i++)
		if (m->page[i])
			memory_free(m->page[i], 0);
}

static void set_entry(struct probe_memory *m, u32 table, u32 index, u32 target, u64 bits)
{
	((u64 *)m->page[table])[index] = page_hpa(m, target).v | bits;
}

static int make_memory(struct probe_memory *m)
{
	const u64 link = PTE_P | PTE_W | PTE_A;

	for (u32 i = 0; i < PAGES; i++) {
		m->page[i] = memory_alloc(0);
		if (!m->page[i])
			return -ENOMEM;
	}
	set_entry(m, PML4, 0, PDPT, link);
	set_entry(m, PDPT, 0, PD, link);
	set_entry(m, PAE_PDPT, 0, PD, PTE_P); /* everything else is reserved there */
	set_entry(m, PD, 0, PT, link);
	set_entry(m, PT, PROBE_CODE >> PAGE_SHIFT, CODE_PAGE, PTE_P | PTE_A);
	set_entry(m, PT, PROBE_DATA >> PAGE_SHIFT, DATA_PAGE, link | PTE_D);
	return 0;
}

/* The task that a switch without an exit would go to stops at once, on the same tables. */
static void lay_out_data(struct probe_memory *m, const struct probe *p)
{
	u64 *gdt = (u64 *)m->page[DATA_PAGE];
	struct tss32 *other = (struct tss32 *)(m->page[DATA_PAGE] + OTHER_TSS - PROBE_DATA);

	memset(m->page[DATA_PAGE], 0, PAGE_SIZE);
	gdt[SEL_CS / 8] = GDT_CODE32;
	gdt[SEL_DS / 8] = GDT_DATA;
	gdt[SEL_OTHER_TASK / 8] = GDT_TSS(OTHER_TSS, GDT_TSS_AVAILABLE);
	gdt[SEL_TASK / 8] = GDT_TSS(OWN_TSS, SEG_TSS32_BUSY);
	*other = (struct tss32){
		.cr3 = (u32)page_hpa(m, PAE_PDPT).v,
		.eip = PROBE_CODE + p->len,
		.eflags = RFLAGS_FIXED,
		.segment = {SEL_DS, SEL_CS, SEL_DS, SEL_DS, SEL_DS, SEL_DS},
		.iomap = TSS32_LIMIT,
	};
}

static void lay_out_code(struct probe_memory *m, const struct probe *p)
{
	memcpy(m->page[CODE_PAGE], p->bytes, p->len);
	memcpy(m->page[CODE_PAGE] + p->len, stop_bytes, sizeof(stop_bytes));
}

/* --- its processor ----------------------------------------------------------------- */

static void set_segment(struct vcpu *vcpu, enum segment_name which, struct segment s)
{
	vcpu->vendor->set_segment(vcpu, which, &s);
}

static void set_segments(struct vcpu *vcpu, bool code32)
{
	static const enum segment_name data[] = {SEG_DS, SEG_ES, SEG_SS, SEG_FS, SEG_GS};

	set_segment(vcpu, SEG_CS,
		    (struct segment){.selector = SEL_CS,
				     .attributes = code32 ? SEG_FLAT_CODE32 : SEG_FLAT_CODE64,
				     .limit = ~0u});
	for (u32 i = 0; i < ARRAY_SIZE(data); i++)
		set_segment(vcpu, data[i],
			    (struct segment){.selector = SEL_DS, .attributes = SEG_FLAT_DATA, .limit = ~0u});
	set_segment(
		vcpu, SEG_TR,
		(struct segment){
			.selector = SEL_TASK, .attributes = SEG_TSS32_BUSY, .limit = TSS32_LIMIT, .base = OWN_TSS});
	set_segment(vcpu, SEG_GDTR, (struct segment){.limit = SEL_TASK + 7, .base = PROBE_DATA});
}

static void set_control(struct vcpu *vcpu, const struct probe_memory *m, const struct probe *p)
{
	bool code32 = p->cpu_state == STATE_CODE32;

	vcpu->cr0 = CR0_PE | CR0_PG | CR0_ET | CR0_NE | (p->cpu_state == STATE_DIFFERENT ? 0 : CR0_WP);
	vcpu->cr3 = GUEST_CR3;
	vcpu->cr4 = code32 ? 0 : CR4_PAE | (p->needs == NEEDS_XSAVE ? CR4_OSXSAVE : 0);
	vcpu->efer = code32 ? 0 : EFER_LME | EFER_LMA;
	vcpu->pat = PAT_HOST;
	vcpu->root = page_hpa(m, code32 ? PAE_PDPT : PML4);
	vcpu->vendor->update_control(vcpu);
	cr_set_read_intercepts(vcpu);
	vcpu->vendor->set_io_intercept(vcpu, PROBE_PORT, true);
	vcpu->vendor->set_shadow_root(vcpu, vcpu->root, PROBE_TAG);
	vcpu->vendor->tlb_flush(vcpu, PROBE_TAG);
}

static void set_registers(struct vcpu *vcpu, const struct probe_memory *m, const struct probe *p)
{
	memset(vcpu->gpr, 0, sizeof(vcpu->gpr));
	vcpu->gpr[GPR_RAX] = (u32)p->rax;
	vcpu->gpr[GPR_RDX] = p->rax >> 32;
	vcpu->gpr[GPR_RCX] = p->rcx;
	if (p->cr == 8)
		vcpu->gpr[GPR_RAX] = hw_read_cr8();
	if (p->needs == NEEDS_SVM) /* its operand is physical: only our own scratch page is read or written */
		vcpu->gpr[GPR_RAX] = page_hpa(m, DATA_PAGE).v;
	vcpu->gpr[GPR_RSP] = PROBE_DATA + PAGE_SIZE;
	vcpu->rip = PROBE_CODE;
	vcpu->rflags = RFLAGS_FIXED;
}

static u64 expected_rax(const struct vcpu *vcpu, const struct probe *p)
{
	return p->cr == 0 ? vcpu->cr0 : p->cr == 4 ? vcpu->cr4 : hw_read_cr8();
}

/* --- one probe ----------------------------------------------------------------------- */

enum outcome { EXITED, RAN, LOST };

static bool is_page_fault(const struct vcpu *vcpu, gva_t rip, gva_t gva)
{
	return vcpu->exit.kind == EXIT_PAGE_FAULT && vcpu->rip == rip && vcpu->exit.gva == gva;
}

static bool exited_as_asked(const struct vcpu *vcpu, const struct probe *p)
{
	const struct vcpu_exit *exit = &vcpu->exit;
	bool is_cr = p->kind == EXIT_CR_READ || p->kind == EXIT_CR_WRITE;

	if (exit->kind != p->kind || vcpu->rip != PROBE_CODE)
		return false;
	return !is_cr || !exit->operand_known || (exit->cr == p->cr && exit->gpr == GPR_RAX);
}

static enum outcome run_once(struct vcpu *vcpu, struct probe_memory *m, const struct probe *p)
{
	lay_out_data(m, p);
	lay_out_code(m, p);
	set_segments(vcpu, p->cpu_state == STATE_CODE32);
	set_control(vcpu, m, p);
	set_registers(vcpu, m, p);
	vcpu->vendor->run_once(vcpu);
	if (exited_as_asked(vcpu, p))
		return EXITED;
	return is_page_fault(vcpu, PROBE_CODE + p->len, PROBE_STOP) ? RAN : LOST;
}

static bool is_good(struct vcpu *vcpu, struct probe_memory *m, const struct probe *p)
{
	enum outcome outcome = LOST;

	for (u32 i = 0; i < TRIES && outcome == LOST; i++)
		outcome = run_once(vcpu, m, p);
	if (outcome == RAN && p->rule == PROBE_SHADOWED)
		return vcpu->gpr[GPR_RAX] == expected_rax(vcpu, p);
	return outcome == EXITED;
}

static bool applies(const struct probe *p)
{
	switch (p->needs) {
	case NEEDS_XSAVE: return hw_cpuid(1, 0).ecx & CPUID1_ECX_XSAVE;
	case NEEDS_SVM:
		return hw_cpuid(CPUID_LEAF_EXT, 0).eax >= CPUID_LEAF_EXT1 &&
		       (hw_cpuid(CPUID_LEAF_EXT1, 0).ecx & CPUIDE1_ECX_SVM);
	default: return true;
	}
}

static void add_words(struct selfcheck *out, const char *before, const char *words)
{
	size_t used = strlen(out->words);

	snprintf(out->words + used, sizeof(out->words) - used, ", %s%s", before, words);
}

/* True if the probe's exit can be relied on, or something else stands behind it. */
static bool check_one(struct vcpu *vcpu, struct probe_memory *m, const struct probe *p, struct selfcheck *out)
{
	const char *words;

	if (!applies(p) || is_good(vcpu, m, p))
		return true;
	if (p->rule == PROBE_TOLD) {
		add_words(out, "no exit for ", p->name);
		out->task_switches_unseen |= p->kind == EXIT_TASK_SWITCH;
		return true;
	}
	words = vcpu->vendor->work_round(vcpu, (enum exit_kind)p->kind);
	if (!words || !is_good(vcpu, m, p))
		return false;
	add_words(out, "", words);
	return true;
}

/* --- public ------------------------------------------------------------------------------ */

static void name_cpu(char *buf, u32 size)
{
	char brand[49] = "", above[13] = "";
	struct cpuid_regs r;

	if (hw_cpuid(CPUID_LEAF_EXT, 0).eax >= CPUID_LEAF_BRAND + 2)
		for (u32 i = 0; i < 3; i++) {
			r = hw_cpuid(CPUID_LEAF_BRAND + i, 0);
			memcpy(brand + i * sizeof(r), &r, sizeof(r));
		}
	if (hw_cpuid(1, 0).ecx & CPUID1_ECX_HYPERVISOR) {
		r = hw_cpuid(CPUID_LEAF_HYPERVISOR, 0);
		memcpy(above, &r.ebx, 4);
		memcpy(above + 4, &r.ecx, 4);
		memcpy(above + 8, &r.edx, 4);
	}
	snprintf(buf, size, "%s%s%s", brand[0] ? brand : "this processor", above[0] ? " under " : "", above);
}

static int check_all(struct vcpu *vcpu, struct probe_memory *m, struct selfcheck *out)
{
	int err = vcpu->vendor->vcpu_init(vcpu);

	if (err)
		return err;
	for (u32 i = 0; i < selfcheck_probe_count && !out->missing; i++)
		if (!check_one(vcpu, m, &selfcheck_probes[i], out))
			out->missing = selfcheck_probes[i].name;
	return 0;
}

int selfcheck_run(struct vcpu *vcpu, const struct vendor *vendor, struct selfcheck *out)
{
	struct probe_memory m = {0};
	void *hw;
	int err;

	*out = (struct selfcheck){0};
	name_cpu(out->cpu, sizeof(out->cpu));
	vcpu->vendor = vendor;
	err = make_memory(&m);
	if (err)
		log_error("self-check: no memory for the probe guest\n");
	else
		err = check_all(vcpu, &m, out);
	free_memory(&m);
	hw = vcpu->hw;
	memset(vcpu, 0, sizeof(*vcpu));
	vcpu->hw = hw;
	return err;
}
