/* SPDX-License-Identifier: BSD-2-Clause */
/* See entry_rules.h. The texts name the manual's sections, for the dump of an entry that failed. */
#include "arch/x86/guest/entry_rules.h"

#include "lib/x86.h"

#define SELECTOR_RPL BITS(1, 0)
#define SELECTOR_TI BIT(2)
#define ATTR_TYPE(attributes) ((attributes)&15)
#define ATTR_RESERVED (BITS(31, 17) | BITS(11, 8))
#define ATTR_V8086 0xf3u
#define TYPE_ACCESSED BIT(0)
#define TYPE_READABLE BIT(1)
#define TYPE_CODE BIT(3)
#define TYPE_LDT 2u
#define TYPE_TSS16_BUSY 3u
#define TYPE_TSS_BUSY 11u
#define EXPECT(holds, rule) expect(k, holds, "", rule)

static const char *const names[SEG_COUNT] = {
	"ES", "CS", "SS", "DS", "FS", "GS", "LDTR", "TR", "GDTR", "IDTR",
};

struct rules {
	entry_report report;
	void *arg;
	u32 broken;
};

static void expect(struct rules *k, bool holds, const char *subject, const char *rule)
{
	if (holds)
		return;
	k->broken++;
	if (k->report)
		k->report(k->arg, subject, rule);
}

static bool canonical(u64 address)
{
	return address_is_canonical(address, false);
}

const char *entry_segment_name(enum segment_name which)
{
	return names[which];
}

static bool is_usable(const struct segment *s)
{
	return !(s->attributes & SEG_ATTR_UNUSABLE);
}

static void check_selectors(struct rules *k, const struct entry_segments *m)
{
	const struct segment *s = m->segment;

	EXPECT(!(s[SEG_TR].selector & SELECTOR_TI), "TR selector: TI is 1 (26.3.1.2)");
	EXPECT(!is_usable(&s[SEG_LDTR]) || !(s[SEG_LDTR].selector & SELECTOR_TI),
	       "LDTR selector: TI is 1 (26.3.1.2)");
	EXPECT(m->v8086 || (s[SEG_SS].selector & SELECTOR_RPL) == (s[SEG_CS].selector & SELECTOR_RPL),
	       "SS and CS selectors: RPL differs (26.3.1.2)");
}

static void check_bases(struct rules *k, const struct entry_segments *m)
{
	const struct segment *s = m->segment;

	EXPECT(canonical(s[SEG_TR].base) && canonical(s[SEG_FS].base) && canonical(s[SEG_GS].base),
	       "TR, FS or GS base: not canonical (26.3.1.2)");
	EXPECT(!is_usable(&s[SEG_LDTR]) || canonical(s[SEG_LDTR].base), "LDTR base: not canonical (26.3.1.2)");
	EXPECT(!(s[SEG_CS].base >> 32), "CS base: high half is not 0 (26.3.1.2)");
	EXPECT((!is_usable(&s[SEG_SS]) || !(s[SEG_SS].base >> 32)) &&
		       (!is_usable(&s[SEG_DS]) || !(s[SEG_DS].base >> 32)) &&
		       (!is_usable(&s[SEG_ES]) || !(s[SEG_ES].base >> 32)),
	       "SS, DS or ES base: high half is not 0 (26.3.1.2)");
}

static bool granularity_holds(const struct segment *s)
{
	if (s->attributes & SEG_ATTR_G)
		return (s->limit & 0xfff) == 0xfff;
	return !(s->limit >> 20);
}

/* What every usable register needs. */
static void check_common(struct rules *k, const struct entry_segments *m, enum segment_name which, bool system)
{
	const struct segment *s = &m->segment[which];
	const char *name = names[which];

	expect(k, !(s->attributes & SEG_ATTR_S) == system, name, "descriptor type S (26.3.1.2)");
	expect(k, s->attributes & SEG_ATTR_P, name, "not present (26.3.1.2)");
	expect(k, !(s->attributes & ATTR_RESERVED), name, "reserved access-rights bits (26.3.1.2)");
	expect(k, granularity_holds(s), name, "limit and granularity disagree (26.3.1.2)");
}

static void check_cs(struct rules *k, const struct entry_segments *m)
{
	const struct segment *cs = &m->segment[SEG_CS], *ss = &m->segment[SEG_SS];
	u32 type = ATTR_TYPE(cs->attributes), dpl = SEG_ATTR_DPL(cs->attributes),
	    ss_dpl = SEG_ATTR_DPL(ss->attributes);

	EXPECT((type & (TYPE_CODE | TYPE_ACCESSED)) == (TYPE_CODE | TYPE_ACCESSED),
	       "CS: not accessed code (26.3.1.2)");
	/* Types 9 and 11 are not conforming. */
	EXPECT(type & BIT(2) ? dpl <= ss_dpl : dpl == ss_dpl, "CS: DPL does not fit SS.DPL (26.3.1.2)");
	EXPECT(!(m->ia32e && cs->attributes & SEG_ATTR_L) || !(cs->attributes & SEG_ATTR_DB),
	       "CS: D is 1 in 64-bit code (26.3.1.2)");
	check_common(k, m, SEG_CS, false);
}

static void check_ss(struct rules *k, const struct entry_segments *m)
{
	const struct segment *ss = &m->segment[SEG_SS];
	u32 type = ATTR_TYPE(ss->attributes);

	EXPECT(SEG_ATTR_DPL(ss->attributes) == (ss->selector & SELECTOR_RPL), "SS: DPL is not RPL (26.3.1.2)");
	if (!is_usable(ss))
		return;
	EXPECT(type == 3 || type == 7, "SS: not accessed writable data (26.3.1.2)");
	check_common(k, m, SEG_SS, false);
}

static void check_data(struct rules *k, const struct entry_segments *m, enum segment_name which)
{
	const struct segment *s = &m->segment[which];
	const char *name = names[which];
	u32 type = ATTR_TYPE(s->attributes);

	if (!is_usable(s))
		return;
	expect(k, type & TYPE_ACCESSED, name, "not accessed (26.3.1.2)");
	expect(k, !(type & TYPE_CODE) || type & TYPE_READABLE, name, "code that is not readable (26.3.1.2)");
	expect(k, type >= 12 || SEG_ATTR_DPL(s->attributes) >= (s->selector & SELECTOR_RPL), name,
	       "DPL below RPL (26.3.1.2)");
	check_common(k, m, which, false);
}

static void check_v8086_segment(struct rules *k, const struct entry_segments *m, enum segment_name which)
{
	const struct segment *s = &m->segment[which];

	expect(k, s->base == (u64)s->selector << 4 && s->limit == 0xffff && s->attributes == ATTR_V8086,
	       names[which], "not as in virtual-8086 mode (26.3.1.2)");
}

static void check_system_segments(struct rules *k, const struct entry_segments *m)
{
	const struct segment *tr = &m->segment[SEG_TR], *ldtr = &m->segment[SEG_LDTR];
	u32 type = ATTR_TYPE(tr->attributes);

	EXPECT(type == TYPE_TSS_BUSY || (type == TYPE_TSS16_BUSY && !m->ia32e), "TR: not a busy TSS (26.3.1.2)");
	EXPECT(is_usable(tr), "TR: unusable (26.3.1.2)");
	check_common(k, m, SEG_TR, true);
	if (!is_usable(ldtr))
		return;
	EXPECT(ATTR_TYPE(ldtr->attributes) == TYPE_LDT, "LDTR: not an LDT (26.3.1.2)");
	check_common(k, m, SEG_LDTR, true);
}

u32 entry_rules_check(const struct entry_segments *m, entry_report report, void *arg)
{
	struct rules rules = {report, arg, 0}, *k = &rules;

	check_selectors(k, m);
	check_bases(k, m);
	for (u32 i = SEG_ES; i <= SEG_GS; i++) {
		if (m->v8086)
			check_v8086_segment(k, m, (enum segment_name)i);
		else if (i == SEG_CS)
			check_cs(k, m);
		else if (i == SEG_SS)
			check_ss(k, m);
		else
			check_data(k, m, (enum segment_name)i);
	}
	check_system_segments(k, m);
	return k->broken;
}
