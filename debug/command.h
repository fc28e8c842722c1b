/* SPDX-License-Identifier: BSD-2-Clause */
/* The monitor's commands: a table for each file of them, and what they work on. */
#ifndef DEBUG_COMMAND_H
#define DEBUG_COMMAND_H

#include "arch/x86/guest/vcpu.h"
#include "debug/stop.h"
#include "debug/words.h"

enum monitor_next { MONITOR_STAY, MONITOR_CONTINUE, MONITOR_STEP };

struct monitor {
	struct vcpu *cpu; /* that commands are about */
	enum monitor_next next;
	u32 steps;        /* left to do */
	bool dead;        /* the guest cannot go on */
};

struct command {
	const char *name, *form, *help;
	void (*run)(struct monitor *m, const struct words *w);
};

/* Each ends with a name of NULL. */
extern const struct command commands_cpu[], commands_guest[], commands_memory[], commands_shadow[], commands_help[];
extern const struct command *const command_tables[]; /* ends with NULL */

/* The command of that name; a beginning that only one has will do. NULL: none, or *many have it. */
const struct command *command_find(const char *name, u32 length, bool *many);

/* The text of the n-th command that begins so; NULL: there are no more. */
const char *command_complete(const char *begin, u32 length, u32 n);

/* --- for the commands ------------------------------------------------------------------ */

/* Word n as a number, a register's name being its value; false, and says so: it is none. A missing word is fallback. */
bool command_number(struct monitor *m, const struct words *w, u32 n, u64 fallback, u64 *value);
/* The same for a word that must be there. */
bool command_address(struct monitor *m, const struct words *w, u32 n, u64 *value);

#endif
