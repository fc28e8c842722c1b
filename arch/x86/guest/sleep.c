/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See sleep.h. Of all that is written to the registers only SLP_EN is held back, and only with a
 * number that must not pass; what SLP_TYP holds while SLP_EN is not set has no effect (ACPI
 * 6.5 section 4.8.3.2.1). WAK_STS, for which a guest waits behind SLP_EN, reads as set from then on until
 * the guest clears it.
 */
#include "arch/x86/guest/sleep.h"

#include "arch/x86/guest/io.h"
#include "arch/x86/guest/mmio.h"
#include "arch/x86/guest/state.h"
#include "lib/log.h"

static bool is_of_b(u32 block)
{
	return block == ACPI_PM1B || block == ACPI_X_PM1B;
}

static u8 types_of(const struct guest *g, u32 state, bool b)
{
	return b ? g->shared->sleep.acpi.type_b[state] : g->shared->sleep.acpi.type_a[state];
}

/*
 * S1 keeps the processor's state, S4 and S5 begin again with the firmware. Where the tables name S5, a number
 * that they name nowhere is refused too: the chipset may know it as S3.
 */
static bool may_sleep(const struct guest *g, u32 type, bool b)
{
	u32 lost = types_of(g, 2, b) | types_of(g, 3, b);
	u32 good = types_of(g, 0, b) | types_of(g, 1, b) | types_of(g, 4, b) | types_of(g, 5, b);

	if (lost >> type & 1)
		return false;
	return good >> type & 1 || !types_of(g, 5, b);
}

static void refuse(struct guest *g, u32 type, bool b)
{
	bool s3 = types_of(g, 3, b) >> type & 1;

	g->shared->sleep.refused = true;
	if (guest_once(g, ONCE_SLEEP)) /* an error: only those are seen while the console is the guest's */
		log_error("guest asked for %s: refused (sleep type %u; it would wake up without the hypervisor)\n",
			  s3 ? "S3" : "a sleep state other than S1, S4 and S5", type);
}

static void filter_status(struct guest *g, const struct io_access *access, u64 *value)
{
	for (u32 i = 0; i < ACPI_SLEEP_BLOCKS; i++) {
		const struct acpi_byte *at = &g->shared->sleep.acpi.status[i];
		u8 *byte = at->space == ACPI_NOWHERE ?
				   NULL :
				   io_byte(access, value, at->space == ACPI_MEMORY, at->address);

		if (!byte)
			continue;
		if (access->in)
			*byte |= g->shared->sleep.refused ? ACPI_WAK_STS : 0;
		else if (*byte & ACPI_WAK_STS) /* writing 1 clears it */
			g->shared->sleep.refused = false;
	}
}

static void filter_control(struct guest *g, const struct io_access *access, u64 *value)
{
	for (u32 i = 0; i < ACPI_SLEEP_BLOCKS; i++) {
		const struct acpi_byte *at = &g->shared->sleep.acpi.control[i];
		u8 *byte = at->space == ACPI_NOWHERE ?
				   NULL :
				   io_byte(access, value, at->space == ACPI_MEMORY, at->address);

		if (!byte || !(*byte & ACPI_SLP_EN) || may_sleep(g, ACPI_SLP_TYP(*byte), is_of_b(i)))
			continue;
		*byte &= (u8)~ACPI_SLP_EN;
		refuse(g, ACPI_SLP_TYP(*byte), is_of_b(i));
	}
}

static void filter(struct vcpu *vcpu, const struct io_access *access, u64 *value)
{
	struct guest *g = guest_of(vcpu);

	filter_status(g, access, value);
	if (!access->in)
		filter_control(g, access, value);
}

static int trap(struct vcpu *vcpu, const struct acpi_byte *byte)
{
	switch (byte->space) {
	case ACPI_PORT: return io_trap(vcpu, (u16)byte->address, 1, filter);
	case ACPI_MEMORY:
		return mmio_owns(vcpu, gpa(byte->address)) ? 0 : mmio_trap(vcpu, gpa(byte->address), filter);
	default: return 0;
	}
}

int sleep_init(struct vcpu *vcpu, const struct acpi_sleep *acpi)
{
	struct guest *g = guest_of(vcpu);
	int err = 0;

	if (!acpi)
		return 0;
	if (vcpu->id == 0)
		g->shared->sleep.acpi = *acpi;
	for (u32 i = 0; i < ACPI_SLEEP_BLOCKS && !err; i++) {
		err = trap(vcpu, &acpi->control[i]);
		if (!err)
			err = trap(vcpu, &acpi->status[i]);
	}
	return err;
}
