/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest memory as an emulated instruction sees it. RAM, hidden and foreign memory
 * are the shadow engine's; the local APIC page has its emulator, other trapped
 * pages their filters. A trapped page without either (the APIC's, once the guest
 * has moved it) reads as all-ones, and writes to it are dropped.
 */
#include "arch/x86/guest/emulate_memory.h"

#include "arch/x86/guest/apic.h"
#include "arch/x86/guest/breakpoint.h"
#include "arch/x86/guest/inject.h"
#include "arch/x86/guest/insn.h"
#include "arch/x86/guest/known.h"
#include "arch/x86/guest/mmio.h"
#include "arch/x86/guest/state.h"
#include "lib/log.h"
#include "lib/string.h"

/* Of what is left, what one access of the hardware can do. */
static u32 largest_access(u32 len)
{
	return len >= 8 ? 8 : len >= 4 ? 4 : len >= 2 ? 2 : 1;
}

static void apic_access(struct vcpu *vcpu, u32 offset, u8 *buf, u32 len, bool write)
{
	for (u32 done = 0, size; done < len; done += size) {
		u64 value = 0;

		size = largest_access(len - done);
		if (write) {
			memcpy(&value, buf + done, size);
			apic_write(vcpu, offset + done, size, value);
		} else {
			value = apic_read(vcpu, offset + done, size);
			memcpy(buf + done, &value, size);
		}
	}
}

static void device_access(struct vcpu *vcpu, gpa_t at, void *buf, u32 len, bool write)
{
	if (mmio_owns(vcpu, at)) {
		if (write)
			mmio_write(vcpu, at, buf, len);
		else
			mmio_read(vcpu, at, buf, len);
		return;
	}
	if (apic_owns(vcpu, at)) {
		apic_access(vcpu, at.v & ~PAGE_MASK, buf, len, write);
		return;
	}
	if (guest_once(guest_of(vcpu), ONCE_DEVICE))
		log_warn("guest: emulated instruction %s device memory at %llx: %s\n", write ? "writes" : "reads",
			 (unsigned long long)at.v, write ? "dropped" : "all-ones");
	if (!write)
		memset(buf, 0xff, len);
}

/*
 * Is it the access of the page fault at hand, which has been walked already? A read that faulted does not say
 * that a write is allowed.
 */
static bool is_faulting(const struct vcpu *vcpu, gva_t gva, bool write)
{
	return vcpu->mmio.state == MMIO_EMULATED && gva == vcpu->mmio.gva && (!write || vcpu->exit.error & PF_W);
}

/* Then it is neither RAM nor hidden memory, for which the shadow engine would be asked first. */
static bool is_faulting_on_trapped(const struct vcpu *vcpu, gva_t gva, bool write)
{
	gpa_t at = vcpu->mmio.fault.gpa;

	return is_faulting(vcpu, gva, write) && (apic_owns(vcpu, at) || mmio_owns(vcpu, at));
}

/* The address is translated; -EFAULT with #PF queued. */
static int translate(struct vcpu *vcpu, gva_t gva, bool write, gpa_t *out)
{
	struct gpt_walk walk;

	if (is_faulting(vcpu, gva, write)) {
		*out = vcpu->mmio.fault.gpa;
		return 0;
	}
	if (shadow_translate(vcpu->mmu, gva, insn_access(vcpu, write, false), &walk) != GPT_OK) {
		inject_pf(vcpu, gva, walk.error);
		return -EFAULT;
	}
	*out = gpa((walk.gfn << PAGE_SHIFT) | (gva & ~PAGE_MASK));
	return 0;
}

/* One access inside a page. */
static int access_piece(struct vcpu *vcpu, gva_t gva, void *buf, u32 len, bool write)
{
	struct gpt_access access = insn_access(vcpu, write, false);
	gva_t fault_gva = gva;
	u32 error = 0;
	int err = -EIO;
	gpa_t at;

	if (!is_faulting_on_trapped(vcpu, gva, write))
		err = write ? shadow_write_guest(vcpu->mmu, gva, buf, len, access, &fault_gva, &error) :
			      shadow_read_guest(vcpu->mmu, gva, buf, len, access, &fault_gva, &error);
	if (err == -EFAULT)
		inject_pf(vcpu, fault_gva, error);
	if (err != -EIO)
		return err;
	err = translate(vcpu, gva, write, &at);
	if (err)
		return err;
	device_access(vcpu, at, buf, len, write);
	return 0;
}

static u32 first_piece(gva_t gva, u32 len)
{
	return MIN(len, PAGE_SIZE - (gva & ~PAGE_MASK));
}

/* Linear addresses wrap at 4 GiB outside 64-bit mode. */
static gva_t next_page(const struct vcpu *vcpu, gva_t gva, u32 by)
{
	return in_long_mode(vcpu) ? gva + by : (u32)(gva + by);
}

/*
 * SDM vol. 3 section 6.15, "Interrupt 17". The 10 bytes of an x87 register want 8; 32 bytes are
 * checked by the instruction itself. True: #AC is queued.
 */
static bool is_misaligned(struct vcpu *vcpu, gva_t gva, u32 len)
{
	u32 natural = len == 10 ? 8 : len;

	if (likely(!(vcpu->rflags & RFLAGS_AC)) || vcpu->cpl != 3 || !(vcpu->cr0 & CR0_AM))
		return false;
	if (natural > 16 || natural & (natural - 1) || !(gva & (natural - 1)))
		return false;
	inject_exception(vcpu, VEC_AC, 0);
	return true;
}

static NOINLINE int read_slow(struct vcpu *vcpu, gva_t gva, void *buf, u32 len)
{
	u32 first = first_piece(gva, len);
	int err = is_misaligned(vcpu, gva, len) ? -EFAULT : access_piece(vcpu, gva, buf, first, false);

	if (!err && first != len)
		err = access_piece(vcpu, next_page(vcpu, gva, first), (u8 *)buf + first, len - first, false);
	if (!err)
		breakpoint_note_access(vcpu, gva, len, false);
	return err;
}

int emulate_read(struct vcpu *vcpu, gva_t gva, void *buf, u32 len)
{
	const struct shadow_ram *ram = known_ram(vcpu, gva, len);

	if (unlikely(!ram))
		return read_slow(vcpu, gva, buf, len);
	shadow_read_ram(ram, gva & ~PAGE_MASK, buf, len);
	return 0;
}

static int probe(struct vcpu *vcpu, gva_t gva, u32 len, bool write)
{
	u32 first = first_piece(gva, len);
	gpa_t at;
	int err = is_misaligned(vcpu, gva, len) ? -EFAULT : translate(vcpu, gva, write, &at);

	if (err || first == len)
		return err;
	return translate(vcpu, next_page(vcpu, gva, first), write, &at);
}

int emulate_probe_read(struct vcpu *vcpu, gva_t gva, u32 len)
{
	return probe(vcpu, gva, len, false);
}

int emulate_probe_write(struct vcpu *vcpu, gva_t gva, u32 len)
{
	return likely(known_ram(vcpu, gva, len)) ? 0 : probe(vcpu, gva, len, true);
}

static NOINLINE int write_slow(struct vcpu *vcpu, gva_t gva, const void *buf, u32 len)
{
	u32 first = first_piece(gva, len);
	int err = is_misaligned(vcpu, gva, len) ? -EFAULT : first == len ? 0 : emulate_probe_write(vcpu, gva, len);

	if (!err)
		err = access_piece(vcpu, gva, (void *)(uintptr_t)buf, first, true);
	if (!err && first != len)
		err = access_piece(vcpu, next_page(vcpu, gva, first), (u8 *)(uintptr_t)buf + first, len - first,
				   true);
	if (!err)
		breakpoint_note_access(vcpu, gva, len, true);
	return err;
}

int emulate_write(struct vcpu *vcpu, gva_t gva, const void *buf, u32 len)
{
	const struct shadow_ram *ram = known_ram(vcpu, gva, len);

	if (unlikely(!ram))
		return write_slow(vcpu, gva, buf, len);
	shadow_write_ram(vcpu->mmu, ram, gva & ~PAGE_MASK, buf, len);
	return 0;
}

/* Only of RAM the shadow engine makes one operation; what else there is has no locked ones. */
int emulate_exchange(struct vcpu *vcpu, gva_t gva, const void *expected, const void *value, u32 len)
{
	gva_t fault_gva = gva;
	u32 error = 0;
	int err;

	if (first_piece(gva, len) != len || is_faulting_on_trapped(vcpu, gva, true))
		return emulate_write(vcpu, gva, value, len);
	if (is_misaligned(vcpu, gva, len))
		return -EFAULT;
	err = shadow_exchange_guest(vcpu->mmu, gva, expected, value, len, insn_access(vcpu, true, false),
				    &fault_gva, &error);
	if (err == -EFAULT)
		inject_pf(vcpu, fault_gva, error);
	else if (err == -EIO)
		return emulate_write(vcpu, gva, value, len);
	if (!err)
		breakpoint_note_access(vcpu, gva, len, true);
	return err;
}

int emulate_drop_write(struct vcpu *vcpu, gva_t gva, u32 len)
{
	struct gpt_access access = insn_access(vcpu, true, false);
	gva_t fault_gva = gva, at = gva;
	u32 error = 0;

	for (u32 left = len, piece; left; left -= piece) {
		int err = shadow_find_hidden(vcpu->mmu, at, access, &fault_gva, &error);

		if (err == -EFAULT)
			inject_pf(vcpu, fault_gva, error);
		if (err)
			return err;
		piece = first_piece(at, left);
		at = next_page(vcpu, at, piece);
	}
	shadow_drop_write(vcpu->mmu);
	breakpoint_note_access(vcpu, gva, len, true);
	return 0;
}
