/* SPDX-License-Identifier: BSD-2-Clause */
/* The end: a reset that keeps memory, or power-off by ACPI; see selftest.h. */
#include "arch/x86/acpi.h"
#include "lib/log.h"
#include "selftest/selftest.h"

#define SPACE_MEMORY 0
#define SPACE_PORT 1
#define RESET_PORT 0xcf9
#define RESET_SYSTEM 0x02
#define RESET_NOW 0x06
#define KEYBOARD_COMMAND 0x64
#define KEYBOARD_RESET 0xfe
#define PM1_TYPE_SHIFT 10
#define PM1_TYPE_MASK (7u << PM1_TYPE_SHIFT)
#define PM1_ENABLE BIT(13)
#define OFF_STATE 5

/* The reader of the ACPI tables logs what is wrong with them: it is not wanted here. */
void log_printf(enum log_level level, const char *format, ...) {}

static const u8 *map(u64 address, u32 bytes)
{
	return address && address + bytes <= 1ull << 32 ? (const u8 *)address : NULL;
}

static u16 inw(u16 port)
{
	u16 v;

	asm volatile("inw %1, %0" : "=a"(v) : "d"(port));
	return v;
}

static void outw(u16 port, u16 v)
{
	asm volatile("outw %0, %1" : : "a"(v), "d"(port));
}

static void sleep_by(const struct acpi_byte *upper, u32 types)
{
	u16 port = (u16)(upper->address - 1), v;

	if (upper->space != ACPI_PORT || !types)
		return;
	v = inw(port) & (u16)~PM1_TYPE_MASK;
	outw(port, (u16)(v | (u32)__builtin_ctz(types) << PM1_TYPE_SHIFT | PM1_ENABLE));
}

static void power_off(void)
{
	static struct acpi_sleep sleep;

	if (!block->machine.acpi_rsdp || acpi_find_sleep(map, block->machine.acpi_rsdp, &sleep))
		return;
	sleep_by(&sleep.control[ACPI_X_PM1A], sleep.type_a[OFF_STATE]);
	sleep_by(&sleep.control[ACPI_PM1A], sleep.type_a[OFF_STATE]);
	sleep_by(&sleep.control[ACPI_PM1B], sleep.type_b[OFF_STATE]);
}

static void pause_ms(u64 ms)
{
	WAIT_MS(false, ms);
}

static void reset_by_acpi(const struct selftest_machine *m)
{
	if (m->reset_space == SPACE_PORT && m->reset_address)
		outb((u16)m->reset_address, (u8)m->reset_value);
	else if (m->reset_space == SPACE_MEMORY && m->reset_address && m->reset_address < 1ull << 32)
		*(volatile u8 *)m->reset_address = (u8)m->reset_value;
	pause_ms(500);
}

/* What the firmware names, then what PCs have; a triple fault last. */
static void reset(void)
{
	struct {
		u16 limit;
		u64 base;
	} PACKED none = {0, 0};

	reset_by_acpi(&block->machine);
	outb(RESET_PORT, RESET_SYSTEM);
	outb(RESET_PORT, RESET_NOW);
	pause_ms(500);
	outb(KEYBOARD_COMMAND, KEYBOARD_RESET);
	pause_ms(500);
	asm volatile("lidt %0; int3" : : "m"(none));
}

void power_end(enum decision what)
{
	if (what == DECIDE_POWER_OFF) {
		power_off();
		pause_ms(2000);
		print("This machine cannot be switched off by its ACPI tables: use its button.\n");
	} else {
		reset();
	}
	for (;;)
		asm volatile("cli; hlt");
}
