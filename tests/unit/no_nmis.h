/* SPDX-License-Identifier: BSD-2-Clause */
/* For tests of svm/ with one processor: what svm/nmi.c calls with several (test_svm_nmi). One file of a program includes it. */
#ifndef TESTS_UNIT_NO_NMIS_H
#define TESTS_UNIT_NO_NMIS_H

#include "arch/x86/guest/hw.h"
#include "arch/x86/guest/inject.h"

void hw_kick(u32 cpu)
{
	panic("CPU %u is kicked", cpu);
}
u64 hw_nmis(const struct vendor *vendor)
{
	panic("NMIs are looked for");
}
u64 hw_nmi_count(void)
{
	panic("NMIs are looked for");
}
void inject_nmi(struct vcpu *v)
{
	panic("an NMI is injected");
}

#endif
