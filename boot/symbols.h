/* SPDX-License-Identifier: BSD-2-Clause */
/* The boot entry's key "symbols": a table of the guest's symbols in hidden memory, for debug/ (lib/symbol_map.h). */
#ifndef BOOT_SYMBOLS_H
#define BOOT_SYMBOLS_H

#include "boot/core.h"
#include "boot/file.h"

/*
 * Reads the file of that path ("": none, which is no error), makes the table and tells how many symbols it has. Behind
 * core_reserve(). False, and error says why: no such file, no symbols in it, no memory.
 */
bool symbols_load(const char *path, struct boot_volume *volume, struct hv_memory *hv,
		  struct boot_error *error);

#endif
