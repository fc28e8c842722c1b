/* SPDX-License-Identifier: BSD-2-Clause */
/* See gdb_query.h. Threads are listed as long as they fit into a packet, then the list goes on in the next. */
#include "debug/gdb_query.h"

#include "debug/gdb_describe.h"
#include "lib/printf.h"
#include "lib/string.h"

#define THREAD_DIGITS 4u /* of a number, with its comma */
#define COMMAND_MAX 256u

bool gdb_has_cpu(const struct gdb *gdb, u32 cpu)
{
	return cpu < gdb->target->cpus(gdb->context) && gdb->target->is_started(gdb->context, cpu);
}

bool gdb_parse_thread(const struct gdb *gdb, const char **at, u32 *cpu)
{
	u64 thread;

	*cpu = GDB_CPUS_MAX;
	if (gdb_parse_char(at, '-'))
		return gdb_parse_number(at, &thread) && thread == 1;
	if (!gdb_parse_number(at, &thread))
		return false;
	if (!thread)
		return true;
	if (thread > GDB_CPUS_MAX || !gdb_has_cpu(gdb, (u32)thread - 1))
		return false;
	*cpu = (u32)thread - 1;
	return true;
}

static bool begins_with(const char **text, const char *what)
{
	size_t length = strlen(what);

	if (strncmp(*text, what, length))
		return false;
	*text += length;
	return true;
}

/* --- what is supported ----------------------------------------------------------------------- */
static void reply_supported(struct gdb *gdb, const char *features)
{
	gdb->tells_broke = strstr(features, "swbreak+") && strstr(features, "hwbreak+");
	gdb->bits = gdb->bits_asked ? gdb->bits_asked : gdb->target->bits(gdb->context, gdb->cpu);
	gdb_reply_begin(&gdb->link);
	gdb_reply_text(&gdb->link, "PacketSize=");
	gdb_reply_number(&gdb->link, GDB_PACKET_MAX);
	gdb_reply_text(&gdb->link, ";qXfer:features:read+;vContSupported+;QStartNoAckMode+");
	if (gdb->tells_broke)
		gdb_reply_text(&gdb->link, ";swbreak+;hwbreak+");
	gdb_reply_send(&gdb->link);
}

/* --- qXfer:features:read:target.xml:OFFSET,LENGTH: a window of the text ------------------------- */
struct window {
	struct gdb_link *link;
	u64 skip, left, room;
	bool more;
};

static void put_window(void *to, char c)
{
	struct window *w = to;

	if (w->skip) {
		w->skip--;
	} else if (w->left && w->room) {
		gdb_reply_raw(w->link, (u8)c);
		w->left--;
		w->room--;
	} else {
		w->more = true;
	}
}

/* 'l' or 'm' comes first, so the text is made twice: to see whether there is more, and for itself. */
static void reply_description(struct gdb *gdb, const char *at)
{
	struct window w = {.link = &gdb->link};
	u64 offset, length;

	if (!begins_with(&at, "target.xml:") || !gdb_parse_number(&at, &offset) || !gdb_parse_char(&at, ',') ||
	    !gdb_parse_number(&at, &length)) {
		gdb_reply_error(&gdb->link, -EINVAL);
		return;
	}
	for (u32 pass = 0; pass < 2; pass++) {
		gdb_reply_begin(&gdb->link);
		gdb_reply_text(&gdb->link, w.more ? "m" : "l");
		w.skip = offset;
		w.left = length;
		w.room = gdb_reply_room(&gdb->link);
		gdb_describe(gdb->bits, put_window, &w);
	}
	gdb_reply_send(&gdb->link);
}

/* --- threads ----------------------------------------------------------------------------------- */
/* A list begins, or the last one goes on. */
static void reply_threads(struct gdb *gdb, bool first)
{
	u32 cpus = gdb->target->cpus(gdb->context), listed = 0;

	if (first)
		gdb->listed = 0;
	gdb_reply_begin(&gdb->link);
	for (; gdb->listed < cpus && gdb_reply_room(&gdb->link) > THREAD_DIGITS; gdb->listed++) {
		if (!gdb_has_cpu(gdb, gdb->listed))
			continue;
		gdb_reply_text(&gdb->link, listed++ ? "," : "m");
		gdb_reply_number(&gdb->link, gdb->listed + 1);
	}
	if (!listed)
		gdb_reply_text(&gdb->link, "l");
	gdb_reply_send(&gdb->link);
}

static void reply_thread_info(struct gdb *gdb, const char *at)
{
	char text[128];
	u32 cpu;

	if (!gdb_parse_thread(gdb, &at, &cpu) || cpu == GDB_CPUS_MAX) {
		gdb_reply_error(&gdb->link, -EINVAL);
		return;
	}
	text[0] = 0;
	gdb->target->describe(gdb->context, cpu, text, sizeof(text));
	gdb_reply_begin(&gdb->link);
	for (const char *c = text; *c; c++)
		gdb_reply_byte(&gdb->link, (u8)*c);
	gdb_reply_send(&gdb->link);
}

static void reply_current_thread(struct gdb *gdb)
{
	gdb_reply_begin(&gdb->link);
	gdb_reply_text(&gdb->link, "QC");
	gdb_reply_number(&gdb->link, gdb->cpu + 1);
	gdb_reply_send(&gdb->link);
}

/* --- monitor commands -------------------------------------------------------------------------- */
static void print(void *to, const char *piece)
{
	gdb_output(to, piece, (u32)strlen(piece));
}

static const char help[] =
	"gdb bits 64|32|16|auto: the registers that GDB shows from its next \"target remote\" on\n";

/* What concerns GDB alone; false: the target may know the command. */
static bool own_command(struct gdb *gdb, const char *text)
{
	if (!strcmp(text, "gdb bits 64") || !strcmp(text, "gdb bits 32") || !strcmp(text, "gdb bits 16")) {
		gdb->bits_asked = text[9] == '6' ? 64 : text[9] == '3' ? 32 : 16;
		return true;
	}
	if (!strcmp(text, "gdb bits auto")) {
		gdb->bits_asked = 0;
		return true;
	}
	if (!strncmp(text, "gdb", 3) && (!text[3] || text[3] == ' ')) {
		print(&gdb->link, help);
		return true;
	}
	return false;
}

static void run_command(struct gdb *gdb, const char *at)
{
	char text[COMMAND_MAX];
	u32 length = (u32)strlen(at) / 2;

	if (length >= sizeof(text) || !gdb_parse_bytes(&at, (u8 *)text, length) || *at) {
		gdb_reply_error(&gdb->link, -EINVAL);
		return;
	}
	text[length] = 0;
	if (!own_command(gdb, text)) {
		if (!strcmp(text, "help"))
			print(&gdb->link, help);
		if (!gdb->target->command) {
			gdb_reply_error(&gdb->link, -ENOSYS);
			return;
		}
		gdb->target->command(gdb->context, gdb->cpu, text, print, &gdb->link);
	}
	gdb_reply(&gdb->link, "OK");
}

void gdb_query(struct gdb *gdb)
{
	const char *at = gdb->link.in;

	if (begins_with(&at, "qSupported")) {
		reply_supported(gdb, at);
	} else if (begins_with(&at, "qXfer:features:read:")) {
		reply_description(gdb, at);
	} else if (begins_with(&at, "qfThreadInfo")) {
		reply_threads(gdb, true);
	} else if (begins_with(&at, "qsThreadInfo")) {
		reply_threads(gdb, false);
	} else if (begins_with(&at, "qThreadExtraInfo,")) {
		reply_thread_info(gdb, at);
	} else if (begins_with(&at, "qRcmd,")) {
		run_command(gdb, at);
	} else if (begins_with(&at, "qAttached")) {
		gdb_reply(&gdb->link, "1");
	} else if (begins_with(&at, "QStartNoAckMode")) {
		gdb_reply(&gdb->link, "OK");
		gdb_link_trust(&gdb->link);
	} else if (!strcmp(at, "qC")) {
		reply_current_thread(gdb);
	} else {
		gdb_reply(&gdb->link, "");
	}
}
