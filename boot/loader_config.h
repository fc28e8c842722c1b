/* SPDX-License-Identifier: BSD-2-Clause */
/* \loader\loader.conf. Pure functions over text in memory. */
#ifndef BOOT_LOADER_CONFIG_H
#define BOOT_LOADER_CONFIG_H

#include "boot/text.h"

#define LOADER_WAIT_FOREVER UINT32_MAX
/* The default that is the entry booted last. */
#define LOADER_SAVED "@saved"

struct loader_config {
	char default_pattern[128]; /* "" : the first entry */
	uint32_t timeout; /* seconds; 0: no menu unless a key is held; LOADER_WAIT_FOREVER: show it and wait */
	bool disabled;  /* with timeout 0: no key opens the menu */
	bool no_editor; /* the menu changes no lines */
};

/* Reads loader.conf; false with error set on an unknown key, a bad timeout or a bad "editor". */
bool loader_config_parse(struct loader_config *config, const char *text, size_t size,
			 struct boot_error *error);

/* What holds without a loader.conf: no pattern, no waiting, a held key opens the menu. */
void loader_config_init(struct loader_config *config);

#endif
