/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * NMIs of a guest with several processors on SVM (svm/nmi.c), as tables of exits: what each exit brings, and what the next
 * entry must be. What an exit calls for is done by the real inject.c and reset.c over a table of two processors.
 */
#include "tests/unit/host.h"

#include <string.h>

#include "arch/x86/guest/apic.h"
#include "arch/x86/guest/cr.h"
#include "arch/x86/guest/fast_path.h"
#include "arch/x86/guest/hw.h"
#include "arch/x86/guest/inject.h"
#include "arch/x86/guest/processors.h"
#include "arch/x86/guest/reset.h"
#include "arch/x86/guest/run.h"
#include "arch/x86/guest/state.h"
#include "arch/x86/guest/stop.h"
#include "svm/halt.h"
#include "svm/segments.h"
#include "svm/svm.h"

struct svm_features svm_found;

#define ROOT 0x7000u
#define OWN_CPU 5u
#define IRET 0x401000ull /* where one is */
#define BACK 0x500000ull /* where it returns to */
#define FLAGS (RFLAGS_FIXED)

/* --- the processor and the neutral half ---------------------------------------------- */

static struct {
	struct shadow_mmu_head mmu;
} engine;
static struct vmcb vmcb;
static u64 stale[PAGE_SIZE / sizeof(u64)];
static struct svm_vcpu svm;
static struct vcpu vcpu;
static struct processors table;
static u64 nmis, nmis_taken;
static bool nmi_in_wait; /* one comes in each wait for a start-up message */
static u32 kicks, waits;
static bool fault_is_the_guests;

void hw_kick(u32 cpu)
{
	assert_int_equal(cpu, OWN_CPU);
	kicks++;
}
u64 hw_nmis(const struct vendor *vendor)
{
	return nmis_taken = nmis;
}
u64 hw_nmi_count(void)
{
	return nmis_taken;
}
struct cpuid_regs hw_cpuid(u32 leaf, u32 subleaf)
{
	return (struct cpuid_regs){0};
}
u64 hw_read_dr(u32 n)
{
	return 0;
}
void hw_write_dr(u32 n, u64 value) {}
int hw_msr_read(u32 msr, u64 *value)
{
	*value = 0;
	return 0;
}
NORETURN void hw_reset(void)
{
	panic("machine reset");
}
void cr_apply(struct vcpu *v, bool flush) {}
void apic_reset(struct vcpu *v) {}
NORETURN void guest_stop(struct vcpu *v, const char *format, ...)
{
	panic("%s", format);
}
NORETURN void guest_shutdown(struct vcpu *v)
{
	panic("shutdown");
}
void guest_prepare_entry(struct vcpu *v) {}

/* No exit here takes the fast path. */
static u32 not_here(void)
{
	panic("the fast path");
}
enum shadow_result shadow_handle_fault(struct shadow_mmu *mmu, gva_t gva, u32 error, u32 cpl, u64 rflags,
				       struct shadow_fault *fault)
{
	return (enum shadow_result)not_here();
}
static u8 code[16]; /* at 0x1000, of which so many bytes are there */
static u32 code_bytes;
static u64 code_base;
static bool code_is_remembered;
const u8 *shadow_peek_code(struct shadow_mmu *mmu, gva_t gva)
{
	if (!code_bytes)
		not_here();
	return code_is_remembered ? code : NULL;
}
int shadow_read_guest(struct shadow_mmu *mmu, gva_t gva, void *buf, u32 len, struct gpt_access access,
		      gva_t *fault_gva, u32 *error)
{
	u64 at = gva - code_base - 0x1000;

	assert_true(access.fetch && !access.user && len == 1);
	if (at >= code_bytes)
		return -EFAULT;
	memcpy(buf, code + at, len);
	return 0;
}
const u8 *shadow_recall_code(struct shadow_mmu *mmu, gva_t gva)
{
	return (const u8 *)(uintptr_t)not_here();
}
void cpuid_execute(struct vcpu *v)
{
	not_here();
}
u32 fast_path_cr3_read(struct vcpu *v)
{
	return not_here();
}
u32 fast_path_cr2_read(struct vcpu *v)
{
	return not_here();
}
u32 fast_path_cr3_write(struct vcpu *v)
{
	return not_here();
}
u32 fast_path_invlpg(struct vcpu *v)
{
	return not_here();
}
u32 fast_path_apic(struct vcpu *v, gva_t gva, u32 error)
{
	return not_here();
}
u32 fast_path_apic_inside(struct vcpu *v, gva_t gva, u32 error, u32 cpl, u64 rflags)
{
	return not_here();
}

/* As exits.c and run.c, of the exits that come here. */
void guest_exit(struct vcpu *v)
{
	if (v->exit.kind == EXIT_PAGE_FAULT && fault_is_the_guests)
		inject_pf(v, v->exit.gva, v->exit.error);
	else if (v->exit.kind == EXIT_EXCEPTION)
		inject_exception(v, v->exit.vector, v->exit.error);
	else if (v->exit.kind == EXIT_MACHINE_CHECK)
		inject_exception(v, VEC_MC, 0);
	inject_finish(v);
	while (!reset_take(v, &table)) {
		struct processor_set targets;
		u64 startup = 1ull << 56 | ICR_STARTUP << 8 | IRET >> PAGE_SHIFT >> 8;

		waits++;
		if (nmi_in_wait)
			nmis_taken = ++nmis;
		assert_int_equal(processors_command(&table, 0, startup, &targets), COMMAND_SENT);
	}
}

static void set_segment(struct vcpu *v, enum segment_name which, const struct segment *in) {}
static void set_dr6(struct vcpu *v, u64 value)
{
	vmcb.dr6 = value;
}
static void set_dr7(struct vcpu *v, u64 value)
{
	vmcb.dr7 = value;
}
static const struct vendor vendor = {.hardware_root = svm_hardware_root,
				     .set_segment = set_segment,
				     .set_dr6 = set_dr6,
				     .set_dr7 = set_dr7,
				     .wake = svm_wake};

static struct guest guest; /* nothing is known of it */

static int fresh(void **state)
{
	memset(&vmcb, 0, sizeof(vmcb));
	svm = (struct svm_vcpu){.vmcb = &vmcb, .stale = stale, .clean = CLEAN_ALL, .nmi_seen = 7};
	svm_found = (struct svm_features){.asids = 16};
	engine.mmu = (struct shadow_mmu_head){.inside = true, .trapped_gva = TRAPPED_NONE};
	vcpu = (struct vcpu){.hw = &svm,
			     .vendor = &vendor,
			     .root = hpa(ROOT),
			     .mmu = (struct shadow_mmu *)&engine,
			     .next_audit = ~0ull,
			     .id = 1,
			     .cpu = OWN_CPU,
			     .several = true,
			     .guest = &guest};
	vmcb.cr3 = ROOT;
	vmcb.asid = 1;
	vmcb.rip = 0x400000;
	vmcb.rflags = FLAGS;
	vmcb.dr6 = DR6_RESET;
	vmcb.dr7 = DR7_RESET;
	vmcb.cs.attributes = VMCB_ATTR_L;
	vmcb.efer = EFER_LMA | EFER_LME;
	processors_init(&table, false);
	assert_int_equal(processors_add(&table, 0, true), 0);
	assert_int_equal(processors_add(&table, 1, false), 1);
	table.cpu[1].state = PROCESSOR_RUNS;
	nmis = nmis_taken = 7;
	nmi_in_wait = false;
	kicks = waits = 0;
	fault_is_the_guests = false;
	code_bytes = 0;
	code_base = 0;
	code_is_remembered = true;
	svm_set_intercepts(&vcpu, INTERCEPT_CR3_READ | INTERCEPT_INVLPG);
	return 0;
}

/* --- steps ------------------------------------------------------------------------------ */

/* What the exit brings besides its code */
#define DEVICE_NMI BIT(0)   /* an NMI that is no kick was found */
#define REQUEST_NMI BIT(1)  /* another processor has sent one */
#define REQUEST_INIT BIT(2) /* and an INIT; a start-up message follows */
#define SHADOW BIT(3)       /* the instruction is in an interrupt shadow */
#define CUT_NMI BIT(4)      /* an NMI's delivery was cut short */
#define CUT_INTR BIT(5)     /* an interrupt's, vector 0x31 */
#define GUEST_FAULT BIT(6)  /* the fault is the guest's own */

/* What the entry must be */
#define NMI BIT(0)   /* injects it */
#define DB BIT(1)    /* injects #DB */
#define PF BIT(2)    /* injects #PF */
#define GP BIT(3)    /* injects #GP */
#define INTR BIT(4)  /* injects the interrupt */
#define KICK BIT(5)  /* it has sent itself one */
#define TF BIT(6)    /* is made with TF: set by us or the guest's */
#define WATCH BIT(7) /* IRET exits, no more */
#define STEP BIT(8)  /* all exceptions and interrupts exit, so that nobody sees TF */

/* What a row does not name is 0. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
struct step {
	u32 exit;
	u32 brings;
	u32 enters;
	u64 rip;    /* 0: as it was */
	u64 rflags; /* 0: as they were */
	u64 dr6;    /* bits that the exit has set; */
	u64 shows;  /* of B0 to B3 and BS, what the guest has in DR6 if no STEP is under way */
};

static void bring(const struct step *s)
{
	struct processor_set targets;
	u64 to = 1ull << 56;

	vmcb.exit_code = s->exit;
	vmcb.exit_int_info = s->brings & CUT_NMI ? 0x80000202 : s->brings & CUT_INTR ? 0x80000031 : 0;
	vmcb.exit_info1 = 0;
	vmcb.rip = s->rip ? s->rip : vmcb.rip;
	vmcb.rflags = s->rflags ? s->rflags : vmcb.rflags;
	vmcb.dr6 |= s->dr6;
	vmcb.interrupt_shadow = s->brings & SHADOW ? VMCB_INTERRUPT_SHADOW : 0;
	nmis += !!(s->brings & DEVICE_NMI);
	fault_is_the_guests = s->brings & GUEST_FAULT;
	if (s->brings & REQUEST_NMI)
		assert_int_equal(processors_command(&table, 0, to | ICR_NMI << 8, &targets), COMMAND_SENT);
	if (s->brings & REQUEST_INIT)
		assert_int_equal(processors_command(&table, 0, to | ICR_INIT << 8, &targets), COMMAND_SENT);
}

static bool intercepted(u32 code)
{
	return vmcb.intercept[code / 32] >> code % 32 & 1;
}

static u32 injected(void)
{
	u8 vector = (u8)vmcb.event_inj;

	if (!(vmcb.event_inj & EVENTINJ_VALID))
		return 0;
	switch ((vmcb.event_inj & EVENTINJ_TYPE_MASK) >> EVENTINJ_TYPE_SHIFT) {
	case EVENTINJ_NMI: return NMI;
	case EVENTINJ_INTR: return INTR;
	default: return vector == VEC_DB ? DB : vector == VEC_PF ? PF : vector == VEC_GP ? GP : ~0u;
	}
}

static u32 entry(void)
{
	u32 exceptions = vmcb.intercept[SVM_EXIT_EXCP_FIRST / 32], found = injected();

	found |= kicks ? KICK : 0;
	assert_in_range(kicks, 0, 1);
	found |= vmcb.rflags & RFLAGS_TF ? TF : 0;
	found |= intercepted(SVM_EXIT_IRET) ? WATCH : 0;
	if (exceptions == ~(u32)BIT(VEC_NMI) && intercepted(SVM_EXIT_INTR))
		found |= STEP;
	else
		assert_true(exceptions == BIT(VEC_PF) && !intercepted(SVM_EXIT_INTR));
	assert_true(intercepted(SVM_EXIT_NMI));
	return found;
}

static void run(const char *name, const struct step *steps, u32 count)
{
	const u64 shown = DR6_BREAKPOINTS | DR6_BS;

	for (u32 i = 0; i < count && steps[i].exit; i++) {
		u64 dr6;
		u32 found;

		bring(&steps[i]);
		dr6 = vmcb.dr6;
		kicks = 0;
		if (!svm_fast_path_shared(&vcpu))
			svm_slow_path(&vcpu);
		found = entry();
		if (found != steps[i].enters)
			fail_msg("%s, exit %u: entry is %x, not %x", name, i, found, steps[i].enters);
		if (!(found & STEP) && (vmcb.dr6 & shown) != steps[i].shows)
			fail_msg("%s, exit %u: DR6 is %llx", name, i, (unsigned long long)vmcb.dr6);
		assert_true(vmcb.dr6 == dr6 || !(vmcb.clean & CLEAN_DR)); /* the hardware is told */
		assert_true(engine.mmu.inside);
	}
}

#define STEPS_MAX 8
struct situation {
	const char *name;
	u64 dr6, dr7; /* bits that are set from the start */
	struct step steps[STEPS_MAX];
};

static void run_all(const struct situation *all, u32 count)
{
	for (u32 i = 0; i < count; i++) {
		fresh(NULL);
		vmcb.dr6 |= all[i].dr6;
		vmcb.dr7 |= all[i].dr7;
		run(all[i].name, all[i].steps, STEPS_MAX);
	}
}

/* --- situations ---------------------------------------------------------------------------- */

#define EXCEPTION(vector) (SVM_EXIT_EXCP_FIRST + (vector))
#define AN_NMI \
	{ \
		SVM_EXIT_NMI, DEVICE_NMI, NMI | WATCH \
	}
#define AT_IRET \
	{ \
		.exit = SVM_EXIT_IRET, .enters = STEP | TF, .rip = IRET, .rflags = FLAGS \
	}
#define AFTER_IRET \
	{ \
		EXCEPTION(VEC_DB), 0, 0, BACK, FLAGS, DR6_BS \
	}

/* adversarial: 29 */
static void an_nmi_is_a_kick_or_the_guests(void **state)
{
	static const struct situation all[] = {
		{"a kick alone", 0, 0, {{SVM_EXIT_NMI, 0, 0}, {SVM_EXIT_NMI, 0, 0}}},
		{"a device's", 0, 0, {AN_NMI}},
		{"a device's with a kick", 0, 0, {AN_NMI, {SVM_EXIT_NMI, 0, WATCH}}},
		{"another processor's", 0, 0, {{SVM_EXIT_NMI, REQUEST_NMI, NMI | WATCH}}},
		{"both are one",
		 0,
		 0,
		 {{SVM_EXIT_NMI, REQUEST_NMI | DEVICE_NMI, NMI | WATCH}, {SVM_EXIT_NMI, 0, WATCH}}},
		{"another processor's at another exit", 0, 0, {{SVM_EXIT_VINTR, REQUEST_NMI, NMI | WATCH}}},
	};

	run_all(all, ARRAY_SIZE(all));
}

static void a_blocked_nmi_waits_for_the_end_of_the_iret(void **state)
{
	static const struct situation all[] = {
		{"none waits", 0, 0, {AN_NMI, AT_IRET, AFTER_IRET}},
		{"a device's",
		 0,
		 0,
		 {AN_NMI,
		  {SVM_EXIT_NMI, DEVICE_NMI, WATCH},
		  AT_IRET,
		  {EXCEPTION(VEC_DB), 0, NMI | WATCH, BACK, FLAGS, DR6_BS},
		  AT_IRET,
		  AFTER_IRET}},
		{"another processor's",
		 0,
		 0,
		 {AN_NMI,
		  {SVM_EXIT_NMI, REQUEST_NMI, WATCH},
		  AT_IRET,
		  {EXCEPTION(VEC_DB), 0, NMI | WATCH, BACK, FLAGS, DR6_BS},
		  AT_IRET,
		  AFTER_IRET}},
		{"many are one",
		 0,
		 0,
		 {AN_NMI,
		  {SVM_EXIT_NMI, REQUEST_NMI, WATCH},
		  {SVM_EXIT_NMI, DEVICE_NMI, WATCH},
		  {SVM_EXIT_NMI, DEVICE_NMI | REQUEST_NMI, WATCH},
		  AT_IRET,
		  {EXCEPTION(VEC_DB), 0, NMI | WATCH, BACK, FLAGS, DR6_BS},
		  AT_IRET,
		  AFTER_IRET}},
		{"a request at the exit for the IRET",
		 0,
		 0,
		 {AN_NMI,
		  {SVM_EXIT_IRET, REQUEST_NMI, STEP | TF, IRET, FLAGS},
		  {EXCEPTION(VEC_DB), 0, NMI | WATCH, BACK, FLAGS, DR6_BS}}},
		{"a request while the IRET is stepped over",
		 0,
		 0,
		 {AN_NMI,
		  AT_IRET,
		  {SVM_EXIT_NMI, REQUEST_NMI, STEP | TF},
		  {EXCEPTION(VEC_DB), 0, NMI | WATCH, BACK, FLAGS, DR6_BS}}},
		{"a request with what the step ends by",
		 0,
		 0,
		 {AN_NMI, AT_IRET, {EXCEPTION(VEC_DB), REQUEST_NMI, NMI | WATCH, BACK, FLAGS, DR6_BS}}},
	};

	run_all(all, ARRAY_SIZE(all));
}

static void nobody_sees_the_step_over_an_iret(void **state)
{
	static const struct situation all[] = {
		{"DR6 as it was",
		 DR6_BS | BIT(2),
		 0,
		 {{SVM_EXIT_NMI, DEVICE_NMI, NMI | WATCH, .shows = DR6_BS | BIT(2)},
		  AT_IRET,
		  {EXCEPTION(VEC_DB), 0, 0, BACK, FLAGS, DR6_BS, DR6_BS | BIT(2)}}},
		{"the guest steps too",
		 BIT(1),
		 0,
		 {{SVM_EXIT_NMI, DEVICE_NMI, NMI | WATCH, .shows = BIT(1)},
		  {SVM_EXIT_IRET, 0, STEP | TF, IRET, FLAGS | RFLAGS_TF},
		  {EXCEPTION(VEC_DB), 0, DB, BACK, FLAGS, DR6_BS, DR6_BS | BIT(1)}}},
		{"the guest steps from here on",
		 0,
		 0,
		 {AN_NMI, AT_IRET, {EXCEPTION(VEC_DB), 0, TF, BACK, FLAGS | RFLAGS_TF, DR6_BS}}},
		{"a breakpoint on the stack",
		 0,
		 BIT(0) | 3u << 16,
		 {AN_NMI, AT_IRET, {EXCEPTION(VEC_DB), 0, DB, BACK, FLAGS, DR6_BS | BIT(0), BIT(0)}}},
		{"a breakpoint on the instruction that it returns to",
		 0,
		 BIT(0),
		 {AN_NMI, AT_IRET, {EXCEPTION(VEC_DB), 0, 0, BACK, FLAGS, DR6_BS | BIT(0)}}},
		{"both",
		 0,
		 BIT(0) | BIT(2) | 1u << 20,
		 {AN_NMI, AT_IRET, {EXCEPTION(VEC_DB), 0, DB, BACK, FLAGS, DR6_BS | BIT(0) | BIT(1), BIT(1)}}},
		{"a breakpoint that is off",
		 0,
		 0,
		 {AN_NMI, AT_IRET, {EXCEPTION(VEC_DB), 0, 0, BACK, FLAGS, DR6_BS | BIT(0)}}},
		{"a breakpoint that was hit long ago",
		 BIT(0),
		 BIT(0),
		 {{SVM_EXIT_NMI, DEVICE_NMI, NMI | WATCH, .shows = BIT(0)},
		  AT_IRET,
		  {EXCEPTION(VEC_DB), 0, 0, BACK, FLAGS, DR6_BS, BIT(0)}}},
		{"a breakpoint on the IRET",
		 DR6_BS,
		 BIT(0),
		 {{SVM_EXIT_NMI, DEVICE_NMI, NMI | WATCH, .shows = DR6_BS},
		  AT_IRET,
		  {EXCEPTION(VEC_DB), 0, DB | WATCH, .dr6 = BIT(0), .shows = DR6_BS | BIT(0)},
		  AT_IRET,
		  {EXCEPTION(VEC_DB), 0, 0, BACK, FLAGS, DR6_BS, DR6_BS | BIT(0)}}},
		{"an IRET to itself",
		 0,
		 0,
		 {AN_NMI, AT_IRET, {EXCEPTION(VEC_DB), 0, TF, IRET, FLAGS | RFLAGS_TF, DR6_BS}}},
		{"an IRET that faults", 0, 0, {AN_NMI, AT_IRET, {EXCEPTION(VEC_GP), 0, GP}}},
		{"an IRET that faults while another waits",
		 0,
		 0,
		 {AN_NMI,
		  {SVM_EXIT_NMI, DEVICE_NMI, WATCH},
		  AT_IRET,
		  {EXCEPTION(VEC_GP), 0, GP | KICK},
		  {SVM_EXIT_NMI, 0, NMI | WATCH}}},
		{"the guest steps, and the IRET faults",
		 0,
		 0,
		 {AN_NMI, {SVM_EXIT_IRET, 0, STEP | TF, IRET, FLAGS | RFLAGS_TF}, {EXCEPTION(VEC_GP), 0, GP | TF}}},
		{"a page fault of the guest's", 0, 0, {AN_NMI, AT_IRET, {SVM_EXIT_EXCP_PF, GUEST_FAULT, PF}}},
		{"a page fault of the shadow's",
		 BIT(3),
		 0,
		 {{SVM_EXIT_NMI, DEVICE_NMI, NMI | WATCH, .shows = BIT(3)},
		  AT_IRET,
		  {SVM_EXIT_EXCP_PF, 0, STEP | TF},
		  {SVM_EXIT_EXCP_PF, 0, STEP | TF},
		  {EXCEPTION(VEC_DB), 0, 0, BACK, FLAGS, DR6_BS, BIT(3)}}},
		{"a kick between", 0, 0, {AN_NMI, AT_IRET, {SVM_EXIT_NMI, 0, STEP | TF}, AFTER_IRET}},
		{"a device's NMI between",
		 0,
		 0,
		 {AN_NMI,
		  AT_IRET,
		  {SVM_EXIT_NMI, DEVICE_NMI, STEP | TF},
		  {EXCEPTION(VEC_DB), 0, NMI | WATCH, BACK, FLAGS, DR6_BS}}},
		{"an interrupt before the IRET",
		 BIT(0),
		 0,
		 {{SVM_EXIT_NMI, DEVICE_NMI, NMI | WATCH, .shows = BIT(0)},
		  {SVM_EXIT_IRET, 0, STEP | TF, IRET, FLAGS | RFLAGS_IF},
		  {SVM_EXIT_INTR, 0, WATCH, .shows = BIT(0)},
		  /* delivered, and its handler returns */
		  {SVM_EXIT_IRET, 0, STEP | TF, IRET + 0x100, FLAGS},
		  {EXCEPTION(VEC_DB), 0, 0, IRET, FLAGS, DR6_BS, BIT(0)}}},
	};

	run_all(all, ARRAY_SIZE(all));
}

/* A kick to itself lets it in behind what goes first: one at a time, and none where nothing waits. */
static void an_nmi_that_cannot_go_yet_makes_one_exit(void **state)
{
	static const struct situation all[] = {
		{"in an interrupt shadow",
		 0,
		 0,
		 {{SVM_EXIT_VINTR, REQUEST_NMI | SHADOW, KICK},
		  {SVM_EXIT_NMI, 0, NMI | WATCH},
		  {SVM_EXIT_NMI, 0, WATCH}}},
		{"the hardware lets it in there",
		 0,
		 0,
		 {{SVM_EXIT_VINTR, REQUEST_NMI | SHADOW, KICK}, {SVM_EXIT_NMI, SHADOW, NMI | WATCH}}},
		{"behind a fault", 0, 0, {{EXCEPTION(VEC_GP), REQUEST_NMI, GP | KICK}, {SVM_EXIT_NMI, 0, NMI | WATCH}}},
		{"behind an interrupt that was cut short",
		 0,
		 0,
		 {{SVM_EXIT_EXCP_PF, CUT_INTR | REQUEST_NMI, INTR | KICK}, {SVM_EXIT_NMI, 0, NMI | WATCH}}},
		{"a kick behind an event needs none", 0, 0, {{SVM_EXIT_EXCP_PF, CUT_INTR, INTR}}},
	};

	run_all(all, ARRAY_SIZE(all));
}

static void an_nmi_whose_delivery_is_cut_short_goes_again(void **state)
{
	static const struct situation all[] = {
		{"by the shadow",
		 0,
		 0,
		 {AN_NMI,
		  {SVM_EXIT_EXCP_PF, CUT_NMI, NMI | WATCH},
		  {SVM_EXIT_EXCP_PF, CUT_NMI, NMI | WATCH},
		  AT_IRET,
		  AFTER_IRET}},
		{"by the guest's fault it is lost, and the handler's IRET unblocks",
		 0,
		 0,
		 {AN_NMI, {SVM_EXIT_EXCP_PF, CUT_NMI | GUEST_FAULT, PF | WATCH}, AT_IRET, AFTER_IRET}},
		{"with another behind it",
		 0,
		 0,
		 {AN_NMI,
		  {SVM_EXIT_EXCP_PF, CUT_NMI | REQUEST_NMI, NMI | WATCH},
		  {SVM_EXIT_NMI, 0, WATCH},
		  AT_IRET,
		  {EXCEPTION(VEC_DB), 0, NMI | WATCH, BACK, FLAGS, DR6_BS}}},
	};

	run_all(all, ARRAY_SIZE(all));
}

/* The processor starts again at 0: nothing blocks, nothing waits, no step goes on. */
static void an_init_wipes_all_of_it(void **state)
{
	static const struct situation all[] = {
		{"blocked", 0, 0, {AN_NMI, {SVM_EXIT_NMI, REQUEST_INIT, 0}, AN_NMI}},
		{"one waits",
		 0,
		 0,
		 {AN_NMI, {SVM_EXIT_NMI, DEVICE_NMI, WATCH}, {SVM_EXIT_NMI, REQUEST_INIT, 0}, {SVM_EXIT_NMI, 0, 0}}},
		{"one comes with it", 0, 0, {{SVM_EXIT_NMI, DEVICE_NMI | REQUEST_INIT, 0}, {SVM_EXIT_NMI, 0, 0}}},
		{"in a step", 0, 0, {AN_NMI, AT_IRET, {SVM_EXIT_NMI, REQUEST_INIT, 0}, {SVM_EXIT_NMI, 0, 0}}},
		{"in a step at 0",
		 0,
		 0,
		 {AN_NMI, {SVM_EXIT_IRET, 0, STEP | TF, 0, FLAGS}, {SVM_EXIT_NMI, REQUEST_INIT, 0}}},
		{"in a step of one that steps",
		 DR6_BS,
		 0,
		 {{SVM_EXIT_NMI, DEVICE_NMI, NMI | WATCH, .shows = DR6_BS},
		  {SVM_EXIT_IRET, 0, STEP | TF, IRET, FLAGS | RFLAGS_TF},
		  {SVM_EXIT_NMI, REQUEST_INIT, 0}}},
	};

	for (u32 i = 0; i < ARRAY_SIZE(all); i++) {
		fresh(NULL);
		vmcb.dr6 |= all[i].dr6;
		if (i == 4)
			vmcb.rip = 0;
		run(all[i].name, all[i].steps, STEPS_MAX);
		assert_int_equal(waits, 1);
	}
}

/* A device's NMI to a processor that waits for its start-up message comes behind the start, once; an INIT wipes one that came before. */
/* adversarial: 29 */
static void an_nmi_in_the_wait_for_a_start_comes_behind_it(void **state)
{
	static const struct step started[] = {{SVM_EXIT_NMI, REQUEST_INIT, NMI | WATCH}, {SVM_EXIT_NMI, 0, WATCH}};
	static const struct step wiped[] = {{SVM_EXIT_NMI, DEVICE_NMI | REQUEST_INIT, 0}, {SVM_EXIT_NMI, 0, 0}};
	static const struct step before[] = {{SVM_EXIT_VINTR, REQUEST_INIT, 0}, {SVM_EXIT_NMI, 0, 0}};

	nmi_in_wait = true;
	run("in the wait", started, ARRAY_SIZE(started));
	fresh(NULL);
	run("at the INIT", wiped, ARRAY_SIZE(wiped));
	fresh(NULL);
	nmis = ++nmis_taken;
	run("before the INIT", before, ARRAY_SIZE(before));
}

static void halt_at(u64 rip, bool shadow, const char *bytes, u32 count)
{
	vcpu.several = true;
	vmcb.rflags = RFLAGS_IF;
	vmcb.rip = rip;
	vmcb.interrupt_shadow = shadow ? VMCB_INTERRUPT_SHADOW : 0;
	memcpy(code, bytes, count);
	code_bytes = count;
	svm_halt_begin(&vcpu);
}

/* An interrupt that exits at the HLT, as on QEMU, whose VMRUN drops the interrupt shadow; slept: the HLT exited before, and was begun again. */
static void an_interrupt_goes_behind_a_halt_that_a_shadow_covers(void **state)
{
	for (u32 i = 0; i < 4; i++) {
		bool shadow = i & 1, slept = i & 2;

		halt_at(0x1000, shadow, "\xf4", 1);
		svm.halt_next = slept ? 0x1002 : 0;
		svm_halt_end(&vcpu);
		assert_int_equal(vmcb.rip, !shadow ? 0x1000 : slept ? 0x1002 : 0x1001);
		assert_int_equal(vmcb.interrupt_shadow, 0);
		assert_false(svm.halted);
	}
	halt_at(0x1000, true, "\xf4", 1);
	vmcb.rip = 0x1001; /* it slept */
	svm_halt_end(&vcpu);
	assert_int_equal(vmcb.rip, 0x1001);
}

/*
 * Its length is that at its exit, whatever becomes of its bytes: told by the processor, seen where code is remembered, or read.
 * What is no HLT any more has none, and the interrupt comes first.
 */
static void a_halt_is_as_long_as_when_it_exited(void **state)
{
	static const struct {
		const char *bytes;
		u8 count, len, len32;
	} cases[] = {
		{"\xf4", 1, 1, 1},
		{"\x66\xf4", 2, 2, 2},
		{"\x48\xf4", 2, 2, 0},
		{"\xf3\x2e\x41\xf4", 4, 4, 0},
		{"\x67\x64\x65\xf2\xf4", 5, 5, 5},
		{"\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\xf4", 15, 15, 15},
		{"\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\xf4", 16, 0, 0},
		{"\xf0\xf4", 2, 0, 0},
		{"\x90\xf4", 2, 0, 0},
		{"\x66\x66", 2, 0, 0}, /* and then there is no page */
	};

	for (u32 i = 0; i < 3 * ARRAY_SIZE(cases); i++) {
		u32 n = i / 3, how = i % 3; /* in 64-bit code remembered or not; in 32-bit code at base 0x10000 */
		u32 len = how == 2 ? cases[n].len32 : cases[n].len;

		fresh(NULL);
		code_is_remembered = how == 0;
		vmcb.cs.base = 0x10000;
		if (how == 2)
			vmcb.cs.attributes = 0;
		code_base = how == 2 ? 0x10000 : 0;
		halt_at(0x1000, true, cases[n].bytes, cases[n].count);
		memset(code, 0xcc, sizeof(code));
		svm_halt_end(&vcpu);
		assert_int_equal(vmcb.rip, 0x1000 + len);
		assert_int_equal(vmcb.interrupt_shadow, len ? 0 : VMCB_INTERRUPT_SHADOW);
	}
	fresh(NULL);
	svm_found.assists.next_rip = true;
	vmcb.next_rip = 0x1003;
	halt_at(0x1000, true, "\x90", 1);
	svm_halt_end(&vcpu);
	assert_int_equal(vmcb.rip, 0x1003);
}

/* With interrupts off, until a message or an NMI is there; each thing that ends it, or makes it another instruction, is tried alone. */
static void a_halt_with_interrupts_off_lasts(void **state)
{
	enum { NOTHING, AT_THE_HALT, INTERRUPTS_ON, AWAKE, ELSEWHERE, STEPPED, EVENT, NMI_WAITS, NMI_CAME, CASES };

	for (u32 i = 0; i < CASES; i++) {
		fresh(NULL);
		halt_at(0x1000, false, "\xf4", 1);
		vcpu.rip = i == AT_THE_HALT ? 0x1000 : i == ELSEWHERE ? 0x2000 : 0x1001;
		vcpu.rflags = FLAGS | (i == INTERRUPTS_ON ? RFLAGS_IF : 0);
		svm.halted = i != AWAKE;
		svm.step = i == STEPPED;
		vcpu.inject.type = i == EVENT ? EVENT_EXCEPTION : EVENT_NONE;
		vcpu.nmi_waits = i == NMI_WAITS;
		nmis_taken += i == NMI_CAME;
		assert_int_equal(svm_halt_lasts(&vcpu), i <= AT_THE_HALT);
	}
}

/* With one processor NMIs and IRET are the guest's own. */
static void one_processor_alone_has_none_of_it(void **state)
{
	vcpu.several = false;
	svm_set_intercepts(&vcpu, INTERCEPT_CR3_READ);
	assert_false(intercepted(SVM_EXIT_NMI) || intercepted(SVM_EXIT_IRET) || intercepted(SVM_EXIT_INTR));
	svm_set_intercepts(&vcpu, INTERCEPT_DB | INTERCEPT_NMI | INTERCEPT_INTR);
	assert_true(intercepted(SVM_EXIT_NMI) && intercepted(SVM_EXIT_INTR) && !intercepted(SVM_EXIT_IRET));
	assert_int_equal(vmcb.intercept[SVM_EXIT_EXCP_FIRST / 32], BIT(VEC_DB) | BIT(VEC_PF));
	svm_set_intercepts(&vcpu, INTERCEPT_CR3_READ);
	assert_false(intercepted(SVM_EXIT_NMI) || intercepted(SVM_EXIT_IRET) || intercepted(SVM_EXIT_INTR));
	assert_int_equal(vmcb.intercept[SVM_EXIT_EXCP_FIRST / 32], BIT(VEC_PF));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(an_nmi_is_a_kick_or_the_guests, fresh),
		cmocka_unit_test_setup(a_blocked_nmi_waits_for_the_end_of_the_iret, fresh),
		cmocka_unit_test_setup(nobody_sees_the_step_over_an_iret, fresh),
		cmocka_unit_test_setup(an_nmi_that_cannot_go_yet_makes_one_exit, fresh),
		cmocka_unit_test_setup(an_nmi_whose_delivery_is_cut_short_goes_again, fresh),
		cmocka_unit_test_setup(an_init_wipes_all_of_it, fresh),
		cmocka_unit_test_setup(an_nmi_in_the_wait_for_a_start_comes_behind_it, fresh),
		cmocka_unit_test_setup(an_interrupt_goes_behind_a_halt_that_a_shadow_covers, fresh),
		cmocka_unit_test_setup(a_halt_is_as_long_as_when_it_exited, fresh),
		cmocka_unit_test_setup(a_halt_with_interrupts_off_lasts, fresh),
		cmocka_unit_test_setup(one_processor_alone_has_none_of_it, fresh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
