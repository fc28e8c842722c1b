/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The self-check of the processor over a fake CPU that runs the probe guest's code
 * through the probe guest's own page tables, and that can be told not to honour any
 * one intercept, to report it wrongly, or to be disturbed by NMIs.
 */
#include "tests/unit/host.h"

#include <string.h>

#include "arch/x86/guest/cr.h"
#include "arch/x86/guest/hw.h"
#include "arch/x86/guest/selfcheck.h"
#include "arch/x86/memory.h"
#include "mm/phys.h"

#define NOTHING (~0u)
#define TPR 5u

/* --- the fake CPU ---------------------------------------------------------------- */

static struct {
	u32 lacks;               /* index of the probe whose exit does not happen; NOTHING */
	bool lacks_all_cr_reads; /* as QEMU's TCG: no CR-read exit but by the intercept of CR0 */
	bool can_be_worked_round, worked_round;
	u32 wrong_cr; /* added to the number that CR exits report */
	u32 nmis;     /* entries that an NMI ends before the first instruction */
	bool leaks;   /* MOV from a shadowed register reads the hardware's value */
	u32 intercepts;
	hpa_t root;
	struct segment segment[SEG_COUNT];
	u32 runs, inits, pages_given, pages_back;
	bool xsave, svm, fail_memory;
} cpu;

static struct vcpu vcpu;
static struct selfcheck out;

static u8 *physical(u64 pa)
{
	return phys_to_virt(hpa(pa & PTE_ADDR_MASK));
}

/* The probe guest's own tables; NULL where it has no page. */
static u8 *translate(gva_t gva)
{
	bool pae = !(vcpu.efer & EFER_LMA);
	u64 table = cpu.root.v;

	for (int level = pae ? 3 : 4; level > 0; level--) {
		u64 entry = ((u64 *)physical(table))[gva >> (12 + 9 * (level - 1)) & 0x1ff];

		if (!(entry & PTE_P))
			return NULL;
		if (pae && level == 3)
			assert_int_equal(entry & (PTE_W | PTE_U | PTE_A), 0);
		else
			assert_true(entry & PTE_A);
		table = entry;
	}
	return physical(table) + (gva & ~PAGE_MASK);
}

static const struct probe *probe_at(const u8 *code, u32 *index)
{
	for (*index = 0; *index < selfcheck_probe_count; ++*index) {
		const struct probe *p = &selfcheck_probes[*index];
		bool same = cpu.segment[SEG_CS].attributes & SEG_ATTR_L ? p->cpu_state != STATE_CODE32 :
									  p->cpu_state == STATE_CODE32;

		/* Two probes differ in CR0.WP alone. */
		if (same && !memcmp(code, p->bytes, p->len) &&
		    (p->cpu_state == STATE_CODE32 || !(vcpu.cr0 & CR0_WP) == (p->cpu_state == STATE_DIFFERENT)))
			return p;
	}
	fail_msg("the code page holds no probe's instruction");
	return NULL;
}

static bool is_shadowed_natively(const struct probe *p)
{
	return p->rule == PROBE_SHADOWED && !(p->cr == 0 && cpu.intercepts & INTERCEPT_CR0_READ);
}

static bool exits(const struct probe *p, u32 index)
{
	if (index == cpu.lacks && !cpu.worked_round)
		return false;
	if (p->kind == EXIT_CR_READ && cpu.lacks_all_cr_reads)
		return cpu.worked_round || (cpu.intercepts & INTERCEPT_CR0_READ);
	return !is_shadowed_natively(p);
}

static void page_fault(gva_t rip, gva_t gva)
{
	vcpu.rip = rip;
	vcpu.exit = (struct vcpu_exit){.kind = EXIT_PAGE_FAULT, .gva = gva};
}

static u64 read_register(const struct probe *p)
{
	u64 value = p->cr == 0 ? vcpu.cr0 : p->cr == 4 ? vcpu.cr4 : TPR;

	return cpu.leaks && p->rule == PROBE_SHADOWED ? value ^ BIT(16) : value;
}

static void run_once(struct vcpu *v)
{
	const u8 *code = translate(vcpu.rip), *stop;
	const struct probe *p;
	u32 index;

	cpu.runs++;
	assert_non_null(code);
	p = probe_at(code, &index);
	if (cpu.nmis) {
		cpu.nmis--;
		vcpu.exit = (struct vcpu_exit){.kind = EXIT_TRIPLE_FAULT};
		return;
	}
	if (exits(p, index)) {
		vcpu.exit = (struct vcpu_exit){
			.kind = p->kind, .cr = p->cr + (u8)cpu.wrong_cr, .operand_known = !cpu.lacks_all_cr_reads};
		if (p->kind == EXIT_PAGE_FAULT)
			assert_null(translate(p->bytes[3] | p->bytes[4] << 8));
		return;
	}
	if (p->kind == EXIT_CR_READ)
		vcpu.gpr[GPR_RAX] = read_register(p);
	if (p->kind == EXIT_TASK_SWITCH) { /* to where the other TSS says */
		const u32 *tss = (const u32 *)translate(PROBE_DATA + 0x100);

		assert_true(tss[0x1c / 4] == cpu.root.v && tss[0x20 / 4] == PROBE_CODE + p->len);
	}
	stop = translate(PROBE_CODE + p->len);
	assert_true(stop[0] == 0x8a && stop[1] == 0x04 && stop[2] == 0x25 && (stop[3] | stop[4] << 8) == PROBE_STOP);
	assert_null(translate(PROBE_STOP));
	page_fault(PROBE_CODE + p->len, PROBE_STOP);
}

static const char *work_round(struct vcpu *v, enum exit_kind kind)
{
	if (!cpu.can_be_worked_round || kind != EXIT_CR_READ)
		return NULL;
	cpu.worked_round = true;
	return "worked round";
}

static int vcpu_init(struct vcpu *v)
{
	cpu.inits++;
	v->hw = &cpu;
	return 0;
}
static void update_control(struct vcpu *v) {}
static void set_shadow_root(struct vcpu *v, hpa_t root, u32 tag)
{
	cpu.root = root;
}
static void tlb_flush(struct vcpu *v, u32 tag) {}
static void set_intercepts(struct vcpu *v, u32 mask)
{
	cpu.intercepts = mask;
}
static void set_io_intercept(struct vcpu *v, u16 port, bool on) {}
static void set_segment(struct vcpu *v, enum segment_name which, const struct segment *in)
{
	cpu.segment[which] = *in;
}

static const struct vendor vendor = {
	.name = "fake",
	.vcpu_init = vcpu_init,
	.run_once = run_once,
	.work_round = work_round,
	.update_control = update_control,
	.set_shadow_root = set_shadow_root,
	.tlb_flush = tlb_flush,
	.set_intercepts = set_intercepts,
	.set_io_intercept = set_io_intercept,
	.set_segment = set_segment,
};

/* cr.c as far as this is about it */
void cr_set_read_intercepts(struct vcpu *v)
{
	v->vendor->set_intercepts(
		v, INTERCEPT_CR3_READ | INTERCEPT_INVLPG | (v->cr0 & CR0_WP ? 0 : INTERCEPT_CR0_READ));
}
u64 hw_read_cr8(void)
{
	return TPR;
}
struct cpuid_regs hw_cpuid(u32 leaf, u32 subleaf)
{
	switch (leaf) {
	case 1: return (struct cpuid_regs){.ecx = (u32)(BIT(31) | (cpu.xsave ? BIT(26) : 0))};
	case 0x40000000:
		return (struct cpuid_regs){
			.ebx = 'F' * 0x1010101u, .ecx = 'A' * 0x1010101u, .edx = 'K' * 0x1010101u};
	case 0x80000000: return (struct cpuid_regs){.eax = 0x80000008};
	case 0x80000001: return (struct cpuid_regs){.ecx = cpu.svm ? BIT(2) : 0};
	default: return (struct cpuid_regs){.eax = leaf == 0x80000002 ? 0x555043 : 0}; /* "CPU" */
	}
}
void *memory_alloc(u32 order)
{
	hpa_t page;

	if (cpu.fail_memory && cpu.pages_given == 3)
		return NULL;
	cpu.pages_given++;
	assert_int_equal(order, 0);
	assert_int_equal(host_arena_page(NULL, &page), 0);
	memset(phys_to_virt(page), 0, PAGE_SIZE);
	return phys_to_virt(page);
}
void memory_free(void *pages, u32 order)
{
	cpu.pages_back++;
}

static int fresh(void **state)
{
	host_arena_reset();
	memset(&cpu, 0, sizeof(cpu));
	cpu.lacks = NOTHING;
	cpu.xsave = cpu.svm = true;
	memset(&vcpu, 0, sizeof(vcpu));
	return 0;
}

static void run(void)
{
	assert_int_equal(selfcheck_run(&vcpu, &vendor, &out), 0);
}

/* --- tests ----------------------------------------------------------------------------- */

static void a_good_cpu_passes_without_a_word(void **state)
{
	run();
	assert_null(out.missing);
	assert_string_equal(out.words, "");
	assert_false(out.task_switches_unseen);
	assert_int_equal(cpu.runs, selfcheck_probe_count);
	assert_string_equal(out.cpu, "CPU under FFFFAAAAKKKK");
}

static void every_intercept_that_is_missing_is_named(void **state)
{
	for (u32 i = 0; i < selfcheck_probe_count; i++) {
		const struct probe *p = &selfcheck_probes[i];

		fresh(NULL);
		cpu.lacks = i;
		run();
		switch ((enum probe_rule)p->rule) {
		case PROBE_EXITS: assert_string_equal(out.missing, p->name); break;
		case PROBE_TOLD:
			assert_null(out.missing);
			assert_non_null(strstr(out.words, p->name));
			assert_true(out.task_switches_unseen == (p->kind == EXIT_TASK_SWITCH));
			break;
		case PROBE_SHADOWED: /* it may pass without an exit */ assert_null(out.missing); break;
		}
	}
}

static void a_register_that_shows_the_hardwares_value_is_named(void **state)
{
	cpu.leaks = true;
	run();
	assert_string_equal(out.missing, "MOV from CR4"); /* CR0's read exits */
}

static void cr_reads_that_need_the_other_intercept_are_worked_round(void **state)
{
	cpu.lacks_all_cr_reads = cpu.can_be_worked_round = true;
	run();
	assert_null(out.missing);
	assert_string_equal(out.words, ", worked round");
	assert_true(cpu.worked_round);
}

static void without_a_way_round_it_is_named(void **state)
{
	cpu.lacks_all_cr_reads = true;
	run();
	assert_string_equal(out.missing, "MOV from CR3");
}

static void a_register_number_that_is_reported_wrongly_is_named(void **state)
{
	cpu.wrong_cr = 1;
	run();
	assert_string_equal(out.missing, "MOV from CR0");
}

/* adversarial: 29 */
static void an_nmi_in_between_is_not_believed(void **state)
{
	cpu.nmis = 2;
	run();
	assert_null(out.missing);
	fresh(NULL);
	cpu.nmis = 1000;
	run();
	assert_string_equal(out.missing, selfcheck_probes[0].name);
}

static void instructions_that_the_cpu_does_not_have_are_not_probed(void **state)
{
	u32 all = selfcheck_probe_count;

	cpu.xsave = cpu.svm = false;
	run();
	assert_null(out.missing);
	assert_int_equal(cpu.runs, all - 3);
}

static void only_the_control_block_is_left(void **state)
{
	const struct vcpu left = {.hw = &cpu};

	run();
	assert_memory_equal(&vcpu, &left, sizeof(vcpu));
	assert_int_equal(cpu.inits, 1);
	assert_true(cpu.pages_given > 0 && cpu.pages_back == cpu.pages_given);
	fresh(NULL);
	cpu.fail_memory = host_log_quiet = true;
	assert_int_equal(selfcheck_run(&vcpu, &vendor, &out), -ENOMEM);
	host_log_quiet = false;
	assert_int_equal(cpu.pages_back, cpu.pages_given);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_good_cpu_passes_without_a_word, fresh),
		cmocka_unit_test_setup(every_intercept_that_is_missing_is_named, fresh),
		cmocka_unit_test_setup(a_register_that_shows_the_hardwares_value_is_named, fresh),
		cmocka_unit_test_setup(cr_reads_that_need_the_other_intercept_are_worked_round, fresh),
		cmocka_unit_test_setup(without_a_way_round_it_is_named, fresh),
		cmocka_unit_test_setup(a_register_number_that_is_reported_wrongly_is_named, fresh),
		cmocka_unit_test_setup(an_nmi_in_between_is_not_believed, fresh),
		cmocka_unit_test_setup(instructions_that_the_cpu_does_not_have_are_not_probed, fresh),
		cmocka_unit_test_setup(only_the_control_block_is_left, fresh),
	};
	int failed;

	host_arena_create(16ull << 20);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	host_arena_destroy();
	return failed;
}
