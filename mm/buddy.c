/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The buddy allocator. The state byte of the first page of a free block says
 * "free" and the order; every other byte is STATE_USED, whether its page is
 * inside a free block or taken. The free block that holds a page is found by
 * trying the 19 possible heads, so no operation writes a byte for every page.
 *
 * A block never leaves its span nor its zone. Page 0 stands alone: its address
 * is the end mark of the lists, so it is marked free but never linked.
 */
#include "mm/buddy.h"

#include "lib/bits.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/phys.h"

#define STATE_USED 0x00
#define STATE_FREE 0x80      /* | order: head of a free block in a list */
#define STATE_FREE_ZERO 0xff /* page 0 */

#define PFN_1M (BIT(20) >> PAGE_SHIFT)
#define PFN_4G (BIT(32) >> PAGE_SHIFT)
#define PFN_END (BIT(52) >> PAGE_SHIFT) /* physical addresses have 52 bits at most */

/* The first bytes of a free block. */
struct free_link {
	u64 next, prev; /* hpa; 0: none */
};

static enum buddy_zone zone_of(pfn_t pfn)
{
	return pfn < PFN_1M ? ZONE_LOW1M : pfn < PFN_4G ? ZONE_BELOW4G : ZONE_NORMAL;
}

static struct free_link *link_at(u64 address)
{
	return phys_to_virt(hpa(address));
}

/* The span with the highest base not above pfn, as an index; span_count if there is none. */
static u32 span_index(const struct buddy *b, pfn_t pfn)
{
	u32 low = 0, high = b->span_count;

	while (low < high) {
		u32 middle = (low + high) / 2;

		if (b->spans[middle].base <= pfn)
			low = middle + 1;
		else
			high = middle;
	}
	return low ? low - 1 : b->span_count;
}

static const struct buddy_span *span_of(const struct buddy *b, pfn_t pfn)
{
	u32 i = span_index(b, pfn);

	if (i == b->span_count || pfn - b->spans[i].base >= b->spans[i].pages)
		return NULL;
	return &b->spans[i];
}

static bool span_holds(const struct buddy_span *span, pfn_t base, u64 pages)
{
	u64 offset = base - span->base;

	return base >= span->base && offset < span->pages && pages <= span->pages - offset;
}

static u8 *state_of(const struct buddy_span *span, pfn_t pfn)
{
	return &span->state[pfn - span->base];
}

/* --- free blocks and their lists; the caller holds the lock --------------- */

/* True if address is 0 (the end of a list) or where a free block of this order begins. */
static bool is_link(const struct buddy *b, u64 address, u32 order)
{
	const struct buddy_span *span = span_of(b, address >> PAGE_SHIFT);

	if (!address)
		return true;
	return !(address & ~PAGE_MASK) && span && *state_of(span, address >> PAGE_SHIFT) == (STATE_FREE | order);
}

static void list_insert(struct buddy *b, const struct buddy_span *span, pfn_t pfn, u32 order)
{
	enum buddy_zone zone = zone_of(pfn);
	u64 *head = &b->free_head[zone][order];
	u64 address = pfn_to_hpa(pfn).v;

	*link_at(address) = (struct free_link){.next = *head};
	if (*head)
		link_at(*head)->prev = address;
	*head = address;
	*state_of(span, pfn) = (u8)(STATE_FREE | order);
	b->free_pages[zone] += BIT(order);
}

static void list_remove(struct buddy *b, const struct buddy_span *span, pfn_t pfn, u32 order)
{
	enum buddy_zone zone = zone_of(pfn);
	u64 address = pfn_to_hpa(pfn).v;
	struct free_link link = *link_at(address);

	BUG_ON(*state_of(span, pfn) != (STATE_FREE | order));
	BUG_ON(!is_link(b, link.prev, order) || !is_link(b, link.next, order));
	BUG_ON((link.prev ? link_at(link.prev)->next : b->free_head[zone][order]) != address);
	BUG_ON(link.next && link_at(link.next)->prev != address);
	if (link.prev)
		link_at(link.prev)->next = link.next;
	else
		b->free_head[zone][order] = link.next;
	if (link.next)
		link_at(link.next)->prev = link.prev;
	*state_of(span, pfn) = STATE_USED;
	b->free_pages[zone] -= BIT(order);
}

static bool mergeable(const struct buddy_span *span, pfn_t pfn, u32 order)
{
	return span_holds(span, pfn, BIT(order)) && *state_of(span, pfn) == (STATE_FREE | order);
}

/* Makes one aligned block free, together with its buddies as far as they are free. */
static void free_block(struct buddy *b, const struct buddy_span *span, pfn_t pfn, u32 order)
{
	for (; order < BUDDY_MAX_ORDER; order++) {
		pfn_t buddy = pfn ^ BIT(order);

		if (zone_of(buddy) != zone_of(pfn) || !mergeable(span, buddy, order))
			break;
		list_remove(b, span, buddy, order);
		pfn = MIN(pfn, buddy);
	}
	list_insert(b, span, pfn, order);
}

/* Makes [base, end) of one span free, in the largest aligned blocks that fit. */
static void free_range(struct buddy *b, const struct buddy_span *span, pfn_t base, pfn_t end)
{
	if (base == 0 && end > 0) {
		*state_of(span, 0) = STATE_FREE_ZERO;
		b->free_pages[ZONE_LOW1M]++;
		base = 1;
	}
	while (base < end) {
		u32 order = MIN(bit_lowest(base), log2_floor(end - base));

		order = MIN(order, (u32)BUDDY_MAX_ORDER);
		free_block(b, span, base, order);
		base += BIT(order);
	}
}

/* The free block [*head, return value) that holds pfn; 0 if the page is taken. */
static pfn_t find_free(const struct buddy_span *span, pfn_t pfn, pfn_t *head)
{
	*head = pfn;
	if (pfn == 0)
		return *state_of(span, 0) == STATE_FREE_ZERO ? 1 : 0;
	for (u32 order = 0; order < BUDDY_ORDERS; order++) {
		*head = pfn & ~(BIT(order) - 1);
		if (*head < span->base)
			break;
		if (*state_of(span, *head) == (STATE_FREE | order))
			return *head + BIT(order);
	}
	return 0;
}

/* Takes the whole free block [head, end), as find_free() returned it. */
static void take_block(struct buddy *b, const struct buddy_span *span, pfn_t head, pfn_t end)
{
	if (head != 0) {
		list_remove(b, span, head, log2_floor(end - head));
		return;
	}
	*state_of(span, 0) = STATE_USED;
	b->free_pages[ZONE_LOW1M]--;
}

/* --- the public operations ------------------------------------------------ */

u64 buddy_state_bytes(u64 pages)
{
	return pages;
}

void buddy_init(struct buddy *b)
{
	memset(b, 0, sizeof(*b));
}

static int add_span_locked(struct buddy *b, pfn_t base, u64 pages, u8 *state, bool claimed)
{
	u32 below = span_index(b, base);
	u32 at = below == b->span_count ? 0 : below + 1;
	struct buddy_span *span = &b->spans[at];

	if (at && b->spans[below].base + b->spans[below].pages > base)
		return -EINVAL;
	if (at < b->span_count && span->base < base + pages)
		return -EINVAL;
	if (b->span_count == BUDDY_MAX_SPANS)
		return -ENOSPC;
	memmove(span + 1, span, (b->span_count - at) * sizeof(*span));
	*span = (struct buddy_span){.base = base, .pages = pages, .state = state};
	b->span_count++;
	b->total_pages += pages;
	memset(state, STATE_USED, buddy_state_bytes(pages));
	if (!claimed)
		free_range(b, span, base, base + pages);
	return 0;
}

static int add_span(struct buddy *b, pfn_t base, u64 pages, u8 *state, bool claimed)
{
	int err;

	if (!pages || base >= PFN_END || pages > PFN_END - base)
		return -EINVAL;
	spin_lock(&b->lock);
	err = add_span_locked(b, base, pages, state, claimed);
	spin_unlock(&b->lock);
	return err;
}

int buddy_add_span(struct buddy *b, pfn_t base, u64 pages, u8 *state)
{
	return add_span(b, base, pages, state, false);
}

int buddy_add_claimed(struct buddy *b, pfn_t base, u64 pages, u8 *state)
{
	return add_span(b, base, pages, state, true);
}

/* From the smallest block that is large enough, so that large ones last. */
static bool alloc_in_zone(struct buddy *b, u32 order, enum buddy_zone zone, hpa_t *out)
{
	const struct buddy_span *span;
	u32 from = order;
	pfn_t pfn;

	while (from < BUDDY_ORDERS && !b->free_head[zone][from])
		from++;
	if (from == BUDDY_ORDERS)
		return false;
	pfn = b->free_head[zone][from] >> PAGE_SHIFT;
	span = span_of(b, pfn);
	BUG_ON(!span);
	list_remove(b, span, pfn, from);
	while (from > order) {
		from--;
		list_insert(b, span, pfn + BIT(from), from);
	}
	*out = pfn_to_hpa(pfn);
	return true;
}

int buddy_alloc(struct buddy *b, u32 order, enum buddy_zone highest, hpa_t *out)
{
	bool found = false;

	if (order > BUDDY_MAX_ORDER || (u32)highest >= BUDDY_ZONES)
		return -EINVAL;
	spin_lock(&b->lock);
	for (int zone = (int)highest; zone >= 0 && !found; zone--)
		found = alloc_in_zone(b, order, (enum buddy_zone)zone, out);
	spin_unlock(&b->lock);
	return found ? 0 : -ENOMEM;
}

/* 0 if all of [base, end) is free, -EINVAL if some of it is in no span, else -EBUSY. */
static int check_claim(const struct buddy *b, pfn_t base, pfn_t end)
{
	const struct buddy_span *span;
	pfn_t head, next;

	for (pfn_t pfn = base; pfn < end; pfn = span->base + span->pages) {
		span = span_of(b, pfn);
		if (!span)
			return -EINVAL;
	}
	for (pfn_t pfn = base; pfn < end; pfn = next) {
		next = find_free(span_of(b, pfn), pfn, &head);
		if (!next)
			return -EBUSY;
	}
	return 0;
}

/* Takes the part of [base, end) that lies in the free block of base; returns where it ends. */
static pfn_t claim_part(struct buddy *b, pfn_t base, pfn_t end)
{
	const struct buddy_span *span = span_of(b, base);
	pfn_t head, block_end = find_free(span, base, &head);

	end = MIN(end, block_end);
	take_block(b, span, head, block_end);
	free_range(b, span, head, base);
	free_range(b, span, end, block_end);
	return end;
}

int buddy_claim(struct buddy *b, pfn_t base, u64 pages)
{
	int err;

	if (!pages || base >= PFN_END || pages > PFN_END - base)
		return -EINVAL;
	spin_lock(&b->lock);
	err = check_claim(b, base, base + pages);
	for (pfn_t pfn = base; !err && pfn < base + pages;)
		pfn = claim_part(b, pfn, base + pages);
	spin_unlock(&b->lock);
	return err;
}

/* Empties one list; returns how many pages it held. */
static u64 claim_list(struct buddy *b, enum buddy_zone zone, u32 order)
{
	u64 pages = 0;

	while (b->free_head[zone][order]) {
		pfn_t pfn = b->free_head[zone][order] >> PAGE_SHIFT;
		const struct buddy_span *span = span_of(b, pfn);

		BUG_ON(!span);
		list_remove(b, span, pfn, order);
		pages += BIT(order);
	}
	return pages;
}

u64 buddy_claim_all(struct buddy *b)
{
	const struct buddy_span *first;
	pfn_t head;
	u64 pages = 0;

	spin_lock(&b->lock);
	first = span_of(b, 0);
	if (first && find_free(first, 0, &head)) {
		take_block(b, first, 0, 1);
		pages++;
	}
	for (u32 zone = 0; zone < BUDDY_ZONES; zone++) {
		for (u32 order = 0; order < BUDDY_ORDERS; order++)
			pages += claim_list(b, zone, order);
	}
	spin_unlock(&b->lock);
	return pages;
}

static bool any_free(const struct buddy_span *span, pfn_t base, u64 pages)
{
	pfn_t head;

	if (find_free(span, base, &head))
		return true;
	/* A block that begins below base would hold base; so look for heads only. */
	for (u64 i = 1; i < pages; i++) {
		if (*state_of(span, base + i) != STATE_USED)
			return true;
	}
	return false;
}

static int free_locked(struct buddy *b, pfn_t base, u64 pages)
{
	const struct buddy_span *span = span_of(b, base);

	if (!span || !span_holds(span, base, pages))
		return -EINVAL;
	if (any_free(span, base, pages))
		return -EEXIST;
	free_range(b, span, base, base + pages);
	return 0;
}

int buddy_free(struct buddy *b, hpa_t base, u32 order)
{
	int err;

	if (order > BUDDY_MAX_ORDER || (base.v & ((PAGE_SIZE << order) - 1)))
		return -EINVAL;
	spin_lock(&b->lock);
	err = free_locked(b, hpa_to_pfn(base), BIT(order));
	spin_unlock(&b->lock);
	return err;
}

/* --- the check ------------------------------------------------------------ */

struct check {
	const struct buddy *b;
	u32 errors;
	u64 heads[BUDDY_ZONES][BUDDY_ORDERS]; /* free heads seen in the state bytes */
	u64 free_pages[BUDDY_ZONES];
	u64 total_pages;
};

/* Counts and logs when ok is false; returns ok. */
static bool expect(struct check *c, bool ok, const char *what, pfn_t pfn, u32 order)
{
	if (!ok) {
		c->errors++;
		log_error("buddy: %s: pfn 0x%lx order %u\n", what, (unsigned long)pfn, order);
	}
	return ok;
}

static bool check_head(struct check *c, const struct buddy_span *span, pfn_t pfn, u32 order)
{
	pfn_t buddy;

	if (!expect(c, order <= BUDDY_MAX_ORDER, "bad state", pfn, order) ||
	    !expect(c, pfn && !(pfn & (BIT(order) - 1)), "misaligned block", pfn, order) ||
	    !expect(c, span_holds(span, pfn, BIT(order)), "block leaves its span", pfn, order))
		return false;
	buddy = pfn ^ BIT(order);
	expect(c, zone_of(pfn) == zone_of(pfn + BIT(order) - 1), "block leaves its zone", pfn, order);
	expect(c, order == BUDDY_MAX_ORDER || zone_of(buddy) != zone_of(pfn) || !mergeable(span, buddy, order),
	       "buddies not merged", pfn, order);
	c->heads[zone_of(pfn)][order]++;
	c->free_pages[zone_of(pfn)] += BIT(order);
	return true;
}

static void check_span(struct check *c, const struct buddy_span *span)
{
	pfn_t end = span->base + span->pages, block_end = 0;

	c->total_pages += span->pages;
	for (pfn_t pfn = span->base; pfn < end; pfn++) {
		u8 state = *state_of(span, pfn);
		u32 order = state & ~STATE_FREE;

		if (state == STATE_USED)
			continue;
		expect(c, pfn >= block_end, "free block inside a free block", pfn, order);
		if (pfn == 0 && state == STATE_FREE_ZERO)
			c->free_pages[ZONE_LOW1M]++;
		else if (expect(c, state & STATE_FREE, "bad state", pfn, state) && check_head(c, span, pfn, order))
			block_end = pfn + BIT(order);
	}
}

static void check_list(struct check *c, enum buddy_zone zone, u32 order)
{
	u64 address = c->b->free_head[zone][order], prev = 0, left = c->heads[zone][order];

	for (; address; address = link_at(address)->next) {
		pfn_t pfn = address >> PAGE_SHIFT;
		const struct buddy_span *span = span_of(c->b, pfn);

		if (!expect(c, span && !(address & ~PAGE_MASK), "list leaves the spans", pfn, order) ||
		    !expect(c, left > 0, "list longer than its free blocks", pfn, order) ||
		    !expect(c, *state_of(span, pfn) == (STATE_FREE | order), "not free", pfn, order) ||
		    !expect(c, zone_of(pfn) == zone, "in the list of another zone", pfn, order) ||
		    !expect(c, link_at(address)->prev == prev, "wrong back link", pfn, order))
			return;
		prev = address;
		left--;
	}
	expect(c, left == 0, "free blocks missing from their list", left, order);
}

static void check_span_order(struct check *c)
{
	const struct buddy_span *spans = c->b->spans;

	for (u32 i = 1; i < c->b->span_count; i++) {
		bool ok = spans[i - 1].base + spans[i - 1].pages <= spans[i].base;

		expect(c, ok, "spans overlap or are not sorted", spans[i].base, 0);
	}
}

u32 buddy_check(struct buddy *b)
{
	struct check c = {.b = b};

	spin_lock(&b->lock);
	check_span_order(&c);
	for (u32 i = 0; i < b->span_count; i++)
		check_span(&c, &b->spans[i]);
	for (u32 zone = 0; zone < BUDDY_ZONES; zone++) {
		for (u32 order = 0; order < BUDDY_ORDERS; order++)
			check_list(&c, zone, order);
		expect(&c, c.free_pages[zone] == b->free_pages[zone], "free count is wrong in zone", zone, 0);
	}
	expect(&c, c.total_pages == b->total_pages, "total count is wrong", b->total_pages, 0);
	spin_unlock(&b->lock);
	return c.errors;
}
