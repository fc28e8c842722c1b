/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * HLT of a guest with several processors on VMX (vmx/halt.c), on a CPU whose activity field says behind an exit what it said before, and
 * on one where it says "active".
 */
#include "tests/unit/host.h"

#include "arch/x86/guest/hw.h"
#include "tests/unit/fake_vmx.h"

#define AT 0xffffffff81000100ull
#define OFF RFLAGS_FIXED
#define ON (RFLAGS_FIXED | RFLAGS_IF)

int hw_msr_read(u32 msr, u64 *value)
{
	return -EIO;
}
int hw_msr_write(u32 msr, u64 value)
{
	return -EIO;
}

static struct vcpu vcpu;
static struct vmx_vcpu vmx;
static const struct vmx_exit_info hlt = {.reason = REASON_HLT, .insn_len = 1};

static bool hlt_exits(void)
{
	return vmcs_read32(VMCS_PRIMARY_CONTROLS) & PRIMARY_HLT_EXITING;
}

static u32 activity(void)
{
	return vmcs_read32(VMCS_GUEST_ACTIVITY);
}

static int fresh(void **state)
{
	fake_vmx_reset();
	vcpu = (struct vcpu){.hw = &vmx};
	vmx = (struct vmx_vcpu){.halt_exits = true};
	vmx_update_intercepts(&vcpu);
	vmcs_write_natural(VMCS_GUEST_RIP, AT);
	assert_true(hlt_exits());
	return 0;
}

static void halt(u64 rflags)
{
	vmcs_write_natural(VMCS_GUEST_RFLAGS, rflags);
	assert_true(vmx_halt_begin(&vcpu, &hlt));
	assert_int_equal(vmcs_read_natural(VMCS_GUEST_RIP), AT + 1);
}

/* An exit; the next entry has the guest in this state. */
static u32 exit_leaves(u32 saved, u64 rip, u64 rflags)
{
	vmcs_write32(VMCS_GUEST_ACTIVITY, saved);
	vcpu.rip = rip;
	vcpu.rflags = rflags;
	vmx_halt_exit(&vcpu);
	return activity();
}

static void it_sleeps_in_the_next_entry(void **state)
{
	vmcs_write32(VMCS_GUEST_INTERRUPTIBILITY, BLOCKING_STI | BLOCKING_NMI);
	halt(ON | RFLAGS_RF);
	assert_int_equal(activity(), ACTIVITY_HLT);
	assert_int_equal(vmcs_read32(VMCS_GUEST_INTERRUPTIBILITY), BLOCKING_NMI);
	assert_int_equal(vmcs_read_natural(VMCS_GUEST_RFLAGS), ON);
	assert_int_equal(vmcs_read_natural(VMCS_GUEST_PENDING_DEBUG), 0);
}

static void another_exit_is_not_touched(void **state)
{
	static const struct vmx_exit_info cpuid = {.reason = REASON_CPUID, .insn_len = 2};

	assert_false(vmx_halt_begin(&vcpu, &cpuid));
	assert_int_equal(vmcs_read_natural(VMCS_GUEST_RIP), AT);
	assert_int_equal(activity(), ACTIVITY_ACTIVE);
}

/* #DB is due behind it: a step, but not with BTF, and what a MOV SS has held back. */
static void one_with_a_debug_exception_does_not_sleep(void **state)
{
	halt(OFF | RFLAGS_TF);
	assert_int_equal(activity(), ACTIVITY_ACTIVE);
	assert_int_equal(vmcs_read_natural(VMCS_GUEST_PENDING_DEBUG), PENDING_DEBUG_BS);
	assert_int_equal(exit_leaves(ACTIVITY_ACTIVE, AT + 1, OFF), ACTIVITY_ACTIVE);
	fresh(state);
	vmcs_write64(VMCS_GUEST_DEBUGCTL, DEBUGCTL_BTF);
	halt(OFF | RFLAGS_TF);
	assert_int_equal(activity(), ACTIVITY_HLT);
	fresh(state);
	vmcs_write_natural(VMCS_GUEST_PENDING_DEBUG, 2);
	halt(OFF);
	assert_int_equal(activity(), ACTIVITY_ACTIVE);
	assert_int_equal(vmcs_read_natural(VMCS_GUEST_PENDING_DEBUG), 2);
}

static void with_interrupts_off_it_goes_on_sleeping(void **state)
{
	halt(OFF);
	for (u32 kick = 0; kick < 3; kick++)
		assert_int_equal(exit_leaves(ACTIVITY_ACTIVE, AT + 1, OFF), ACTIVITY_HLT);
	assert_true(hlt_exits());
}

/* They may have ended it, and their handler may be back. */
static void with_interrupts_on_it_may_be_over(void **state)
{
	halt(ON);
	assert_int_equal(exit_leaves(ACTIVITY_ACTIVE, AT + 1, ON), ACTIVITY_ACTIVE);
	assert_int_equal(exit_leaves(ACTIVITY_ACTIVE, AT + 1, OFF), ACTIVITY_ACTIVE);
}

static void one_that_an_event_has_ended_is_over(void **state)
{
	halt(OFF);
	vmx_halt_end(&vcpu);
	assert_int_equal(activity(), ACTIVITY_ACTIVE);
	assert_int_equal(exit_leaves(ACTIVITY_ACTIVE, AT + 1, OFF), ACTIVITY_ACTIVE);
}

static void once_the_field_says_it_hlt_exits_no_more(void **state)
{
	halt(ON);
	assert_int_equal(exit_leaves(ACTIVITY_HLT, AT + 1, ON), ACTIVITY_HLT);
	assert_false(hlt_exits());
	assert_false(vmx.halt_exits);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(it_sleeps_in_the_next_entry, fresh),
		cmocka_unit_test_setup(another_exit_is_not_touched, fresh),
		cmocka_unit_test_setup(one_with_a_debug_exception_does_not_sleep, fresh),
		cmocka_unit_test_setup(with_interrupts_off_it_goes_on_sleeping, fresh),
		cmocka_unit_test_setup(with_interrupts_on_it_may_be_over, fresh),
		cmocka_unit_test_setup(one_that_an_event_has_ended_is_over, fresh),
		cmocka_unit_test_setup(once_the_field_says_it_hlt_exits_no_more, fresh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
