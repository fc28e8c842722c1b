/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The hypervisor's own accesses to guest memory, on the guest's behalf: by
 * virtual address, with the checks and the accessed and dirty bits of a real
 * access. A write to a frame that is a protected table makes it unsync first, so
 * that the next sync sees what was written.
 */
#include "mm/shadow.h"

#include "lib/string.h"
#include "mm/shadow/cpus.h"
#include "mm/shadow/rmap.h"
#include "mm/shadow/unsync.h"

/* One page's part of an access. */
struct piece {
	u8 *at; /* NULL: hidden memory, or foreign */
	gfn_t gfn;
	pfn_t pfn;
	bool foreign;
	u32 offset, len;
};

enum gpt_status shadow_translate(struct shadow_mmu *mmu, gva_t gva, struct gpt_access access, struct gpt_walk *walk)
{
	return gpt_walk(&mmu->gpt, gva, access, GPT_PEEK, walk);
}

static enum gpt_status walk_settled(struct shadow_mmu *mmu, gva_t gva, struct gpt_access access,
				    struct gpt_walk *walk)
{
	enum gpt_status status;
	u32 tries = 64;

	do
		status = gpt_walk(&mmu->gpt, gva, access, GPT_SET_AD, walk);
	while (status == GPT_RETRY && --tries);
	/* Somebody else rewrites the entry without end: leave its bits alone. */
	return status == GPT_RETRY ? gpt_walk(&mmu->gpt, gva, access, GPT_PEEK, walk) : status;
}

static int piece_find(struct shadow_mmu *mmu, gva_t gva, u32 len, struct gpt_access access, struct piece *piece,
		      gva_t *fault_gva, u32 *error)
{
	struct region_hit hit;
	struct gpt_walk walk;

	if (walk_settled(mmu, gva, access, &walk) != GPT_OK) {
		*fault_gva = gva;
		*error = walk.error;
		return -EFAULT;
	}
	region_lookup(mmu->s->regions, walk.gfn, &hit);
	if (hit.kind == REGION_TRAPPED || (hit.kind == REGION_MMIO && !mmu->s->regions->map_foreign))
		return -EIO;
	*piece = (struct piece){.gfn = walk.gfn, .pfn = hit.pfn, .offset = gva & (PAGE_SIZE - 1), .len = len};
	piece->foreign = hit.kind == REGION_MMIO;
	if (hit.kind == REGION_RAM)
		piece->at = (u8 *)phys_to_virt(pfn_to_hpa(hit.pfn)) + piece->offset;
	return 0;
}

/* The largest access at this address that is aligned and goes no further than len. */
static u32 natural_size(uintptr_t at, u32 len)
{
	u32 size = 8;

	while (size > len || (at & (size - 1)))
		size /= 2;
	return size;
}

#define COPY_AT_ONCE(type) \
	do { \
		type value; \
		if (write) { \
			__builtin_memcpy(&value, buf, sizeof(type)); \
			__atomic_store_n((type *)(void *)at, value, __ATOMIC_RELAXED); \
		} else { \
			value = __atomic_load_n((const type *)(const void *)at, __ATOMIC_RELAXED); \
			__builtin_memcpy(buf, &value, sizeof(type)); \
		} \
	} while (0)

/* What one access does, as most are. False: it takes more. */
static ALWAYS_INLINE bool copy_at_once(u8 *at, u8 *buf, u32 len, bool write)
{
	if ((uintptr_t)at & (len - 1))
		return false;
	switch (len) {
	case 1: COPY_AT_ONCE(u8); return true;
	case 2: COPY_AT_ONCE(u16); return true;
	case 4: COPY_AT_ONCE(u32); return true;
	case 8: COPY_AT_ONCE(u64); return true;
	default: return false;
	}
}

/*
 * Each byte of the guest's once, by accesses of natural size: other CPUs, a walker among them, see each of these whole, as of
 * the processor's own (SDM vol. 3 section 8.1.1), and so does a device.
 */
static void copy_natural(u8 *at, u8 *buf, u32 len, bool write)
{
	if (likely(copy_at_once(at, buf, len, write)))
		return;
	for (u32 done = 0, size; done < len; done += size) {
		size = natural_size((uintptr_t)at + done, len - done);
		copy_at_once(at + done, buf + done, size, write);
	}
}

/* Others may change the word beside the operand, each time: then it is to be done again. */
#define EXCHANGE_TRIES 8u

/* By one compare-exchange of the aligned word that the bytes lie in. */
static bool exchange_in_word(u8 *at, const u8 *expected, const u8 *value, u32 len)
{
	u32 offset = (uintptr_t)at & 7;
	u64 *word = (u64 *)(at - offset), old = __atomic_load_n(word, __ATOMIC_RELAXED), new;

	for (u32 tries = EXCHANGE_TRIES; tries; tries--) {
		if (memcmp((u8 *)&old + offset, expected, len))
			return false;
		new = old;
		memcpy((u8 *)&new + offset, value, len);
		if (__atomic_compare_exchange_n(word, &old, new, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
			return true;
	}
	return false;
}

#define EXCHANGE_AT_ONCE(type) \
	do { \
		type old, new; \
		__builtin_memcpy(&old, expected, sizeof(type)); \
		__builtin_memcpy(&new, value, sizeof(type)); \
		return __atomic_compare_exchange_n((type *)(void *)at, &old, new, false, __ATOMIC_SEQ_CST, \
						   __ATOMIC_RELAXED); \
	} while (0)

/* As most are, of natural size. */
static ALWAYS_INLINE bool exchange_at_once(u8 *at, const u8 *expected, const u8 *value, u32 len)
{
	switch (len) {
	case 1: EXCHANGE_AT_ONCE(u8);
	case 2: EXCHANGE_AT_ONCE(u16);
	case 4: EXCHANGE_AT_ONCE(u32);
	default: EXCHANGE_AT_ONCE(u64);
	}
}

static bool exchange(u8 *at, const u8 *expected, u8 *value, u32 len)
{
	u8 now[8];

	if (likely(!((uintptr_t)at & (len - 1))))
		return exchange_at_once(at, expected, value, len);
	if (((uintptr_t)at & 7) + len <= 8)
		return exchange_in_word(at, expected, value, len);
	copy_natural(at, now, len, false);
	if (memcmp(now, expected, len))
		return false;
	copy_natural(at, value, len, true);
	return true;
}

/* With the lock: else another CPU could protect the table between the two, and never learn of the write. */
static ALWAYS_INLINE void write_frame(struct shadow_mmu *mmu, gfn_t gfn, u32 *frame, u8 *at, u8 *buf, u32 len)
{
	struct shadow *s = mmu->s;

	engine_lock(s);
	if (unlikely(frame_is_protected(*frame)))
		frame_unsync(mmu, gfn, frame);
	copy_natural(at, buf, len, true); /* LOCKED: write */
	engine_unlock(s);
}

static void write_ram(struct shadow_mmu *mmu, const struct piece *piece, u8 *buf)
{
	write_frame(mmu, piece->gfn, frame_of_ram(mmu->s, piece->gfn), piece->at, buf, piece->len);
}

bool shadow_find_ram(struct shadow_mmu *mmu, gfn_t gfn, struct shadow_ram *ram)
{
	struct region_hit hit;

	region_lookup(mmu->s->regions, gfn, &hit);
	if (hit.kind != REGION_RAM)
		return false;
	ram->at = phys_to_virt(pfn_to_hpa(hit.pfn));
	ram->frame = frame_of_ram(mmu->s, gfn);
	ram->gfn = gfn;
	return true;
}

/* In pieces. */
void shadow_read_ram_slow(const struct shadow_ram *ram, u32 offset, void *buf, u32 len)
{
	copy_natural(ram->at + offset, buf, len, false);
}

static NOINLINE void write_ram_slow(struct shadow_mmu *mmu, const struct shadow_ram *ram, u32 offset,
				    const void *buf, u32 len)
{
	write_frame(mmu, ram->gfn, ram->frame, ram->at + offset, (u8 *)(uintptr_t)buf, len);
}

/* One CPU has nobody to keep out. */
void shadow_write_ram(struct shadow_mmu *mmu, const struct shadow_ram *ram, u32 offset, const void *buf, u32 len)
{
	if (unlikely(mmu->s->readers || frame_is_protected(*ram->frame) ||
		     !copy_at_once(ram->at + offset, (u8 *)(uintptr_t)buf, len, true)))
		write_ram_slow(mmu, ram, offset, buf, len);
}

void shadow_push_ram(struct shadow_mmu *mmu, const struct shadow_ram *ram, u32 end, const u64 *values, u32 size,
		     u32 count)
{
	u8 *at = ram->at + end;

	if (unlikely(mmu->s->readers || frame_is_protected(*ram->frame) || end & (size - 1))) {
		for (u32 i = 0; i < count; i++)
			write_ram_slow(mmu, ram, end -= size, &values[i], size);
	} else if (size == 2) {
		for (u32 i = 0; i < count; i++)
			__atomic_store_n((u16 *)(void *)(at -= 2), (u16)values[i], __ATOMIC_RELAXED);
	} else {
		for (u32 i = 0; i < count; i++)
			__atomic_store_n((u32 *)(void *)(at -= 4), (u32)values[i], __ATOMIC_RELAXED);
	}
}

void shadow_open_ram(struct shadow_mmu *mmu, const struct shadow_ram *ram)
{
	engine_lock(mmu->s);
	if (unlikely(frame_is_protected(*ram->frame)))
		frame_unsync(mmu, ram->gfn, ram->frame);
}

void shadow_close_ram(struct shadow_mmu *mmu)
{
	engine_unlock(mmu->s);
}

/* The same for a locked operation. */
static bool exchange_frame(struct shadow_mmu *mmu, gfn_t gfn, u32 *frame, u8 *at, const u8 *expected, u8 *value,
			   u32 len)
{
	struct shadow *s = mmu->s;
	bool done;

	engine_lock(s);
	if (frame_is_protected(*frame))
		frame_unsync(mmu, gfn, frame);
	done = exchange(at, expected, value, len); /* LOCKED: exchange */
	engine_unlock(s);
	return done;
}

bool shadow_exchange_ram(struct shadow_mmu *mmu, const struct shadow_ram *ram, u32 offset, const void *expected,
			 const void *value, u32 len)
{
	u8 *at = ram->at + offset;

	if (likely(!mmu->s->readers && !frame_is_protected(*ram->frame) && !(offset & (len - 1))))
		return exchange_at_once(at, expected, value, len);
	return exchange_frame(mmu, ram->gfn, ram->frame, at, expected, (u8 *)(uintptr_t)value, len);
}

static void copy_foreign(struct shadow_mmu *mmu, const struct piece *piece, u8 *buf, bool write)
{
	u8 *page = mmu->s->regions->map_foreign(GPT_SLOT_SINGLE, piece->pfn);

	if (page)
		copy_natural(page + piece->offset, buf, piece->len, write);
	else if (!write)
		memset(buf, 0xff, piece->len);
}

static void piece_copy(struct shadow_mmu *mmu, const struct piece *piece, u8 *buf, bool write)
{
	if (piece->foreign) {
		copy_foreign(mmu, piece, buf, write);
	} else if (!piece->at) {
		if (write)
			STAT_OF(mmu, hidden_writes);
		else
			STAT_OF(mmu, hidden_reads);
		if (!write)
			memset(buf, 0xff, piece->len);
	} else if (write) {
		write_ram(mmu, piece, buf);
	} else {
		copy_natural(piece->at, buf, piece->len, false);
	}
}

/* Both pages are translated before the first byte moves: all or nothing. */
static int access_pages(struct shadow_mmu *mmu, gva_t gva, u8 *buf, u32 len, struct gpt_access access,
			gva_t *fault_gva, u32 *error)
{
	u32 first = (u32)MIN((u64)len, PAGE_SIZE - (gva & (PAGE_SIZE - 1)));
	struct piece pieces[2];
	int err = piece_find(mmu, gva, first, access, &pieces[0], fault_gva, error);

	if (err || len - first > PAGE_SIZE)
		return err ? err : -EINVAL;
	if (len > first) {
		err = piece_find(mmu, gva + first, len - first, access, &pieces[1], fault_gva, error);
		if (err)
			return err;
		piece_copy(mmu, &pieces[1], buf + first, access.write);
	}
	piece_copy(mmu, &pieces[0], buf, access.write);
	return 0;
}

const u8 *shadow_find_code(struct shadow_mmu *mmu, gva_t gva, struct gpt_access access)
{
	struct region_hit hit;
	struct gpt_walk walk;

	if (walk_settled(mmu, gva, access, &walk) != GPT_OK)
		return NULL;
	region_lookup(mmu->s->regions, walk.gfn, &hit);
	if (hit.kind != REGION_RAM)
		return NULL;
	return (const u8 *)phys_to_virt(pfn_to_hpa(hit.pfn)) + (gva & (PAGE_SIZE - 1));
}

int shadow_find_hidden(struct shadow_mmu *mmu, gva_t gva, struct gpt_access access, gva_t *fault_gva, u32 *error)
{
	struct piece piece;
	int err = piece_find(mmu, gva, 1, access, &piece, fault_gva, error);

	return err || (!piece.at && !piece.foreign) ? err : -EIO;
}

void shadow_drop_write(struct shadow_mmu *mmu)
{
	STAT_OF(mmu, hidden_writes);
}

int shadow_read_guest(struct shadow_mmu *mmu, gva_t gva, void *buf, u32 len, struct gpt_access access,
		      gva_t *fault_gva, u32 *error)
{
	access.write = false;
	return access_pages(mmu, gva, buf, len, access, fault_gva, error);
}

int shadow_write_guest(struct shadow_mmu *mmu, gva_t gva, const void *buf, u32 len, struct gpt_access access,
		       gva_t *fault_gva, u32 *error)
{
	access.write = true;
	return access_pages(mmu, gva, (u8 *)(uintptr_t)buf, len, access, fault_gva, error);
}

/* Device memory has no locked operations that would matter: it is written. */
int shadow_exchange_guest(struct shadow_mmu *mmu, gva_t gva, const void *expected, const void *value, u32 len,
			  struct gpt_access access, gva_t *fault_gva, u32 *error)
{
	struct piece piece;
	int err;

	access.write = true;
	err = piece_find(mmu, gva, len, access, &piece, fault_gva, error);
	if (err)
		return err;
	if (piece.at)
		return exchange_frame(mmu, piece.gfn, frame_of_ram(mmu->s, piece.gfn), piece.at, expected,
				      (u8 *)(uintptr_t)value, len) ?
			       0 :
			       -EAGAIN;
	piece_copy(mmu, &piece, (u8 *)(uintptr_t)value, true);
	return 0;
}
