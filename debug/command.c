/* SPDX-License-Identifier: BSD-2-Clause */
/* See command.h. */
#include "debug/command.h"

#include "debug/console.h"
#include "debug/names.h"
#include "debug/target.h"
#include "lib/hex.h"

static bool is_number(const char *name, u32 length)
{
	for (u32 i = 0; i < length; i++)
		if (hex_digit(name[i]) < 0)
			return false;
	return true;
}

/* A register, or else a symbol of the guest's that is no number as well. */
static bool name_value(void *ctx, const char *name, u32 length, u64 *value)
{
	struct monitor *m = ctx;
	struct target_state state;
	int reg = target_find_register(name, length);

	if (reg < 0)
		return !is_number(name, length) && names_find(name, length, value);
	if (target_get(m->cpu, &state))
		return false;
	*value = state.reg[reg];
	return true;
}

bool command_number(struct monitor *m, const struct words *w, u32 n, u64 fallback, u64 *value)
{
	*value = fallback;
	if (n >= w->count || words_number(w->word[n], name_value, m, value))
		return true;
	console_printf("no number: %s\n", w->word[n]);
	return false;
}

bool command_address(struct monitor *m, const struct words *w, u32 n, u64 *value)
{
	if (n < w->count)
		return command_number(m, w, n, 0, value);
	console_printf("something is missing; see help %s\n", w->word[0]);
	return false;
}
