/* SPDX-License-Identifier: BSD-2-Clause */
/* All commands of the monitor: a table for each file of them. */
#ifndef DEBUG_COMMANDS_H
#define DEBUG_COMMANDS_H

#include "debug/command.h"

/* The command of that name; a beginning that only one has will do. NULL: none, or *many have it. */
const struct command *command_find(const char *name, u32 length, bool *many);

/* The name of the n-th command that begins so; NULL: there are no more. */
const char *command_complete(const char *begin, u32 length, u32 n);

#endif
