/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Frame words, and lists of shadow entries. One member of a list costs nothing but
 * the word; more go into nodes of six, most recent first.
 */
#include "mm/shadow/rmap.h"

#include "mm/shadow/pool.h"

#define LIST_NODE_ENTRIES 6u
#define LIST_MAX 1024u /* longer lists evict a member: bounded work for the guest's worst (S14) */
#define NODES_PER_PAGE 128u
#define NODES_STASH 32u

struct list_node {
	u32 next;  /* number of the next node, 0: none */
	u16 total; /* first node: members of the list */
	u16 used;  /* members in this node */
	u32 entry[LIST_NODE_ENTRIES];
};
_Static_assert(sizeof(struct list_node) * NODES_PER_PAGE == PAGE_SIZE, "nodes fill a page");

static struct list_node *node_at(const struct shadow *s, u32 number)
{
	return (struct list_node *)s->pool + number;
}

/* Strings the nodes of a fresh page into the free list. */
static bool nodes_grow(struct shadow *s)
{
	u32 page;

	if (s->node_pages >= s->page_count / 4)
		return false;
	page = page_alloc_raw(s);
	if (!page)
		return false;
	s->pages[page].state = PAGE_NODES;
	s->node_pages++;
	for (u32 i = 0; i < NODES_PER_PAGE; i++) {
		u32 number = page * NODES_PER_PAGE + i;

		node_at(s, number)->next = s->node_free;
		s->node_free = number;
	}
	return true;
}

static u32 node_alloc(struct shadow *s)
{
	u32 number;

	if (!s->node_free && !nodes_grow(s))
		return 0;
	number = s->node_free;
	s->node_free = node_at(s, number)->next;
	return number;
}

static void node_free(struct shadow *s, u32 number)
{
	node_at(s, number)->next = s->node_free;
	s->node_free = number;
}

static void head_set(u32 *head, u32 value)
{
	*head = (*head & ~(u32)LIST_VALUE) | value;
}

u32 list_first(const struct shadow *s, u32 head)
{
	u32 value = head & LIST_VALUE;

	if (!(value & LIST_CHAIN))
		return value;
	return node_at(s, value & ~(u32)LIST_CHAIN)->entry[0];
}

u32 list_count(const struct shadow *s, u32 head)
{
	u32 value = head & LIST_VALUE;

	if (!(value & LIST_CHAIN))
		return value != 0;
	return node_at(s, value & ~(u32)LIST_CHAIN)->total;
}

u32 list_members(const struct shadow *s, u32 head, u32 *ids, u32 max)
{
	u32 value = head & LIST_VALUE, count = 0;

	if (!(value & LIST_CHAIN)) {
		ids[0] = value;
		return value != 0;
	}
	for (u32 number = value & ~(u32)LIST_CHAIN; number && count < max; number = node_at(s, number)->next)
		for (u32 i = 0; i < node_at(s, number)->used && count < max; i++)
			ids[count++] = node_at(s, number)->entry[i];
	return list_count(s, head);
}

/* Puts a new first node before the list; old: what the head held (a node's number or one member). */
static bool list_push_node(struct shadow *s, u32 *head, u32 id)
{
	u32 value = *head & LIST_VALUE, number = node_alloc(s);
	struct list_node *node;

	if (!number)
		return false;
	node = node_at(s, number);
	node->entry[0] = id;
	node->used = 1;
	if (value & LIST_CHAIN) {
		node->next = value & ~(u32)LIST_CHAIN;
		node->total = (u16)(node_at(s, node->next)->total + 1);
	} else {
		node->entry[1] = value;
		node->next = 0;
		node->used = node->total = 2;
	}
	head_set(head, LIST_CHAIN | number);
	return true;
}

bool list_try_add(struct shadow *s, u32 *head, u32 id)
{
	u32 value = *head & LIST_VALUE;
	struct list_node *node;

	if (!value) {
		head_set(head, id);
		return true;
	}
	if (!(value & LIST_CHAIN))
		return list_push_node(s, head, id);
	node = node_at(s, value & ~(u32)LIST_CHAIN);
	if (node->total >= LIST_MAX)
		return false;
	if (node->used == LIST_NODE_ENTRIES)
		return list_push_node(s, head, id);
	node->entry[node->used++] = id;
	node->total++;
	return true;
}

/* Nobody sees the node before the exchange, and who sees it has the lock. */
bool list_claim_second(struct shadow_mmu *mmu, u32 *head, u32 word, u32 id)
{
	u32 number = mmu->nodes, next;
	struct list_node *node;

	if (!number || (word & LIST_CHAIN))
		return false;
	node = node_at(mmu->s, number);
	next = node->next;
	*node = (struct list_node){.total = 2, .used = 2, .entry = {id, word & LIST_VALUE}};
	if (__atomic_compare_exchange_n(head, &word, (word & ~(u32)LIST_VALUE) | LIST_CHAIN | number, false,
					__ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
		mmu->nodes = next;
		return true;
	}
	node->next = next;
	return false;
}

void nodes_stash(struct shadow_mmu *mmu)
{
	struct shadow *s = mmu->s;

	if (likely(mmu->nodes))
		return;
	for (u32 i = 0; i < NODES_STASH; i++) {
		u32 number = node_alloc(s);

		if (!number)
			return;
		node_at(s, number)->next = mmu->nodes;
		mmu->nodes = number;
	}
}

/*
 * Whom to drop for want of room. The gap is filled with the newest member, so
 * the place changes each time: a few members that one instruction needs together
 * (or a fault and its prefetch) must not push each other out for ever.
 */
u32 list_victim(struct shadow *s, u32 head)
{
	u32 value = head & LIST_VALUE, skip = 1 + (s->victim_turn += 5) % 17;
	const struct list_node *node;

	if (!(value & LIST_CHAIN))
		return value;
	node = node_at(s, value & ~(u32)LIST_CHAIN);
	while (skip-- && node->next)
		node = node_at(s, node->next);
	return node->entry[0];
}

/* Takes the last member of the first node out, to fill a gap elsewhere. */
static u32 list_take(struct shadow *s, u32 *head)
{
	u32 number = *head & LIST_VALUE & ~(u32)LIST_CHAIN;
	struct list_node *node = node_at(s, number);
	u32 id = node->entry[--node->used];

	node->total--;
	if (!node->used) {
		u32 next = node->next;

		if (next)
			node_at(s, next)->total = node->total;
		head_set(head, next ? LIST_CHAIN | next : 0);
		node_free(s, number);
	}
	return id;
}

/* A list of one lives in the word alone. */
static void list_fold(struct shadow *s, u32 *head)
{
	u32 value = *head & LIST_VALUE;

	if ((value & LIST_CHAIN) && node_at(s, value & ~(u32)LIST_CHAIN)->total == 1) {
		u32 id = list_take(s, head);

		head_set(head, id);
	}
}

static u32 *list_find(const struct shadow *s, u32 head, u32 id)
{
	u32 value = head & LIST_VALUE;

	if (!(value & LIST_CHAIN))
		return NULL;
	for (u32 number = value & ~(u32)LIST_CHAIN; number; number = node_at(s, number)->next) {
		struct list_node *node = node_at(s, number);

		for (u32 i = 0; i < node->used; i++)
			if (node->entry[i] == id)
				return &node->entry[i];
	}
	return NULL;
}

bool list_has(const struct shadow *s, u32 head, u32 id)
{
	return (head & LIST_VALUE) == id || list_find(s, head, id);
}

void list_remove(struct shadow *s, u32 *head, u32 id)
{
	u32 *found, filler;

	if ((*head & LIST_VALUE) == id) {
		head_set(head, 0);
		return;
	}
	found = list_find(s, *head, id);
	BUG_ON(!found);
	/* The gap is filled before the node of the filler may be freed. */
	filler = node_at(s, *head & LIST_VALUE & ~(u32)LIST_CHAIN)
			 ->entry[node_at(s, *head & LIST_VALUE & ~(u32)LIST_CHAIN)->used - 1];
	*found = filler;
	list_take(s, head);
	list_fold(s, head);
}

/* On its own, so that what comes before it needs no stack. */
static NOINLINE u32 *frame_searched(struct shadow *s, gfn_t gfn)
{
	struct region_hit hit;

	region_search(s->regions, gfn, &hit);
	return hit.kind == REGION_RAM ? &s->frames[hit.frame_index] : NULL;
}

u32 *frame_outside_span(struct shadow *s, gfn_t gfn)
{
	const struct region *r = region_near(s->regions, gfn);

	if (unlikely(!r || r->kind != REGION_RAM))
		return frame_searched(s, gfn);
	return &s->frames[r->frame_index + (gfn - r->base)];
}

/* Where host and guest frames differ (tests only), the region that holds pfn is searched for. */
static bool gfn_of_pfn(const struct shadow *s, pfn_t pfn, gfn_t *gfn)
{
	*gfn = pfn;
	if (s->identity)
		return true;
	for (u32 i = 0; i < s->regions->count; i++) {
		const struct region *r = &s->regions->regions[i];

		if (r->kind == REGION_RAM && pfn - r->pfn < r->pages) {
			*gfn = r->base + (pfn - r->pfn);
			return true;
		}
	}
	return false;
}

u32 *frame_of_pfn(struct shadow *s, pfn_t pfn, gfn_t *gfn)
{
	return gfn_of_pfn(s, pfn, gfn) ? frame_of_gfn(s, *gfn) : NULL;
}

u32 *frame_of_spte(struct shadow *s, u64 spte)
{
	gfn_t gfn;
	u32 word;

	return likely(s->identity) ? frame_of_copied(s, spte, &word) : frame_of_pfn(s, spte_pfn(1, spte), &gfn);
}

u32 *leaf_list(struct shadow *s, u32 level, pfn_t pfn)
{
	gfn_t gfn;

	BUG_ON(!gfn_of_pfn(s, pfn, &gfn));
	switch (level) {
	case 1: return frame_of_gfn(s, gfn);
	case 2: return &s->blocks[gfn >> 9].leaves;
	default: return &s->giga[gfn >> 18];
	}
}
