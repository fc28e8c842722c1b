/* SPDX-License-Identifier: BSD-2-Clause */
/* What a command of the monitor is, and what it needs to read its words. */
#ifndef DEBUG_COMMAND_H
#define DEBUG_COMMAND_H

#include "arch/x86/guest/vcpu.h"
#include "debug/stop.h"
#include "debug/words.h"

enum monitor_next { MONITOR_STAY, MONITOR_CONTINUE, MONITOR_STEP };

struct monitor {
	struct vcpu *cpu; /* that commands are about */
	enum monitor_next next;
	u32 steps; /* left to do */
	bool dead; /* the guest cannot go on */
};

struct command {
	const char *name, *form, *help;
	void (*run)(struct monitor *m, const struct words *w);
};

/* Word n as a number, the name of a register or of the guest's symbol being its value; false, and says so: it is none. A missing word is fallback. */
bool command_number(struct monitor *m, const struct words *w, u32 n, u64 fallback, u64 *value);
/* The same for a word that must be there. */
bool command_address(struct monitor *m, const struct words *w, u32 n, u64 *value);

/* Tables, which end with a name of NULL: commands.h has them all. */
extern const struct command commands_code[], commands_cpu[], commands_dump[], commands_guest[], commands_memory[],
	commands_shadow[], commands_stack[];

#endif
