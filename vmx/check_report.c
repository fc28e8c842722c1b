/* SPDX-License-Identifier: BSD-2-Clause */
/* See check_report.h. */
#include "vmx/check_report.h"

#include "lib/printf.h"

void vmx_expect(struct vmx_check *k, bool holds, const char *subject, const char *check)
{
	char text[VMX_CHECK_TEXT_MAX];

	if (holds)
		return;
	k->broken++;
	snprintf(text, sizeof(text), "%s%s%s", subject, subject[0] ? ": " : "", check);
	k->report(k->arg, text);
}

bool vmx_check_canonical(u64 address)
{
	return address_is_canonical(address, false);
}

bool vmx_check_physical(const struct vmx_check *k, u64 address)
{
	return k->phys_bits >= 64 || !(address >> k->phys_bits);
}
