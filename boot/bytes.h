/* SPDX-License-Identifier: BSD-2-Clause */
/* Little-endian numbers at any address: fields of files, tables and headers. */
#ifndef BOOT_BYTES_H
#define BOOT_BYTES_H

#include <stdint.h>

static inline uint64_t bytes_get(const uint8_t *at, unsigned int bytes)
{
	uint64_t v = 0;

	while (bytes--)
		v = v << 8 | at[bytes];
	return v;
}

static inline uint32_t bytes_get_u32(const uint8_t *at)
{
	return (uint32_t)bytes_get(at, 4);
}

#endif
