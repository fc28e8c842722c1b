/* SPDX-License-Identifier: BSD-2-Clause */
/* Commands about the guest as a whole: going on, resetting, what was logged and counted. */
#include "debug/command.h"

#include "arch/x86/guest/hw.h"
#include "arch/x86/guest/state.h"
#include "arch/x86/log.h"
#include "debug/console.h"
#include "debug/gdb_guest.h"
#include "debug/port.h"
#include "mm/shadow.h"

#define STEPS_MOST 10000u

static void cont(struct monitor *m, const struct words *w)
{
	if (m->dead)
		console_printf("the guest cannot go on; reset\n");
	else
		m->next = MONITOR_CONTINUE;
}

static void gdb(struct monitor *m, const struct words *w)
{
	if (port_is_shared() || m->dead) {
		console_printf("GDB wants a port of its own, and a guest that lives\n");
		return;
	}
	console_printf("GDB may begin at this port; when it detaches the port is the monitor's again\n");
	gdb_guest_begin();
	m->next = MONITOR_CONTINUE;
}

static void step(struct monitor *m, const struct words *w)
{
	u64 count;

	if (!command_number(m, w, 1, 1, &count))
		return;
	if (m->dead || !stop_is_running(m->cpu)) {
		console_printf("it cannot be stepped\n");
		return;
	}
	m->steps = (u32)MIN(MAX(count, 1ull), (u64)STEPS_MOST);
	m->next = MONITOR_STEP;
}

static void queue_nmi(struct vcpu *vcpu, void *arg)
{
	vcpu->nmi_waits = true;
}

/* Where its NMIs do not exit there is nobody who would deliver one. */
static void nmi(struct monitor *m, const struct words *w)
{
	if (!m->cpu->several || !stop_on(m->cpu, queue_nmi, NULL))
		console_printf("it cannot be sent one\n");
}

static void reset(struct monitor *m, const struct words *w)
{
	console_printf("the machine resets\n");
	hw_reset();
}

static void show_log(struct monitor *m, const struct words *w)
{
	u64 bytes, written = log_written(), at;

	if (!command_number(m, w, 1, 0x800, &bytes))
		return;
	bytes = MIN(MIN(bytes, written), (u64)LOG_RING_SIZE);
	for (at = written - bytes; at < written && !console_is_over(); at++) {
		char c;

		log_read(at, &c, 1);
		if (c)
			console_put(c);
	}
}

#define X(name, text) text,
static const char *const kind_text[EXIT_KIND_COUNT] = {EXIT_KINDS(X)};
#undef X

static void stats(struct monitor *m, const struct words *w)
{
	const struct shadow *shadow = guest_of(m->cpu)->shadow;
	const struct vcpu *vcpu;

	for (u32 kind = 0; kind < EXIT_KIND_COUNT; kind++) {
		u64 sum = 0;

		for (u32 i = 0; (vcpu = stop_cpu(i)); i++)
			sum += vcpu->exit_count[kind];
		if (sum)
			console_printf("%-26s %llu\n", kind_text[kind], (unsigned long long)sum);
	}
	for (u32 i = 0; shadow && i < SHADOW_STAT_COUNT; i++) {
		u64 value = shadow_stat(shadow, (enum shadow_stat)i);

		if (value)
			console_printf("%-26s %llu\n", shadow_stat_name((enum shadow_stat)i),
				       (unsigned long long)value);
	}
}

const struct command commands_guest[] = {
	{"gdb", "", "the guest goes on, and GDB may begin at this port", gdb},
	{"cont", "", "lets the guest go on", cont},
	{"step", "[N]", "one instruction, or N, of this processor; all others stay", step},
	{"nmi", "", "gives this processor an NMI", nmi},
	{"reset", "", "resets the machine", reset},
	{"log", "[BYTES]", "the end of the hypervisor's log", show_log},
	{"stats", "", "exits by kind, what the shadow engine did", stats},
	{NULL, NULL, NULL, NULL},
};
