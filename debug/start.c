/* SPDX-License-Identifier: BSD-2-Clause */
/* What the boot entry asks for, and the hooks below (arch/x86/debug_hooks.h). */
#include "arch/x86/debug_hooks.h"

#include "arch/x86/acpi.h"
#include "arch/x86/guest/io.h"
#include "arch/x86/guest/state.h"
#include "arch/x86/memory.h"
#include "arch/x86/percpu.h"
#include "arch/x86/vendor.h"
#include "debug/death.h"
#include "debug/gdb_guest.h"
#include "debug/monitor.h"
#include "debug/names.h"
#include "debug/panic_port.h"
#include "debug/pin.h"
#include "debug/port.h"
#include "debug/shared.h"
#include "debug/step.h"
#include "debug/stop.h"
#include "lib/log.h"
#include "lib/spinlock.h"
#include "lib/uart.h"

static struct {
	u16 port;              /* the first of the monitor's; 0: none */
	bool panic;            /* the guest tells of a panic */
	struct spinlock *lock; /* of the guest's filters, once there is one: a shared port is accessed with it */
} start;

/* --- hooks ------------------------------------------------------------------------------ */

/* The monitor's own port, to the guest: as if nothing were there. */
static void hide(struct vcpu *vcpu, u16 port, bool in, u8 *byte)
{
	if (in)
		*byte = 0xff;
}

static void share(struct vcpu *vcpu, u16 port, bool in, u8 *byte)
{
	if (port_access(port - start.port, in, byte))
		stop_request(vcpu, STOP_BREAK);
}

static int init_cpu(struct vcpu *vcpu)
{
	int err = 0;

	start.lock = &guest_of(vcpu)->shared->lock;
	if (start.port)
		err = io_trap_instead(vcpu, start.port, UART_REGISTERS, port_is_shared() ? share : hide);
	if (!err && start.panic)
		err = io_trap_instead(vcpu, PANIC_PORT, 1, panic_port_access);
	if (!err)
		err = pin_init_cpu(vcpu);
	if (vcpu->vendor->has_timer && vcpu->vendor->has_timer())
		vcpu->debug_intercepts |= INTERCEPT_TIMER;
	return err;
}

static bool somebody_asks(void)
{
	bool asked;

	if (!port_is_shared())
		return port_is_asked();
	spin_lock(start.lock);
	asked = port_is_asked();
	spin_unlock(start.lock);
	return asked;
}

/* One that finds a byte is the port's; so is one that was under way to a processor that a session holds. */
static bool nmi(void)
{
	struct vcpu *vcpu = this_cpu()->vcpu;

	if (!pin_is_open() || !vcpu || vcpu->id)
		return false;
	if (port_listens() && port_is_asked()) {
		stop_request(vcpu, STOP_BREAK);
		return true;
	}
	return stop_holds(vcpu) || stop_is_on(); /* the latter: it steps */
}

static void look(struct vcpu *vcpu)
{
	stop_look(vcpu);
	gdb_guest_look(vcpu);
	panic_port_look(vcpu);
}

static void timer(struct vcpu *vcpu)
{
	if (vcpu->stepped && step_is_delivered(vcpu))
		stop_request(vcpu, STOP_STEPPED);
	else if (!stop_is_on() && somebody_asks())
		stop_request(vcpu, STOP_BREAK);
	if (!vcpu->several)
		look(vcpu);
}

static enum stop_action session(const struct stop_event *event, struct vcpu **step)
{
	if (event->reason >= STOP_DIED) {
		death_report(event);
		if (!death_wants_monitor() && !gdb_guest_is_attached())
			return STOP_CONTINUE;
	}
	return gdb_guest_is_on() ? gdb_guest_session(event, step) : monitor_session(event, step);
}

static const struct debug_hooks hooks = {
	.init_cpu = init_cpu,
	.nmi = nmi,
	.look = look,
	.timer = timer,
	.exception = stop_exception,
	.emulated = stop_emulated,
	.leaving = step_leaving,
	.died = death_tell,
};

/* --- the start -------------------------------------------------------------------------- */

/* ISA interrupts of COM1 to COM4; no other port has one that is known. */
static int irq_of(u64 base)
{
	switch (base) {
	case 0x3f8:
	case 0x3e8: return 4;
	case 0x2f8:
	case 0x2e8: return 3;
	default: return -1;
	}
}

static bool open_pin(const struct boot_info *info, const struct vcpu *boot)
{
	int irq = irq_of(info->options.debug.port.base);
	struct acpi_pin where;

	return irq >= 0 && !acpi_find_pin(memory_of_firmware, info->acpi_rsdp, (u8)irq, &where) &&
	       !pin_open(&where, percpu_of(boot->cpu)->apic_id);
}

/* How the guest is stopped, or why it cannot be. */
static const char *arm(const struct boot_info *info, const struct vcpu *boot)
{
	const struct vendor *vendor = boot->vendor;

	if (vendor->has_timer && vendor->has_timer())
		return "by the processor's timer";
	if (port_is_shared())
		return "when it reads the port next, not before";
	if (!vendor->has_timer && open_pin(info, boot))
		return "by an NMI of its port's";
	return vendor->has_timer ? "no more: this processor has no timer for it" :
				   "no more: no I/O APIC has the port's interrupt";
}

static bool open_own(const struct boot_info *info)
{
	const struct boot_debug *debug = &info->options.debug;

	if (info->uart.space == BOOT_UART_PORTS && info->uart.base == debug->port.base) {
		log_warn("monitor: off: the serial log has its port; use another one (serial=), or monitor=shared\n");
		return false;
	}
	if (!port_open(&debug->port)) {
		log_warn("monitor: off: at I/O port 0x%llx no UART answers\n", (unsigned long long)debug->port.base);
		return false;
	}
	start.port = (u16)debug->port.base;
	return true;
}

static bool open_shared(const struct boot_info *info)
{
	if (info->uart.space != BOOT_UART_PORTS || info->uart.stride != 1 ||
	    !port_share(&info->uart, (u8)info->options.debug.escape)) {
		log_warn("monitor: off: the serial log has no port on I/O ports to share\n");
		return false;
	}
	start.port = (u16)info->uart.base;
	return true;
}

static bool open_port(const struct boot_info *info)
{
	switch ((enum boot_monitor)info->options.debug.monitor) {
	case BOOT_MONITOR_PORT: return open_own(info);
	case BOOT_MONITOR_SHARED: return open_shared(info);
	default: return false;
	}
}

static void tell(const struct boot_info *info, const struct vcpu *boot)
{
	char escape = (char)('a' + info->options.debug.escape - 1);
	const char *how = arm(info, boot);

	if (port_is_shared())
		log_info("monitor: at I/O port 0x%x with the guest; Ctrl-%c %c there stops it %s\n", start.port,
			 escape, SHARED_COMMAND, how);
	else
		log_info("%s: at I/O port 0x%x; a byte there stops the guest %s\n",
			 info->options.debug.gdb ? "gdb" : "monitor", start.port, how);
}

void debug_start(const struct boot_info *info, struct vcpu *boot)
{
	const struct boot_debug *debug = &info->options.debug;

	if (open_port(info)) {
		tell(info, boot);
		if (pin_is_open())
			port_use_interrupt();
		port_begin();
		stop_set_poll(somebody_asks);
		stop_set_filter(gdb_guest_filter);
		gdb_guest_init(debug->gdb, monitor_command);
	} else if (debug->death == BOOT_DEATH_USUAL && !debug->panic) {
		return;
	}
	start.panic = debug->panic;
	names_init(info);
	stop_init(session);
	death_init((enum boot_death)debug->death, port_is_open());
	debug_hooks = &hooks;
}
