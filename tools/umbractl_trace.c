/* SPDX-License-Identifier: BSD-2-Clause */
/* umbractl trace, history and who-maps: the trace as text or as a file, and what it says of a page or a frame. */
#include "tools/umbractl_read.h"

#define FOLLOW_MS 100u
#define PAGE_SHIFT 12

static int trace_usage(void)
{
	print_to(STDERR,
		 "usage: umbractl trace [-f] [-n COUNT] [-k KIND,KIND] [-c CPU] [-a FIRST-LAST] [-p CR3] [--raw]\n"
		 "  -f: goes on with what comes, COUNT records or for ever; --raw: the file that tools/umbra-trace reads\n"
		 "       umbractl trace on KIND,KIND [-c CPU] [-a FIRST-LAST] [-p CR3]   what the hypervisor records\n"
		 "       umbractl trace off\n"
		 "  kinds: exit walk a d fill prefetch unsync sync zap reclaim flush kick inject cr msr entry, all, flight\n");
	return 2;
}

static int no_trace(void)
{
	print_to(STDERR, "umbractl: the hypervisor was started without the option trace=\n");
	return 1;
}

struct options {
	struct wanted wanted;
	bool follow, raw;
	uint64_t most;
};

static bool is_word(const char *text, uint32_t bytes, const char *word)
{
	uint32_t i = 0;

	while (i < bytes && word[i] && text[i] == word[i])
		i++;
	return i == bytes && !word[i];
}

static uint32_t kind_of(const char *text, uint32_t bytes)
{
	if (is_word(text, bytes, "all"))
		return TRACE_ALL;
	if (is_word(text, bytes, "flight"))
		return TRACE_FLIGHT;
	for (uint32_t kind = 0; kind < TRACE_KIND_COUNT; kind++)
		if (is_word(text, bytes, read_kind(kind)))
			return 1u << kind;
	return 0;
}

static bool parse_kinds(const char *text, uint32_t *kinds)
{
	*kinds = 0;
	for (;;) {
		uint32_t bytes = 0, kind;

		while (text[bytes] && text[bytes] != ',')
			bytes++;
		kind = kind_of(text, bytes);
		if (!kind)
			return false;
		*kinds |= kind;
		if (!text[bytes])
			return true;
		text += bytes + 1;
	}
}

static bool parse_range(const char *text, struct wanted *w)
{
	const char *end;

	if (!parse_number(text, &w->first, &end))
		return false;
	w->last = w->first;
	if (*end == '-' && !parse_number(end + 1, &w->last, &end))
		return false;
	return !*end && w->first <= w->last;
}

static bool parse_whole(const char *text, uint64_t *value)
{
	const char *end;

	return parse_number(text, value, &end) && !*end;
}

static bool parse_filter(char option, const char *text, struct wanted *w)
{
	uint64_t cpu;

	switch (option) {
	case 'k': return parse_kinds(text, &w->kinds);
	case 'a': return parse_range(text, w);
	case 'p': return parse_whole(text, &w->cr3);
	case 'c':
		if (!parse_whole(text, &cpu) || cpu >= CPUS_MAX)
			return false;
		w->cpu = (uint32_t)cpu;
		return true;
	default: return false;
	}
}

static bool parse_options(long argc, char **argv, long at, struct options *o)
{
	for (; at < argc; at++) {
		const char *text = argv[at];

		if (equal(text, "-f")) {
			o->follow = true;
		} else if (equal(text, "--raw")) {
			o->raw = true;
		} else if (text[0] != '-' || !text[1] || text[2] || ++at == argc) {
			return false;
		} else if (text[1] == 'n') {
			if (!parse_whole(argv[at], &o->most))
				return false;
		} else if (!parse_filter(text[1], argv[at], &o->wanted)) {
			return false;
		}
	}
	return true;
}

/* --- what is recorded ------------------------------------------------------------------ */
static bool set(uint32_t what, uint64_t value)
{
	return cpuid_with(LEAF_TRACE_FILTER, 0x100 + what, value).a;
}

/* The kinds last: then the rest holds from the first record on. */
static int change(const struct wanted *w)
{
	if (set(1, w->first) && set(2, w->last) && set(3, w->cr3) && set(4, w->cpu) && set(0, w->kinds))
		return 0;
	print_to(STDERR,
		 "umbractl: the hypervisor was not told that the guest may change the trace (trace=...,guest)\n");
	return 1;
}

/* --- records ----------------------------------------------------------------------------- */
static void write_header(void)
{
	struct trace_file file = {
		.magic = TRACE_FILE_MAGIC,
		.version = 1,
		.record_bytes = sizeof(struct trace_record),
		.trace_kinds = TRACE_KIND_COUNT,
		.ticks_per_us = cpuid(LEAF_TRACE_FILTER, 0).c,
		.cpus = cpuid(LEAF_INFO, 0).c,
		.lost = read_lost(),
	};
	char name[NAME_BYTES];

	file.exit_kinds = cpuid(LEAF_INFO, 0).d - 1; /* the counters that each processor has, but "exits" */
	write_all(&file, sizeof(file));
	for (uint32_t i = 0; i < file.exit_kinds; i++) {
		read_exit_name(i, name);
		name[TRACE_FILE_NAME - 1] = '\0';
		write_all(name, TRACE_FILE_NAME);
	}
	for (uint32_t i = 0; i < TRACE_KIND_COUNT; i++) {
		char word[TRACE_FILE_NAME] = "";

		__builtin_memcpy(word, read_kind(i), length(read_kind(i)));
		write_all(word, sizeof(word));
	}
}

static void show(const struct options *o, const struct trace_record *r)
{
	if (o->raw)
		write_all(r, sizeof(*r));
	else
		read_print(r);
}

/* Without -f and -n those that there are now; what is recorded meanwhile does not make it longer than the rings. */
static void show_records(const struct options *o)
{
	uint64_t left = o->most ? o->most : o->follow ? ~0ull : (uint64_t)cpuid(LEAF_TRACE, 0).b * CPUS_MAX;
	struct trace_record r;

	while (left) {
		if (!read_next(&r)) {
			if (!o->follow)
				return;
			sleep_ms(FOLLOW_MS);
			continue;
		}
		if (!read_is_wanted(&r, &o->wanted))
			continue;
		show(o, &r);
		left--;
	}
}

static void tell_lost(void)
{
	struct line line = {.at = 0};

	if (!read_lost())
		return;
	put(&line, "umbractl: ");
	put_number(&line, read_lost(), 0);
	put(&line, " records were overwritten before they were read\n");
	line.text[line.at] = '\0';
	print_to(STDERR, line.text);
}

int trace_main(long argc, char **argv)
{
	struct options o = {.wanted = {.kinds = TRACE_ALL, .cpu = ~0u, .last = ~0ull}};
	bool on = argc >= 4 && equal(argv[2], "on"), off = argc == 3 && equal(argv[2], "off");

	if (on && (!parse_kinds(argv[3], &o.wanted.kinds) || !parse_options(argc, argv, 4, &o) || o.follow ||
		   o.raw || o.most))
		return trace_usage();
	if (!on && !off && !parse_options(argc, argv, 2, &o))
		return trace_usage();
	if (!read_begin(!o.follow))
		return no_trace();
	if (on || off) {
		o.wanted.kinds = on ? o.wanted.kinds : 0;
		return change(&o.wanted);
	}
	if (o.raw)
		write_header();
	show_records(&o);
	tell_lost();
	return 0;
}

/* --- of one page, of one frame ------------------------------------------------------------ */
#define HOLDERS_MAX 4096u
#define ENTRY_P 1ull
#define ENTRY_PS 0x80ull

/* Entries that lead to the frame, by their places and addresses. */
static struct holder {
	uint64_t where, address, entry;
	bool now;
} holders[HOLDERS_MAX];
static uint32_t holder_count;

static bool leads_to(const struct trace_record *r, uint64_t entry, uint64_t pfn)
{
	uint32_t shift = 9 * (r->level - 1u);

	if (!(entry & ENTRY_P) || r->level < 1 || r->level > 3 || (r->level > 1 && !(entry & ENTRY_PS)))
		return false;
	return (entry & 0xffffffffff000ull) >> PAGE_SHIFT >> shift == pfn >> shift;
}

/* What goes together with its table no address leads to any more. */
static bool is_holder(const struct holder *h, const struct trace_record *r)
{
	if (h->where != r->where)
		return false;
	return r->detail & TRACE_ENTRY_KNOWN ? h->address == r->address : h->now && h->entry == r->old;
}

static void note_holder(const struct trace_record *r, bool now)
{
	uint32_t i = 0;

	while (i < holder_count && !is_holder(&holders[i], r))
		i++;
	if (i == HOLDERS_MAX)
		return;
	holder_count = i == holder_count ? i + 1 : holder_count;
	holders[i] = (struct holder){.where = r->where, .address = r->address, .entry = r->new, .now = now};
}

static void print_holders(void)
{
	for (uint32_t i = 0; i < holder_count; i++) {
		struct line line = {.at = 0};

		if (!holders[i].now)
			continue;
		put(&line, "still: ");
		put_hex(&line, holders[i].address, 16);
		put(&line, " entry ");
		put_hex(&line, holders[i].where, 1);
		put(&line, " is ");
		put_hex(&line, holders[i].entry, 1);
		put_end(&line);
	}
}

static void who_maps(uint64_t pfn)
{
	struct trace_record r;

	while (read_next(&r)) {
		bool before = leads_to(&r, r.old, pfn), now = leads_to(&r, r.new, pfn);

		if (r.kind != TRACE_ENTRY || !(before || now))
			continue;
		note_holder(&r, now);
		read_print(&r);
	}
	print_holders();
}

static void history(uint64_t address)
{
	struct trace_record r;

	while (read_next(&r))
		if (r.address >> PAGE_SHIFT == address >> PAGE_SHIFT && r.kind != TRACE_EXIT)
			read_print(&r);
}

int history_main(long argc, char **argv)
{
	bool maps = equal(argv[1], "who-maps");
	uint64_t value;

	if (argc != 3 || !parse_whole(argv[2], &value)) {
		print_to(STDERR, "usage: umbractl history ADDRESS, umbractl who-maps PFN (0x for hexadecimal)\n");
		return 2;
	}
	if (!read_begin(true))
		return no_trace();
	if (maps)
		who_maps(value);
	else
		history(value);
	tell_lost();
	return 0;
}
