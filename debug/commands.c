/* SPDX-License-Identifier: BSD-2-Clause */
/* See commands.h; and the commands about commands. */
#include "debug/commands.h"

#include "debug/console.h"
#include "lib/string.h"

static bool begins(const struct command *c, const char *name, u32 length)
{
	return strnlen(c->name, length) == length && !memcmp(c->name, name, length);
}

/* --- help --------------------------------------------------------------------------------- */

static const struct command *const command_tables[9];

static void help(struct monitor *m, const struct words *w)
{
	for (u32 t = 0; command_tables[t]; t++)
		for (const struct command *c = command_tables[t]; c->name; c++)
			if (w->count < 2 || begins(c, w->word[1], (u32)strlen(w->word[1])))
				console_printf("%-8s %-22s %s\n", c->name, c->form, c->help);
	if (w->count < 2)
		console_printf(
			"Numbers are hexadecimal; a name of a register or symbol is its value; + and - between them.\n");
}

static void page(struct monitor *m, const struct words *w)
{
	u64 lines;

	if (command_number(m, w, 1, 0x18, &lines))
		console_set_page(lines > 0 && lines < 4 ? 4 : (u32)MIN(lines, 0x1000ull));
}

static const struct command commands_help[] = {
	{"help", "[COMMAND]", "this list, or what begins so", help},
	{"page", "[LINES]", "how many lines to a page; 0: never wait", page},
	{NULL, NULL, NULL, NULL},
};

static const struct command *const command_tables[9] = {
	commands_help, commands_cpu,  commands_guest, commands_memory, commands_shadow, commands_stack,
	commands_code, commands_dump, NULL,
};

/* --- finding them ------------------------------------------------------------------------- */

const struct command *command_find(const char *name, u32 length, bool *many)
{
	const struct command *found = NULL;

	*many = false;
	for (u32 t = 0; command_tables[t]; t++) {
		for (const struct command *c = command_tables[t]; c->name; c++) {
			if (!begins(c, name, length))
				continue;
			if (!c->name[length])
				return c;
			*many = *many || found;
			found = c;
		}
	}
	return *many ? NULL : found;
}

const char *command_complete(const char *begin, u32 length, u32 n)
{
	for (u32 t = 0; command_tables[t]; t++)
		for (const struct command *c = command_tables[t]; c->name; c++)
			if (begins(c, begin, length) && !n--)
				return c->name;
	return NULL;
}
