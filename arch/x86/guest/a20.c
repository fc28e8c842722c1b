/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See a20.h. Two registers hold A20 back: bit 1 of port 0x92, and bit 1 of the
 * keyboard controller's output port, which is written by a command at port 0x64 and its data at port 0x60, or by
 * commands of their own. Everything else that these ports do, the resets above all, passes through.
 */
#include "arch/x86/guest/a20.h"

#include "arch/x86/guest/hw.h"
#include "arch/x86/guest/io.h"
#include "arch/x86/guest/state.h"
#include "arch/x86/vendor.h"
#include "lib/log.h"

#define PORT_FAST 0x92
#define PORT_DATA 0x60
#define PORT_COMMAND 0x64
#define A20 BIT(1)         /* in either register */
#define STATUS_FULL BIT(0) /* port 0x64, read: a byte waits at port 0x60 */

/* Commands of the keyboard controller */
enum {
	COMMAND_READ_OUTPUT = 0xd0,
	COMMAND_WRITE_OUTPUT = 0xd1,
	COMMAND_A20_OFF = 0xdd,
	COMMAND_A20_ON = 0xdf,
	COMMAND_PULSE = 0xf0, /* and the bits that shall not be pulsed, low, for a moment */
};

/* The bit as the guest writes it; the hardware gets it set. */
static void take(struct guest *g, u8 *bit, u8 *byte)
{
	*bit = *byte & A20;
	*byte |= A20;
	if (!*bit && guest_once(g, ONCE_A20))
		log_info("guest masked address line A20: not done\n");
}

static void write_command(struct guest *g, u8 *byte)
{
	struct guest_a20 *a20 = &g->shared->a20;
	u8 off = 0;

	a20->command = *byte == COMMAND_READ_OUTPUT || *byte == COMMAND_WRITE_OUTPUT ? *byte : 0;
	if (*byte == COMMAND_READ_OUTPUT) {
		a20->skip = hw_in(PORT_COMMAND, 1) & STATUS_FULL;
	} else if (*byte == COMMAND_A20_OFF) {
		take(g, &a20->keyboard, &off);
		*byte = COMMAND_A20_ON;
	} else if (*byte == COMMAND_A20_ON) {
		a20->keyboard = A20;
	} else if (*byte >= COMMAND_PULSE) {
		*byte |= A20;
	}
}

static void write_data(struct guest *g, u8 *byte)
{
	if (g->shared->a20.command == COMMAND_WRITE_OUTPUT)
		take(g, &g->shared->a20.keyboard, byte);
	g->shared->a20.command = 0;
}

static void read_data(struct guest *g, u8 *byte)
{
	struct guest_a20 *a20 = &g->shared->a20;

	if (a20->command != COMMAND_READ_OUTPUT)
		return;
	if (a20->skip) {
		a20->skip = 0;
		return;
	}
	*byte = (u8)((*byte & ~A20) | a20->keyboard);
	a20->command = 0;
}

static void filter(struct vcpu *vcpu, const struct io_access *access, u64 *value)
{
	struct guest *g = guest_of(vcpu);
	u8 *fast = io_byte(access, value, false, PORT_FAST), *data = io_byte(access, value, false, PORT_DATA);
	u8 *command = io_byte(access, value, false, PORT_COMMAND);

	if (fast && access->in)
		*fast = (u8)((*fast & ~A20) | g->shared->a20.fast);
	else if (fast)
		take(g, &g->shared->a20.fast, fast);
	if (data && access->in)
		read_data(g, data);
	else if (data)
		write_data(g, data);
	if (command && !access->in)
		write_command(g, command);
}

int a20_init(struct vcpu *vcpu)
{
	static const u16 ports[] = {PORT_FAST, PORT_DATA, PORT_COMMAND};
	struct guest *g = guest_of(vcpu);
	int err = 0;

	if (vcpu->vendor->a20_fixed && vcpu->vendor->a20_fixed())
		return 0;
	if (vcpu->id == 0) { /* as the firmware leaves it: the hypervisor runs */
		g->shared->a20.fast = hw_in(PORT_FAST, 1) & A20;
		g->shared->a20.keyboard = A20;
	}
	for (u32 i = 0; i < ARRAY_SIZE(ports) && !err; i++)
		err = io_trap(vcpu, ports[i], 1, filter);
	return err;
}
