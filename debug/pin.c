/* SPDX-License-Identifier: BSD-2-Clause */
/* See pin.h. Registers as in the 82093AA's data sheet: an index at offset 0, the register's 32 bits at offset 0x10. */
#include "debug/pin.h"

#include "arch/x86/guest/hw.h"
#include "arch/x86/guest/mmio.h"
#include "arch/x86/memory.h"

#define SELECT 0x00u
#define WINDOW 0x10u
#define WINDOW_BYTES 4u
#define ENTRY_FIRST 0x10u /* two registers for each input */
#define ENTRY_NMI (4u << 8)
#define ENTRY_ACTIVE_LOW BIT(13)
#define ENTRY_MASKED BIT(16)
#define DESTINATION_SHIFT 24
#define POLARITY_LOW 3u

static struct {
	u64 page;  /* 0: closed */
	u32 first; /* index of the lower half of the entry; the upper one follows */
	u32 ours[2];
	u32 guests[2];
	u8 selected; /* as the guest has it; under the lock of filters */
} pin;

static void select_register(u32 index)
{
	hw_mmio_write(hpa(pin.page + SELECT), 4, index);
}

int pin_open(const struct acpi_pin *where, u32 apic_id)
{
	u64 page = where->ioapic & PAGE_MASK;
	int err;

	if (apic_id > 0xfe || where->ioapic != page)
		return -EINVAL;
	err = memory_trap_device(hpa(page));
	if (err)
		return err;
	pin.page = page;
	pin.first = ENTRY_FIRST + 2 * where->input;
	pin.guests[0] = ENTRY_MASKED;
	pin.ours[0] = (u32)(ENTRY_NMI | (ACPI_PIN_POLARITY(where->flags) == POLARITY_LOW ? ENTRY_ACTIVE_LOW : 0));
	pin.ours[1] = apic_id << DESTINATION_SHIFT;
	for (u32 i = 2; i-- > 0;) {
		select_register(pin.first + i);
		hw_mmio_write(hpa(pin.page + WINDOW), 4, pin.ours[i]);
	}
	select_register(0);
	return 0;
}

bool pin_is_open(void)
{
	return pin.page;
}

/* Each byte of the window for itself, as an access may have any size. */
static void filter(struct vcpu *vcpu, const struct io_access *access, u64 *value)
{
	u8 *select = io_byte(access, value, true, pin.page + SELECT);
	u32 half = pin.selected - pin.first;

	if (select && !access->in)
		pin.selected = *select;
	if (half > 1)
		return;
	for (u32 i = 0; i < WINDOW_BYTES; i++) {
		u8 *byte = io_byte(access, value, true, pin.page + WINDOW + i);

		if (byte && access->in) {
			*byte = (u8)(pin.guests[half] >> 8 * i);
		} else if (byte) {
			pin.guests[half] = (pin.guests[half] & ~(0xffu << 8 * i)) | (u32)*byte << 8 * i;
			*byte = (u8)(pin.ours[half] >> 8 * i);
		}
	}
}

int pin_init_cpu(struct vcpu *vcpu)
{
	return pin.page ? mmio_trap(vcpu, gpa(pin.page), filter) : 0;
}
