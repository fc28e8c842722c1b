/* SPDX-License-Identifier: BSD-2-Clause */
/* A trap on a device's registers, in ports or in memory: the device stays the hardware's, a filter stands in between. */
#ifndef ARCH_X86_GUEST_IO_FILTER_H
#define ARCH_X86_GUEST_IO_FILTER_H

#include "arch/x86/guest/vcpu.h"

struct io_access {
	u64 address; /* port or guest-physical address */
	u32 size;    /* 1 to 8 bytes, to a port 1, 2 or 4 */
	bool in;     /* a read */
	bool memory; /* not a port */
};

/*
 * Sees each access that touches a trapped port or page: a write before the hardware gets *value, a read before the
 * guest gets it. The access may begin before the register that the filter is for, and end behind it.
 */
typedef void io_filter_fn(struct vcpu *vcpu, const struct io_access *access, u64 *value);

/* In place of the hardware, for one port of one byte; a wider access comes as its bytes, as to an 8-bit device. */
typedef void io_instead_fn(struct vcpu *vcpu, u16 port, bool in, u8 *byte);

/* The byte of *value that the access has for an address; NULL if the access does not touch it. */
static inline u8 *io_byte(const struct io_access *access, u64 *value, bool memory, u64 address)
{
	if (access->memory != memory || address < access->address || address - access->address >= access->size)
		return NULL;
	return (u8 *)value + (address - access->address);
}

#endif
