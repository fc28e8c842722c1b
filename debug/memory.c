/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See memory.h. A write goes through shadow_write_ram(), so a table that is protected becomes unsync as by the guest's own store (D4).
 */
#include "debug/memory.h"

#include "arch/x86/memory.h"
#include "lib/string.h"
#include "mm/shadow.h"

/* MAXPHYADDR of no processor is above it. */
#define PHYSICAL_BITS_MAX 52

/* An access that rights or a key forbid has all entries, and the last is a leaf; reserved bits are no translation. */
static bool leaf_of_refused(const struct gpt_walk *walk, gva_t gva, u64 *out)
{
	u32 level = walk->last_level;
	u64 entry = walk->step[level].entry;

	if (!(walk->error & PF_P) || walk->error & PF_RSVD || level == 0 || !gpt_entry_is_leaf(level, entry))
		return false;
	*out = (gpt_entry_gfn(level, entry) << PAGE_SHIFT) | (gva & (BIT(PAGE_SHIFT + 9 * (level - 1)) - 1));
	return true;
}

int memory_translate(struct vcpu *vcpu, gva_t gva, u64 *out)
{
	const struct gpt_access access = {.ac = true};
	struct gpt_walk walk;

	if (!(vcpu->efer & EFER_LMA))
		gva &= 0xffffffff;
	if (shadow_translate(vcpu->mmu, gva, access, &walk) == GPT_OK) {
		*out = (walk.gfn << PAGE_SHIFT) | (gva & (PAGE_SIZE - 1));
		return 0;
	}
	return leaf_of_refused(&walk, gva, out) ? 0 : -EFAULT;
}

const u8 *memory_page(struct vcpu *vcpu, u64 address)
{
	struct shadow_ram ram;

	return address >> PHYSICAL_BITS_MAX || !shadow_find_ram(vcpu->mmu, address >> PAGE_SHIFT, &ram) ? NULL :
													  ram.at;
}

static bool copy_ram(struct vcpu *vcpu, u64 at, u8 *buf, u32 len, bool write)
{
	u32 offset = (u32)(at & (PAGE_SIZE - 1));
	struct shadow_ram ram;

	if (at >> PHYSICAL_BITS_MAX || !shadow_find_ram(vcpu->mmu, at >> PAGE_SHIFT, &ram))
		return false;
	if (write)
		shadow_write_ram(vcpu->mmu, &ram, offset, buf, len);
	else
		memcpy(buf, ram.at + offset, len);
	return true;
}

u32 memory_copy(struct vcpu *vcpu, u64 address, bool physical, void *buf, u32 len, bool write)
{
	u32 done = 0;

	while (done < len) {
		u64 at = address + done;
		u32 part = (u32)MIN((u64)(len - done), PAGE_SIZE - (at & (PAGE_SIZE - 1)));

		if ((!physical && memory_translate(vcpu, at, &at)) ||
		    !copy_ram(vcpu, at, (u8 *)buf + done, part, write))
			break;
		done += part;
	}
	return done;
}
