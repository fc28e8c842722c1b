/* SPDX-License-Identifier: BSD-2-Clause */
/* See death.h. */
#include "debug/death.h"

#include "arch/x86/guest/hw.h"
#include "arch/x86/log.h"
#include "arch/x86/vendor.h"
#include "debug/console.h"
#include "debug/names.h"
#include "debug/show.h"
#include "debug/stop.h"
#include "debug/target.h"
#include "debug/walk.h"

#define EXITS_TOLD 16u
#define EXIT_LINE 160u

static struct {
	enum boot_death wanted;
	struct vcpu *vcpu;
} death;

void death_init(enum boot_death wanted, bool monitor)
{
	if (wanted == BOOT_DEATH_MONITOR && !monitor) {
		log_warn("death=monitor without a monitor: as without the option\n");
		wanted = BOOT_DEATH_USUAL;
	}
	death.wanted = wanted;
}

static void tell_cpu(struct vcpu *vcpu)
{
	struct target_state state;

	console_printf("--- CPU %u %s\n", vcpu->id, show_state(vcpu));
	if (target_get(vcpu, &state))
		return;
	show_registers(vcpu);
	show_control(vcpu);
	walk_show(vcpu, state.segment[SEG_CS].base * (state.code_bits != 64) + state.reg[TARGET_RIP]);
	walk_show(vcpu, state.reg[TARGET_RSP]);
	walk_show(vcpu, state.reg[TARGET_CR2]);
	show_exits(vcpu, EXITS_TOLD);
	show_branches(vcpu);
}

/* A line of the report as a message of the log. */
static void put_to_log(char c)
{
	static char line[EXIT_LINE];
	static u32 length;

	if (c != '\n' && length < sizeof(line) - 1) {
		line[length++] = c;
		return;
	}
	line[length] = '\0';
	length = 0;
	log_error("%s\n", line);
}

static u8 no_byte(void)
{
	return 'q';
}

void death_report(const struct stop_event *event)
{
	struct vcpu *vcpu;

	log_take_console();
	console_init(put_to_log, no_byte);
	console_set_page(0);
	console_begin();
	console_printf("guest died: %s on CPU %u\n", event->text, event->vcpu->id);
	names_refresh(event->vcpu);
	for (u32 i = 0; (vcpu = stop_cpu(i)); i++)
		tell_cpu(vcpu);
}

bool death_wants_monitor(void)
{
	return death.wanted == BOOT_DEATH_MONITOR;
}

void death_tell(struct vcpu *vcpu, const char *why, bool shutdown)
{
	if (death.vcpu == vcpu) /* by what is done here */
		return;
	death.vcpu = vcpu;
	stop_for_death(vcpu, shutdown ? STOP_SHUTDOWN : STOP_DIED, why);
	if (death.wanted == BOOT_DEATH_REBOOT)
		hw_reset();
	if (death.wanted != BOOT_DEATH_STOP || !shutdown)
		return;
	hw_stop_others();
	log_error("guest: %s on CPU %u; it has stopped, reset the machine or switch it off\n", why, vcpu->id);
	vcpu->vendor->cpu_disable();
	hw_stop();
}
