/* SPDX-License-Identifier: BSD-2-Clause */
/* See mmio.h. */
#include "arch/x86/guest/mmio.h"

#include "arch/x86/guest/hw.h"
#include "arch/x86/guest/state.h"
#include "lib/string.h"

int mmio_trap(struct vcpu *vcpu, gpa_t page, io_filter_fn *filter)
{
	struct guest *g = guest_of(vcpu);

	if (g->mmio_traps == MMIO_TRAP_MAX)
		return -ENOSPC;
	g->mmio_trap[g->mmio_traps++] = (struct mmio_trap){gpa(page.v & PAGE_MASK), filter};
	return 0;
}

static const struct mmio_trap *mmio_find(const struct vcpu *vcpu, gpa_t at)
{
	const struct guest *g = guest_of(vcpu);

	for (u32 i = 0; i < g->mmio_traps; i++)
		if (g->mmio_trap[i].page.v == (at.v & PAGE_MASK))
			return &g->mmio_trap[i];
	return NULL;
}

bool mmio_owns(const struct vcpu *vcpu, gpa_t at)
{
	return mmio_find(vcpu, at);
}

/* Of what is left, what one access of the hardware can do. */
static u32 largest_access(u32 len)
{
	return len >= 8 ? 8 : len >= 4 ? 4 : len >= 2 ? 2 : 1;
}

void mmio_read(struct vcpu *vcpu, gpa_t at, void *buf, u32 len)
{
	struct spinlock *lock = &guest_of(vcpu)->shared->lock;
	const struct mmio_trap *t = mmio_find(vcpu, at);

	for (u32 done = 0, size; done < len; done += size) {
		struct io_access access = {.address = at.v + done, .in = true, .memory = true};
		u64 value;

		access.size = size = largest_access(len - done);
		spin_lock(lock);
		value = hw_mmio_read(hpa(access.address), size);
		t->filter(vcpu, &access, &value);
		spin_unlock(lock);
		memcpy((u8 *)buf + done, &value, size);
	}
}

void mmio_write(struct vcpu *vcpu, gpa_t at, const void *buf, u32 len)
{
	struct spinlock *lock = &guest_of(vcpu)->shared->lock;
	const struct mmio_trap *t = mmio_find(vcpu, at);

	for (u32 done = 0, size; done < len; done += size) {
		struct io_access access = {.address = at.v + done, .memory = true};
		u64 value = 0;

		access.size = size = largest_access(len - done);
		memcpy(&value, (const u8 *)buf + done, size);
		spin_lock(lock);
		t->filter(vcpu, &access, &value);
		hw_mmio_write(hpa(access.address), size, value);
		spin_unlock(lock);
	}
}
