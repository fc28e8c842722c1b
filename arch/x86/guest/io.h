/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Trapped registers of devices, in ports and in memory. All other ports are the guest's without an exit,
 * all other device memory too. The device stays the hardware's: a trap is a filter between
 * it and the guest.
 */
#ifndef ARCH_X86_GUEST_IO_H
#define ARCH_X86_GUEST_IO_H

#include "arch/x86/guest/vcpu.h"

struct io_access {
	u64 address;         /* port or guest-physical address */
	u32 size;            /* 1 to 8 bytes, to a port 1, 2 or 4 */
	bool in;             /* a read */
	bool memory;         /* not a port */
};

/*
 * Sees each access that touches a trapped port or page: a write before the hardware gets *value, a read before the
 * guest gets it. The access may begin before the register that the filter is for, and end behind it.
 */
typedef void io_filter_fn(struct vcpu *vcpu, const struct io_access *access, u64 *value);

/* The byte of *value that the access has for an address; NULL if the access does not touch it. */
static inline u8 *io_byte(const struct io_access *access, u64 *value, bool memory, u64 address)
{
	if (access->memory != memory || address < access->address || address - access->address >= access->size)
		return NULL;
	return (u8 *)value + (address - access->address);
}

/* Traps count ports from first on. 0 or -ENOSPC. */
MUST_CHECK int io_trap(struct vcpu *vcpu, u16 first, u16 count, io_filter_fn *filter);
/* The page must be of kind REGION_TRAPPED and mapped for the hypervisor (memory_trap_device()). 0 or -ENOSPC. */
MUST_CHECK int mmio_trap(struct vcpu *vcpu, gpa_t page, io_filter_fn *filter);

/* EXIT_IO */
void io_handle(struct vcpu *vcpu);

/* Accesses to trapped pages, for the emulator: len bytes inside one page. */
bool mmio_owns(const struct vcpu *vcpu, gpa_t at);
void mmio_read(struct vcpu *vcpu, gpa_t at, void *buf, u32 len);
void mmio_write(struct vcpu *vcpu, gpa_t at, const void *buf, u32 len);

#endif
