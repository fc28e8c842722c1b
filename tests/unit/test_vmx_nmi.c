/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * NMIs of a guest on VMX (vmx/nmi.c): what an entry injects, what it leaves waiting, and which exit it asks for (SDM vol. 3
 * sections 25.3 and 26.7.6), from every state of the guest.
 */
#include "tests/unit/host.h"

#include "arch/x86/guest/hw.h"
#include "arch/x86/guest/stop.h"
#include "tests/unit/fake_vmx.h"

static struct vcpu vcpu;
static struct vmx_vcpu vmx;
static u64 nmis; /* that the handler counted */
static bool window;

u64 hw_nmis(const struct vendor *vendor)
{
	return nmis;
}
void vmx_set_nmi_window(struct vcpu *v, bool on)
{
	window = on;
}
NORETURN void guest_shutdown(struct vcpu *v)
{
	panic("shutdown");
}

static int fresh(void **state)
{
	vcpu = (struct vcpu){.hw = &vmx};
	vmx = (struct vmx_vcpu){.nmi_seen = 7};
	nmis = 7;
	window = true; /* of the entry before */
	fake_vmx_reset();
	fake_controls.virtual_nmis = true;
	return 0;
}

static void entry_gives(u8 event, bool waits, bool asks)
{
	vmx_nmi_entry(&vcpu);
	assert_int_equal(vcpu.inject.type, event);
	assert_int_equal(vcpu.nmi_waits, waits);
	assert_int_equal(window, asks);
}

static void without_an_nmi_nothing_is_asked_for(void **state)
{
	entry_gives(EVENT_NONE, false, false);
	vcpu.inject.type = EVENT_INTERRUPT;
	entry_gives(EVENT_INTERRUPT, false, false);
}

/* Those of devices, of which several are one, and those of another processor. */
/* adversarial: 29 */
static void one_that_can_go_goes_once(void **state)
{
	for (u32 from = 1; from < 4; from++) {
		nmis += from & 1 ? 2 : 0;
		vcpu.nmi_waits = from & 2;
		entry_gives(EVENT_NMI, false, false);
		vcpu.inject.type = EVENT_NONE;
		entry_gives(EVENT_NONE, false, false);
	}
}

static void one_behind_another_event_or_a_shadow_waits_for_the_window(void **state)
{
	static const u8 events[] = {EVENT_INTERRUPT, EVENT_EXCEPTION, EVENT_SOFT_INTERRUPT};

	for (u32 i = 0; i < ARRAY_SIZE(events); i++) {
		vcpu.nmi_waits = true;
		vcpu.inject.type = events[i];
		entry_gives(events[i], true, true);
		vcpu.inject.type = EVENT_NONE;
		entry_gives(EVENT_NMI, false, false);
		vcpu.inject.type = EVENT_NONE;
	}
	nmis++;
	vcpu.interrupt_shadow = true;
	entry_gives(EVENT_NONE, true, true);
	vcpu.interrupt_shadow = false;
	entry_gives(EVENT_NMI, false, false);
}

static void a_blocked_one_waits_for_the_window(void **state)
{
	vcpu.nmi_blocked = true;
	nmis++;
	entry_gives(EVENT_NONE, true, true);
	vcpu.inject = (struct vcpu_event){.type = EVENT_NMI, .vector = VEC_NMI}; /* they are one */
	entry_gives(EVENT_NONE, true, true);
	vcpu.nmi_blocked = false;
	entry_gives(EVENT_NMI, false, false);
}

/* It blocks others, not itself. */
static void one_whose_delivery_was_cut_short_goes_again(void **state)
{
	vcpu.nmi_blocked = true;
	vcpu.exit.interrupted.type = vcpu.inject.type = EVENT_NMI;
	entry_gives(EVENT_NMI, false, false);
	nmis++;
	entry_gives(EVENT_NMI, true, true);
	vcpu.inject.type = vcpu.exit.interrupted.type = EVENT_NONE;
	entry_gives(EVENT_NONE, true, true);
}

/* An exit where interrupts open, and then any other. */
static void without_virtual_nmis_the_window_is_asked_for_once(void **state)
{
	fake_controls.virtual_nmis = false;
	vcpu.nmi_blocked = vcpu.nmi_waits = true;
	entry_gives(EVENT_NONE, true, true);
	vcpu.exit.kind = EXIT_WINDOW;
	entry_gives(EVENT_NONE, true, false);
	vcpu.exit.kind = EXIT_CPUID;
	entry_gives(EVENT_NONE, true, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(without_an_nmi_nothing_is_asked_for, fresh),
		cmocka_unit_test_setup(one_that_can_go_goes_once, fresh),
		cmocka_unit_test_setup(one_behind_another_event_or_a_shadow_waits_for_the_window, fresh),
		cmocka_unit_test_setup(a_blocked_one_waits_for_the_window, fresh),
		cmocka_unit_test_setup(one_whose_delivery_was_cut_short_goes_again, fresh),
		cmocka_unit_test_setup(without_virtual_nmis_the_window_is_asked_for_once, fresh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
