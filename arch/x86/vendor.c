/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Chooses the backend. With vendor.h, which declares the two tables, the one neutral file that names a vendor.
 */
#include "arch/x86/vendor.h"

#include "arch/x86/cpu.h"
#include "lib/string.h"

/* "GenuineIntel" as CPUID leaf 0 gives it */
static bool is_intel(void)
{
	struct cpuid_regs r = cpuid(0, 0);
	char name[13] = {0};

	memcpy(name, &r.ebx, 4);
	memcpy(name + 4, &r.edx, 4);
	memcpy(name + 8, &r.ecx, 4);
	return !strcmp(name, "GenuineIntel");
}

const struct vendor *vendor_select(const char **why)
{
	const char *no_svm = svm_vendor.unsupported(), *no_vmx;

	if (!no_svm)
		return &svm_vendor;
	no_vmx = vmx_vendor.unsupported();
	if (!no_vmx)
		return &vmx_vendor;
	*why = is_intel() ? no_vmx : no_svm;
	return NULL;
}
