/* SPDX-License-Identifier: BSD-2-Clause */
/* See debug_hooks.h. */
#include "arch/x86/debug_hooks.h"

const struct debug_hooks *debug_hooks;
