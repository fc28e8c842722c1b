/* SPDX-License-Identifier: BSD-2-Clause */
/* \loader\loader.conf. Pure functions over text in memory. */
#ifndef BOOT_LOADER_CONFIG_H
#define BOOT_LOADER_CONFIG_H

#include "boot/text.h"

#define LOADER_WAIT_FOREVER UINT32_MAX

struct loader_config {
	char default_pattern[128]; /* "" : the first entry */
	uint32_t timeout;          /* seconds; LOADER_WAIT_FOREVER: show the menu and wait */
};

/* Reads loader.conf; false with error set on an unknown key or a bad timeout. */
bool loader_config_parse(struct loader_config *config, const char *text, size_t size,
			 struct boot_error *error);

/* What holds without a loader.conf: no pattern, no waiting. */
void loader_config_init(struct loader_config *config);

#endif
