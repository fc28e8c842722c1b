/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who executes a guest that the hardware does not run in every state (arch/x86/guest/execution.h): the decision, what happens between
 * two instructions that are interpreted, and that an entry takes whatever is decided to be virtual-8086 mode. The interpreter
 * here is a script.
 */
#include "tests/unit/host.h"

#include <string.h>

#include "arch/x86/guest/execution.h"
#include "arch/x86/guest/execution_run.h"
#include "arch/x86/guest/exits.h"
#include "arch/x86/guest/hw.h"
#include "arch/x86/guest/interpret.h"
#include "arch/x86/guest/run.h"
#include "arch/x86/guest/state.h"
#include "arch/x86/guest/stop.h"
#include "tests/unit/fake_vmx.h"
#include "vmx/check.h"

static struct vcpu vcpu;
static struct vmx_vcpu hw;
static struct segment segments[SEG_COUNT];

/* --- the machine below ---------------------------------------------------------------- */

/* What happened, a letter each. */
static char story[64];
static const char *script;     /* what interpret_one() does: a letter each */
static const char *interrupts; /* what hw_take_interrupt() finds: '-' nothing */
static u32 nmis_to_come, kicks;

static void tell(char what)
{
	u64 n = strlen(story);

	assert_true(n < sizeof(story) - 1);
	story[n] = what;
}

static void get_segment(const struct vcpu *v, enum segment_name which, struct segment *out)
{
	*out = segments[which];
}

static void look(struct vcpu *v)
{
	if (nmis_to_come) {
		nmis_to_come--;
		v->nmi_waits = true;
	}
}

static const struct vendor vendor = {.name = "fake", .get_segment = get_segment, .look = look};

enum interpreted interpret_one(struct vcpu *v)
{
	char what = *script++;

	v->interrupt_shadow = false;
	v->interpreted++;
	tell(what);
	switch (what) {
	case 's': /* STI */
		v->rflags |= RFLAGS_IF;
		v->interrupt_shadow = true;
		return INTERPRETED;
	case 'e':
		v->inject = (struct vcpu_event){.type = EVENT_EXCEPTION, .vector = VEC_UD};
		return INTERPRET_EVENT;
	case 'p': return INTERPRET_EVENT; /* a debugger's point alone: nothing to deliver */
	case 'h': return INTERPRET_HALT;
	case 'r': v->nmi_blocked = false; return INTERPRETED; /* IRET */
	case 'v':                                             /* a far jump: the hardware can */
		v->execution = EXECUTION_UNDECIDED;
		segments[SEG_CS].base = (u64)segments[SEG_CS].selector << 4;
		return INTERPRETED;
	case 'l': v->interpreted += 399; return INTERPRETED;
	default: return INTERPRETED;
	}
}

enum interpreted interpret_some(struct vcpu *v)
{
	return interpret_one(v);
}

void interpret_deliver(struct vcpu *v, const struct vcpu_event *event)
{
	v->interrupt_shadow = false;
	tell(event->type == EVENT_NMI ? 'N' : event->type == EVENT_INTERRUPT ? 'I' : 'E');
	if (event->type == EVENT_NMI)
		v->nmi_blocked = true;
	v->rflags &= ~RFLAGS_IF;
}

int hw_take_interrupt(void)
{
	assert_true(vcpu.rflags & RFLAGS_IF && !vcpu.interrupt_shadow);
	return *interrupts && *interrupts++ != '-' ? 0x20 : -1;
}
int hw_wait_interrupt(void)
{
	tell('w');
	return hw_take_interrupt();
}
void hw_wait(const struct vendor *v)
{
	tell('W');
	assert_true(kicks > 0);
	if (!--kicks)
		nmis_to_come = 1;
}
bool hw_was_kicked(void)
{
	return false;
}
bool hw_stop_asked(void)
{
	return false;
}
NORETURN void hw_stop(void)
{
	panic("stopped");
}
void guest_messages(struct vcpu *v)
{
	tell('m');
}
void guest_prepare_entry(struct vcpu *v) {}
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
int hw_msr_write(u32 msr, u64 value)
{
	return 0;
}
u64 hw_nmis(const struct vendor *v)
{
	return 0;
}
NORETURN void guest_stop(struct vcpu *v, const char *format, ...)
{
	panic("%s", format);
}
NORETURN void guest_shutdown(struct vcpu *v)
{
	panic("shutdown");
}
void exit_dispatch(struct vcpu *v)
{
	tell('d');
}

/* --- the state ----------------------------------------------------------------------------- */

static void real_mode(void)
{
	for (u32 i = SEG_ES; i <= SEG_GS; i++)
		segments[i] = (struct segment){(u16)(0x1000 * i + 3), i == SEG_CS ? 0x9b : 0x93, 0xffff,
					       0x10000 * i + 0x30};
	segments[SEG_LDTR] = (struct segment){.attributes = 0x82, .limit = 0xffff};
	segments[SEG_TR] = (struct segment){.attributes = 0x8b, .limit = 0xffff};
	segments[SEG_GDTR] = segments[SEG_IDTR] = (struct segment){.limit = 0x3ff};
}

static int fresh(void **state)
{
	static struct shadow_mmu_head mmu;
	static struct guest guest;

	memset(story, 0, sizeof(story));
	script = interrupts = "";
	nmis_to_come = kicks = 0;
	vcpu = (struct vcpu){.vendor = &vendor,
			     .hw = &hw,
			     .guest = &guest,
			     .next_audit = ~0ull,
			     .cr0 = CR0_ET,
			     .rflags = RFLAGS_FIXED};
	vcpu.mmu = (struct shadow_mmu *)&mmu;
	vcpu.execution = EXECUTION_UNDECIDED;
	real_mode();
	return 0;
}

static void run(const char *instructions, const char *what_comes, const char *expected)
{
	script = instructions;
	interrupts = what_comes;
	execution_run(&vcpu);
	assert_string_equal(story, expected);
	memset(story, 0, sizeof(story));
}

/* --- the decision ---------------------------------------------------------------------------- */

static void real_mode_is_virtual_8086_mode_where_bases_are_selectors(void **state)
{
	assert_int_equal(execution_decide(&vcpu), EXECUTION_VIRTUAL_8086);
	for (u32 i = SEG_ES; i <= SEG_GS; i++) {
		bool wide = i == SEG_CS || i == SEG_SS;

		segments[i].base += 16;
		assert_int_equal(execution_decide(&vcpu), EXECUTION_INTERPRETED);
		real_mode();
		segments[i].limit = 0xfffe;
		assert_int_equal(execution_decide(&vcpu), EXECUTION_INTERPRETED);
		real_mode();
		segments[i].limit = ~0u; /* unreal mode */
		assert_int_equal(execution_decide(&vcpu), EXECUTION_VIRTUAL_8086);
		segments[i].attributes |= SEG_ATTR_G | SEG_ATTR_DB;
		assert_int_equal(execution_decide(&vcpu), wide ? EXECUTION_INTERPRETED : EXECUTION_VIRTUAL_8086);
		real_mode();
		segments[i].attributes = 0x97; /* expand-down */
		assert_int_equal(execution_decide(&vcpu), EXECUTION_INTERPRETED);
		real_mode();
		segments[i].attributes |= SEG_ATTR_UNUSABLE;
		assert_int_equal(execution_decide(&vcpu), EXECUTION_INTERPRETED);
		real_mode();
	}
}

static void protected_mode_is_the_hardwares_where_an_entry_takes_it(void **state)
{
	vcpu.cr0 |= CR0_PE;
	assert_int_equal(execution_decide(&vcpu), EXECUTION_INTERPRETED); /* RPL above DPL */
	for (u32 i = SEG_ES; i <= SEG_GS; i++) {
		assert_int_equal(execution_decide(&vcpu), EXECUTION_INTERPRETED);
		segments[i] = (struct segment){8, i == SEG_CS ? SEG_FLAT_CODE32 : SEG_FLAT_DATA, ~0u, 0};
	}
	assert_int_equal(execution_decide(&vcpu), EXECUTION_NATIVE);
	segments[SEG_GS].selector |= 3; /* RPL above DPL */
	assert_int_equal(execution_decide(&vcpu), EXECUTION_INTERPRETED);
	vcpu.efer = EFER_LMA | EFER_LME;
	assert_int_equal(execution_decide(&vcpu), EXECUTION_NATIVE);
}

/* A guest's own virtual-8086 mode. */
static void virtual_8086_mode_of_protected_mode_is_the_hardwares(void **state)
{
	vcpu.cr0 |= CR0_PE;
	vcpu.rflags |= RFLAGS_VM;
	for (u32 i = SEG_ES; i <= SEG_GS; i++)
		segments[i].attributes = 0xf3;
	assert_int_equal(execution_decide(&vcpu), EXECUTION_NATIVE);
	segments[SEG_DS].limit = ~0u;
	assert_int_equal(execution_decide(&vcpu), EXECUTION_INTERPRETED);
}

/* --- between instructions -------------------------------------------------------------------- */

static void what_the_hardware_can_run_is_left_to_it(void **state)
{
	run("", "", "");
	assert_int_equal(vcpu.execution, EXECUTION_VIRTUAL_8086);
	vcpu.execution = EXECUTION_UNDECIDED;
	segments[SEG_CS].base++;
	run("..v", "", "..v");
	assert_int_equal(vcpu.execution, EXECUTION_VIRTUAL_8086);
}

static void interrupts_come_between_instructions_where_they_are_let_in(void **state)
{
	segments[SEG_CS].base++;
	run("..v", "!", "..v"); /* IF is 0 */
	segments[SEG_CS].base++;
	vcpu.execution = EXECUTION_UNDECIDED;
	run("s.v", "!", "s.Iv"); /* behind the shadow */
	/* In virtual-8086 mode the entry finds it. */
	vcpu.rflags |= RFLAGS_IF;
	vcpu.interrupt_shadow = true;
	run(".", "!", ".");
	vcpu.exit.kind = EXIT_INTERRUPT;
	run("", "!", "I");
}

static void an_event_of_an_instruction_comes_first_then_an_nmi_then_an_interrupt(void **state)
{
	segments[SEG_CS].base++;
	vcpu.rflags |= RFLAGS_IF;
	nmis_to_come = 1;
	vcpu.inject = (struct vcpu_event){.type = EVENT_EXCEPTION, .vector = VEC_UD};
	run("v", "!", "ENv"); /* the deliveries have cleared IF */
	assert_true(vcpu.nmi_blocked);
}

static void a_debuggers_point_delivers_nothing(void **state)
{
	segments[SEG_CS].base++;
	run("p.v", "", "p.v");
}

static void an_nmi_waits_for_an_iret(void **state)
{
	segments[SEG_CS].base++;
	vcpu.nmi_blocked = vcpu.nmi_waits = true;
	run("..r.v", "", "..rN.v");
}

/* An event for a guest that the hardware runs again is the entry's. */
static void an_event_of_a_native_guest_is_left_alone(void **state)
{
	vcpu.cr0 |= CR0_PE;
	vcpu.efer = EFER_LMA;
	for (u32 i = SEG_ES; i <= SEG_GS; i++)
		segments[i].selector = 8;
	vcpu.inject = (struct vcpu_event){.type = EVENT_EXCEPTION, .vector = VEC_UD};
	run("", "", "");
	assert_int_equal(vcpu.inject.type, EVENT_EXCEPTION);
	assert_int_equal(vcpu.execution, EXECUTION_NATIVE);
}

static void a_halt_lasts_until_something_comes(void **state)
{
	segments[SEG_CS].base++;
	vcpu.rflags |= RFLAGS_IF;
	run("h.v", "----!", "hwwI.v"); /* before the HLT, and at each turn: two looks find nothing */
	segments[SEG_CS].base++;
	vcpu.execution = EXECUTION_UNDECIDED;
	kicks = 3;
	run("hv", "!", "hWWWNv"); /* IF is 0: an NMI alone */
	assert_false(vcpu.halted);
}

/* Virtual-8086 mode too: it would go on behind the HLT. */
static void a_halted_guest_is_not_entered(void **state)
{
	vcpu.halted = true;
	vcpu.rflags |= RFLAGS_IF;
	run("", "--!", "wI");
}

static void who_is_interpreted_for_long_looks_at_messages(void **state)
{
	segments[SEG_CS].base++;
	vcpu.several = true;
	run("l.l.v", "", "lm.lm.v");
}

/* --- exits from virtual-8086 mode ---------------------------------------------------------------- */

static void exceptions_are_the_guests_or_an_instructions(void **state)
{
	for (u32 vector = 0; vector < 32; vector++) {
		bool interpreted = vector == VEC_GP || vector == VEC_SS || vector == VEC_BP || vector == VEC_OF ||
				   vector == VEC_DB;

		vcpu.exit = (struct vcpu_exit){.kind = EXIT_EXCEPTION, .vector = (u8)vector};
		vcpu.inject.type = EVENT_NONE;
		script = ".";
		memset(story, 0, sizeof(story));
		execution_exit(&vcpu);
		assert_string_equal(story, interpreted ? "." : "");
		assert_int_equal(vcpu.inject.type, interpreted ? EVENT_NONE : EVENT_EXCEPTION);
	}
	vcpu.exit.kind = EXIT_CPUID;
	memset(story, 0, sizeof(story));
	execution_exit(&vcpu);
	assert_string_equal(story, "d");
}

/* --- VMX: the form that an entry takes ------------------------------------------------------------ */

static void report(void *arg, const char *check)
{
	panic("%s", check);
}

static u64 random_state = 1;
static u32 any(u32 n)
{
	random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
	return (u32)(random_state >> 33) % n;
}

/* Real mode with what a guest can bring to it, decided by the rules. */
static void random_real_mode(void)
{
	static const u32 attributes[] = {0x93, 0x9b, 0x92, 0x91, 0x81, 0xf3, 0x0, 0xcf93 & ~0xf00, 0x97};

	real_mode();
	for (u32 i = SEG_ES; i <= SEG_GS; i++) {
		segments[i].selector = (u16)any(0x10000);
		segments[i].base = ((u64)segments[i].selector << 4) + (any(20) ? 0 : 1 + any(16));
		segments[i].limit = any(3) ? 0xffff : ~0u;
		if (!any(3))
			segments[i].attributes = attributes[any(ARRAY_SIZE(attributes))];
	}
	segments[SEG_TR].attributes = any(2) ? 0x8b : 0x83;
	segments[SEG_LDTR].attributes = any(2) ? 0x82 : SEG_ATTR_UNUSABLE;
}

static void put_vmcs(void)
{
	fake_vmx_reset();
	fake_vmx_model(any(2) ? FAKE_PENRYN : FAKE_SKYLAKE_X);
	vmx_capability_read(&fake_capability, fake_vmx_read_msr);
	fake_vmx_good_state();
	hw = (struct vmx_vcpu){0};
	for (u32 w = 0; w < VMX_CONTROL_WORDS; w++)
		hw.word[w] = fake_controls.word[w];
	vmcs_write32(VMCS_GUEST_SYSENTER_CS, 0x10);
	vmcs_write_natural(VMCS_GUEST_CR3, HOST_ARENA_BASE);
	vmcs_write_natural(VMCS_GUEST_RIP, any(0x10000));
	for (u32 i = 0; i < SEG_COUNT; i++)
		vmx_set_segment(&vcpu, (enum segment_name)i, &segments[i]);
}

static void assert_segments(void)
{
	struct segment s;

	for (u32 i = 0; i < SEG_COUNT; i++) {
		vmx_get_segment(&vcpu, (enum segment_name)i, &s);
		if (i <= SEG_TR)
			assert_int_equal(s.selector, segments[i].selector);
		assert_int_equal(s.attributes, i <= SEG_TR ? segments[i].attributes : 0);
		assert_int_equal(s.limit, segments[i].limit);
		assert_int_equal(s.base, segments[i].base);
	}
}

static u32 pinned(void)
{
	return vmcs_read32(VMCS_PIN_CONTROLS) & (PIN_INTR_EXITING | PIN_NMI_EXITING);
}

static void enter(u64 rflags)
{
	vcpu.rflags = rflags;
	vmx_v8086_load(&vcpu);
	vmcs_write_natural(VMCS_GUEST_RFLAGS, vmx_v8086_rflags(&vcpu));
	assert_int_equal(vmx_check(&fake_capability, 46, report, NULL), 0);
}

static void an_entry_takes_whatever_is_virtual_8086_mode_and_the_guests_own_state_comes_back(void **state)
{
	u32 entered = 0;

	host_arena_create(1 << 20); /* the PDPTEs */
	for (u32 n = 0; n < 20000; n++) {
		u64 rflags = RFLAGS_FIXED | (any(0x10000) & 0x7fd5) | (any(2) ? RFLAGS_AC : 0);

		random_real_mode();
		vcpu.execution = (u8)execution_decide(&vcpu);
		if (vcpu.execution != EXECUTION_VIRTUAL_8086)
			continue;
		entered++;
		vcpu.cr0 = CR0_ET | (any(2) ? CR0_AM | CR0_TS | CR0_NW | CR0_CD : 0);
		vcpu.cr4 = any(2) ? CR4_VME | CR4_PVI | CR4_TSD | CR4_PCE | CR4_UMIP | CR4_SMEP : 0;
		vcpu.efer = any(2) ? EFER_LME : 0;
		vcpu.nmi_blocked = any(2);
		put_vmcs();
		fake_controls.word[VMX_ENTRY] &= ~(u32)ENTRYC_IA32E_GUEST;
		vcpu.execution = EXECUTION_VIRTUAL_8086;
		enter(rflags);
		assert_int_equal(pinned(), PIN_NMI_EXITING | (rflags & RFLAGS_IF ? PIN_INTR_EXITING : 0));
		assert_int_equal(vmcs_read32(VMCS_EXCEPTION_BITMAP), ~0u);
		assert_int_equal(vmcs_read32(VMCS_GUEST_SYSENTER_CS), 0);
		assert_int_equal(vmcs_read_natural(VMCS_GUEST_RFLAGS) & RFLAGS_IOPL, 0);
		assert_int_equal(vmcs_read_natural(VMCS_GUEST_CR0) & CR0_AM, 0);
		assert_int_equal(
			vmcs_read_natural(VMCS_GUEST_CR4) & (CR4_VME | CR4_PVI | CR4_TSD | CR4_PCE | CR4_UMIP), 0);
		assert_int_equal(vmcs_read_natural(VMCS_CR0_SHADOW), vcpu.cr0);
		assert_segments();
		vcpu.rflags = vmcs_read_natural(VMCS_GUEST_RFLAGS);
		vmx_v8086_store(&vcpu);
		assert_int_equal(vcpu.rflags, rflags);
		/* A load by the interpreter, another entry, and out of it. */
		segments[SEG_DS].limit = ~0u;
		segments[SEG_DS].selector ^= 1;
		segments[SEG_DS].base ^= 16;
		vmx_set_segment(&vcpu, SEG_DS, &segments[SEG_DS]);
		assert_int_equal(vcpu.execution, EXECUTION_UNDECIDED);
		assert_segments();
		vcpu.execution = EXECUTION_VIRTUAL_8086;
		enter(rflags ^ RFLAGS_IF);
		assert_int_equal(pinned(), PIN_NMI_EXITING | (rflags & RFLAGS_IF ? 0 : PIN_INTR_EXITING));
		vcpu.cr0 |= CR0_PE;
		vcpu.execution = EXECUTION_NATIVE;
		vmx_v8086_load(&vcpu);
		assert_int_equal(pinned(), 0);
		assert_int_equal(vmcs_read32(VMCS_EXCEPTION_BITMAP), BIT(VEC_PF));
		assert_int_equal(vmcs_read32(VMCS_GUEST_SYSENTER_CS), 0x10);
		assert_segments();
		vcpu.cr0 = CR0_ET;
	}
	assert_true(entered > 1000);
	host_arena_destroy();
}

/* Behind an exit of the instruction in its shadow; the hardware's bit of a step is none. */
static void breakpoints_that_mov_ss_met_wait_for_the_next_instruction(void **state)
{
	host_arena_create(1 << 20);
	real_mode();
	put_vmcs();
	vmx_v8086_begin(&vcpu);
	for (u32 shadow = 0; shadow < 2; shadow++) {
		vcpu.execution = EXECUTION_VIRTUAL_8086;
		vcpu.interrupt_shadow = shadow;
		vcpu.breakpoints_hit = 4; /* of something else */
		vmcs_write_natural(VMCS_GUEST_PENDING_DEBUG, PENDING_DEBUG_BS | 1 << 12 | 9);
		vmx_v8086_store(&vcpu);
		assert_int_equal(vcpu.breakpoints_hit, shadow ? 9 : 0);
		assert_int_equal(vmcs_read_natural(VMCS_GUEST_PENDING_DEBUG), 0);
		vcpu.exit.kind = EXIT_CPUID;
		execution_exit(&vcpu);
		assert_int_equal(vcpu.breakpoints_hit, shadow ? 9 : 0);
	}
	host_arena_destroy();
}

/* CR0.PE and CR0.PG by one write, in real mode with any selectors: the entry that follows is IA-32e mode's. */
static void an_entry_takes_ia32e_mode_straight_from_real_mode(void **state)
{
	static const struct vendor vmx = {.get_segment = vmx_get_segment, .set_segment = vmx_set_segment};
	struct segment before, after;
	u32 changed = 0;

	host_arena_create(1 << 20);
	for (u32 n = 0; n < 2000; n++) {
		real_mode();
		for (u32 i = SEG_ES; i <= SEG_GS; i++) {
			segments[i].selector = (u16)any(0x10000);
			segments[i].base = (u64)segments[i].selector << 4;
			if (i != SEG_CS && i != SEG_SS && !any(4))
				segments[i].attributes |= SEG_ATTR_UNUSABLE;
		}
		vcpu.vendor = &vmx;
		vcpu.cr0 = CR0_ET;
		vcpu.cr4 = CR4_PAE;
		vcpu.efer = EFER_LME;
		vcpu.rflags = RFLAGS_FIXED;
		put_vmcs();
		vmcs_write_natural(VMCS_GUEST_PENDING_DEBUG, PENDING_DEBUG_BS);
		vmx_v8086_begin(&vcpu);
		assert_int_equal(vmcs_read_natural(VMCS_GUEST_PENDING_DEBUG), 0);
		vcpu.cr0 |= CR0_PE | CR0_PG | CR0_NE;
		vcpu.efer |= EFER_LMA;
		vcpu.execution = EXECUTION_UNDECIDED;
		vcpu.inject.type = EVENT_NONE;
		execution_run(&vcpu);
		assert_int_equal(vcpu.execution, EXECUTION_NATIVE);
		vmx_v8086_load(&vcpu);
		assert_int_equal(vmx_check(&fake_capability, 46, report, NULL), 0);
		for (u32 i = SEG_ES; i <= SEG_GS; i++) {
			before = segments[i];
			vmx_get_segment(&vcpu, (enum segment_name)i, &after);
			assert_int_equal(before.selector & ~3, after.selector & ~3);
			assert_int_equal(before.base, after.base);
			changed += before.selector != after.selector;
		}
	}
	assert_true(changed > 1000);
	host_arena_destroy();
	vcpu.vendor = &vendor;
}

/* A kernel at privilege 0 with data segments of user mode, and conforming code as data. */
static void selectors_of_long_mode_stay(void **state)
{
	vcpu.cr0 |= CR0_PE | CR0_PG;
	vcpu.efer = EFER_LME | EFER_LMA;
	for (u32 i = SEG_ES; i <= SEG_GS; i++)
		segments[i] = (struct segment){8, i == SEG_CS ? SEG_FLAT_CODE32 : SEG_FLAT_DATA, ~0u, 0};
	segments[SEG_DS] = (struct segment){0x2b, SEG_FLAT_DATA | 0x60, ~0u, 0};
	segments[SEG_ES] = (struct segment){0x33, 0x809f, ~0u, 0};
	segments[SEG_FS] = (struct segment){3, SEG_ATTR_UNUSABLE, 0, 0};
	vcpu.execution = EXECUTION_UNDECIDED;
	run("", "", ""); /* the vendor here has no set_segment */
	assert_int_equal(vcpu.execution, EXECUTION_NATIVE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(real_mode_is_virtual_8086_mode_where_bases_are_selectors, fresh),
		cmocka_unit_test_setup(protected_mode_is_the_hardwares_where_an_entry_takes_it, fresh),
		cmocka_unit_test_setup(virtual_8086_mode_of_protected_mode_is_the_hardwares, fresh),
		cmocka_unit_test_setup(what_the_hardware_can_run_is_left_to_it, fresh),
		cmocka_unit_test_setup(interrupts_come_between_instructions_where_they_are_let_in, fresh),
		cmocka_unit_test_setup(an_event_of_an_instruction_comes_first_then_an_nmi_then_an_interrupt, fresh),
		cmocka_unit_test_setup(a_debuggers_point_delivers_nothing, fresh),
		cmocka_unit_test_setup(an_nmi_waits_for_an_iret, fresh),
		cmocka_unit_test_setup(an_event_of_a_native_guest_is_left_alone, fresh),
		cmocka_unit_test_setup(a_halt_lasts_until_something_comes, fresh),
		cmocka_unit_test_setup(a_halted_guest_is_not_entered, fresh),
		cmocka_unit_test_setup(who_is_interpreted_for_long_looks_at_messages, fresh),
		cmocka_unit_test_setup(exceptions_are_the_guests_or_an_instructions, fresh),
		cmocka_unit_test_setup(
			an_entry_takes_whatever_is_virtual_8086_mode_and_the_guests_own_state_comes_back, fresh),
		cmocka_unit_test_setup(breakpoints_that_mov_ss_met_wait_for_the_next_instruction, fresh),
		cmocka_unit_test_setup(an_entry_takes_ia32e_mode_straight_from_real_mode, fresh),
		cmocka_unit_test_setup(selectors_of_long_mode_stay, fresh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
