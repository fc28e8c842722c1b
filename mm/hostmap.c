/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The hypervisor's own page tables (SDM vol. 3 section 4.5). Upper entries carry
 * full rights and the leaf decides. Accessed and dirty are preset, so the CPU
 * never writes to these tables; no entry is global, so a CR3 load drops every
 * stale translation; every leaf without HOSTMAP_X is no-execute.
 *
 *   va  47..39   38..30        29..21        20..12
 *       level 4  level 3       level 2       level 1
 *       table    1 GiB, table  2 MiB, table  4 KiB
 */
#include "mm/hostmap.h"

#include "lib/log.h"
#include "lib/string.h"
#include "lib/x86.h"
#include "mm/phys.h"

#define TOP_LEVEL 4
#define ENTRIES 512
#define TABLE_FLAGS (PTE_P | PTE_W | PTE_A)
#define LEAF_FLAGS (PTE_P | PTE_A | PTE_D)
#define PTE_UC (PTE_PCD | PTE_PWT) /* PAT index 3: UC in PAT_RESET and in PAT_HOST */
#define PHYS_END BIT(52)

static u64 level_size(u32 level)
{
	return PAGE_SIZE << (9 * (level - 1));
}

static u64 *entry_of(hpa_t table, u32 level, u64 va)
{
	return (u64 *)phys_to_virt(table) + va / level_size(level) % ENTRIES;
}

static hpa_t entry_table(u64 entry)
{
	return hpa(entry & PTE_ADDR_MASK);
}

static bool is_leaf(u64 entry, u32 level)
{
	return (entry & PTE_P) && (level == 1 || (entry & PTE_PS));
}

static bool is_table(u64 entry, u32 level)
{
	return (entry & PTE_P) && !is_leaf(entry, level);
}

static u64 make_leaf(hpa_t pa, u32 level, u64 rights)
{
	return pa.v | LEAF_FLAGS | (level > 1 ? PTE_PS : 0) | (rights & HOSTMAP_W ? PTE_W : 0) |
	       (rights & HOSTMAP_X ? 0 : PTE_NX) | (rights & HOSTMAP_UC ? PTE_UC : 0);
}

static u64 leaf_rights(u64 entry)
{
	return (entry & PTE_W ? HOSTMAP_W : 0) | (entry & PTE_NX ? 0 : HOSTMAP_X) |
	       (entry & PTE_PCD ? HOSTMAP_UC : 0);
}

/* Page aligned, not empty, canonical and in one half of the 48-bit address space. */
static bool range_valid(u64 va, u64 size)
{
	u64 last = va + size - 1;

	if (!size || ((va | size) & ~PAGE_MASK) || last < va)
		return false;
	return va >> 47 == last >> 47 && (va >> 47 == 0 || va >> 47 == BITS(16, 0));
}

/* Fills a table with what the leaf at level said, one level lower. */
static void fill_split(u64 *table, u64 leaf, u32 level)
{
	u64 rights = leaf_rights(leaf), step = level_size(level - 1);

	for (u32 i = 0; i < ENTRIES; i++)
		table[i] = make_leaf(hpa((leaf & PTE_ADDR_MASK) + i * step), level - 1, rights);
}

/* Makes *entry, absent or a large leaf at level, point to a table that says the same. */
static int make_table(struct hostmap *m, u64 *entry, u32 level)
{
	hpa_t table;
	int err = m->alloc(m->arg, &table);

	if (err)
		return err;
	if (is_leaf(*entry, level))
		fill_split(phys_to_virt(table), *entry, level);
	else
		memset(phys_to_virt(table), 0, PAGE_SIZE);
	*entry = table.v | TABLE_FLAGS;
	return 0;
}

int hostmap_init(struct hostmap *m, bool pages_1g, int (*alloc)(void *arg, hpa_t *out), void *arg)
{
	int err;

	*m = (struct hostmap){.pages_1g = pages_1g, .alloc = alloc, .arg = arg};
	err = alloc(arg, &m->root);
	if (err)
		return err;
	memset(phys_to_virt(m->root), 0, PAGE_SIZE);
	return 0;
}

static bool leaf_fits(const struct hostmap *m, u32 level, u64 va, hpa_t pa, u64 size)
{
	u32 largest = m->pages_1g ? 3 : 2;

	return level <= largest && size >= level_size(level) && !((va | pa.v) & (level_size(level) - 1));
}

/* Maps one page, the largest that fits and needs no table dropped; its size in *done. */
static int map_one(struct hostmap *m, u64 va, hpa_t pa, u64 size, u64 rights, u64 *done)
{
	hpa_t table = m->root;

	for (u32 level = TOP_LEVEL;; level--) {
		u64 *entry = entry_of(table, level, va);
		int err;

		if (leaf_fits(m, level, va, pa, size) && !is_table(*entry, level)) {
			*entry = make_leaf(pa, level, rights);
			*done = level_size(level);
			return 0;
		}
		err = is_table(*entry, level) ? 0 : make_table(m, entry, level);
		if (err)
			return err;
		table = entry_table(*entry);
	}
}

int hostmap_map(struct hostmap *m, u64 va, hpa_t pa, u64 size, u64 rights)
{
	u64 done;

	if (!range_valid(va, size) || (pa.v & ~PAGE_MASK) || pa.v >= PHYS_END || size > PHYS_END - pa.v)
		return -EINVAL;
	if ((rights & ~(HOSTMAP_W | HOSTMAP_X | HOSTMAP_UC)) ||
	    (rights & (HOSTMAP_W | HOSTMAP_X)) == (HOSTMAP_W | HOSTMAP_X))
		return -EINVAL;
	for (u64 at = 0; at < size; at += done) {
		int err = map_one(m, va + at, hpa(pa.v + at), size - at, rights, &done);

		if (err)
			return err;
	}
	return 0;
}

/* Unmaps up to the end of the entry that va leads to; *done: how far that is. */
static int unmap_one(struct hostmap *m, u64 va, u64 size, u64 *done)
{
	hpa_t table = m->root;

	for (u32 level = TOP_LEVEL;; level--) {
		u64 *entry = entry_of(table, level, va);
		u64 rest = level_size(level) - (va & (level_size(level) - 1));
		bool whole = rest == level_size(level) && size >= rest;
		int err;

		*done = MIN(size, rest);
		if (!(*entry & PTE_P))
			return 0;
		if (is_leaf(*entry, level) && whole) {
			*entry = 0;
			return 0;
		}
		err = is_table(*entry, level) ? 0 : make_table(m, entry, level);
		if (err)
			return err;
		table = entry_table(*entry);
	}
}

int hostmap_unmap(struct hostmap *m, u64 va, u64 size)
{
	u64 done;

	if (!range_valid(va, size))
		return -EINVAL;
	for (u64 at = 0; at < size; at += done) {
		int err = unmap_one(m, va + at, size - at, &done);

		if (err)
			return err;
	}
	return 0;
}

bool hostmap_query(const struct hostmap *m, u64 va, hpa_t *pa, u64 *rights)
{
	hpa_t table = m->root;

	if (!range_valid(va & PAGE_MASK, PAGE_SIZE))
		return false;
	for (u32 level = TOP_LEVEL;; level--) {
		u64 entry = *entry_of(table, level, va);

		if (!(entry & PTE_P))
			return false;
		if (is_leaf(entry, level)) {
			*pa = hpa((entry & PTE_ADDR_MASK) + (va & (level_size(level) - 1)));
			*rights = leaf_rights(entry);
			return true;
		}
		table = entry_table(entry);
	}
}

static u32 check_table(hpa_t table, u32 level)
{
	const u64 *entries = phys_to_virt(table);
	u32 bad = 0;

	for (u32 i = 0; i < ENTRIES; i++) {
		u64 entry = entries[i];

		if (is_table(entry, level)) {
			bad += check_table(entry_table(entry), level - 1);
		} else if (is_leaf(entry, level) && (entry & PTE_W) && !(entry & PTE_NX)) {
			log_error("hostmap: writable and executable: 0x%lx at level %u\n", (unsigned long)entry,
				  level);
			bad++;
		}
	}
	return bad;
}

u32 hostmap_check(const struct hostmap *m)
{
	return check_table(m->root, TOP_LEVEL);
}
