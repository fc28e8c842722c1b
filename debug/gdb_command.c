/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See gdb_command.h. What comes is checked whole before anything is done. Signals that GDB wants to give to the
 * guest (C, S) are dropped: a machine has none.
 */
#include "debug/gdb_command.h"

#include "debug/gdb_describe.h"
#include "debug/gdb_query.h"
#include "lib/string.h"

#define MEMORY_MAX (GDB_PACKET_MAX / 2)

enum { SIGNAL_INT = 2, SIGNAL_TRAP = 5, SIGNAL_SEGV = 11 };

static void reply_result(struct gdb *gdb, int err)
{
	if (err == -ENOSYS)
		gdb_reply(&gdb->link, "");
	else if (err < 0)
		gdb_reply_error(&gdb->link, err);
	else
		gdb_reply(&gdb->link, "OK");
}

/* --- registers ------------------------------------------------------------------------------- */
/* The bytes of one register, lowest first. */
static void reply_value(struct gdb *gdb, const struct gdb_register_row *row)
{
	u64 value;

	if (row->which == GDB_REGISTERS ||
	    gdb->target->read_register(gdb->context, gdb->cpu, (enum gdb_register)row->which, &value)) {
		for (u32 i = 0; i < row->bits / 4; i++)
			gdb_reply_text(&gdb->link, "x");
		return;
	}
	for (u32 i = 0; i < row->bits; i += 8)
		gdb_reply_byte(&gdb->link, (u8)(value >> i));
}

static void read_registers(struct gdb *gdb)
{
	gdb_reply_begin(&gdb->link);
	for (u32 n = 0; n < gdb_register_count(gdb->bits); n++) {
		struct gdb_register_row row = gdb_register_row(gdb->bits, n);

		reply_value(gdb, &row);
	}
	gdb_reply_send(&gdb->link);
}

static void read_one(struct gdb *gdb, const char *at)
{
	struct gdb_register_row row;
	u64 n;

	if (!gdb_parse_number(&at, &n) || n >= gdb_register_count(gdb->bits)) {
		gdb_reply_error(&gdb->link, -EINVAL);
		return;
	}
	row = gdb_register_row(gdb->bits, (u32)n);
	gdb_reply_begin(&gdb->link);
	reply_value(gdb, &row);
	gdb_reply_send(&gdb->link);
}

/* Only what differs is written: a register need not be writable to keep its value. Narrow ones keep their upper half. */
static int write_value(struct gdb *gdb, const struct gdb_register_row *row, const u8 *bytes)
{
	u64 value = 0, old, mask = row->bits == 64 ? ~0ull : BITS(31, 0);
	int err;

	if (row->which == GDB_REGISTERS)
		return 0; /* it was never available: GDB sends zeros */
	for (u32 i = 0; i < row->bits; i += 8)
		value |= (u64)bytes[i / 8] << i;
	err = gdb->target->read_register(gdb->context, gdb->cpu, (enum gdb_register)row->which, &old);
	if (err || (old & mask) == value)
		return value && err ? err : 0;
	return gdb->target->write_register(gdb->context, gdb->cpu, (enum gdb_register)row->which,
					   (old & ~mask) | value);
}

static int write_registers(struct gdb *gdb, const char *at)
{
	const char *check = at;
	u8 bytes[10];
	int err = 0;

	for (u32 n = 0; n < gdb_register_count(gdb->bits); n++)
		if (!gdb_parse_bytes(&check, bytes, gdb_register_row(gdb->bits, n).bits / 8u))
			return -EINVAL;
	for (u32 n = 0; n < gdb_register_count(gdb->bits) && !err; n++) {
		struct gdb_register_row row = gdb_register_row(gdb->bits, n);

		if (!gdb_parse_bytes(&at, bytes, row.bits / 8u))
			return -EINVAL;
		err = write_value(gdb, &row, bytes);
	}
	return err;
}

static int write_one(struct gdb *gdb, const char *at)
{
	struct gdb_register_row row;
	u8 bytes[10];
	u64 n;

	if (!gdb_parse_number(&at, &n) || !gdb_parse_char(&at, '=') || n >= gdb_register_count(gdb->bits))
		return -EINVAL;
	row = gdb_register_row(gdb->bits, (u32)n);
	if (row.which == GDB_REGISTERS)
		return -ENOENT;
	if (!gdb_parse_bytes(&at, bytes, row.bits / 8u))
		return -EINVAL;
	return write_value(gdb, &row, bytes);
}

/* --- memory ------------------------------------------------------------------------------------ */
static bool parse_range(const char **at, u64 *address, u64 *length)
{
	return gdb_parse_number(at, address) && gdb_parse_char(at, ',') && gdb_parse_number(at, length) &&
	       *length <= MEMORY_MAX;
}

static void read_memory(struct gdb *gdb, const char *at)
{
	u8 bytes[MEMORY_MAX];
	u64 address, length;
	int n;

	if (!parse_range(&at, &address, &length)) {
		gdb_reply_error(&gdb->link, -EINVAL);
		return;
	}
	n = length ? gdb->target->read_memory(gdb->context, gdb->cpu, address, bytes, (u32)length) : 0;
	if (n < 0 || (length && !n)) {
		gdb_reply_error(&gdb->link, n < 0 ? n : -EFAULT);
		return;
	}
	gdb_reply_begin(&gdb->link);
	for (u32 i = 0; i < (u32)n && i < length; i++)
		gdb_reply_byte(&gdb->link, bytes[i]);
	gdb_reply_send(&gdb->link);
}

/* Packets M, whose bytes are hex digits, and X, whose bytes are themselves. */
static int write_memory(struct gdb *gdb, const char *at, bool raw)
{
	u8 bytes[GDB_PACKET_MAX];
	u64 address, length;

	if (!parse_range(&at, &address, &length) || !gdb_parse_char(&at, ':'))
		return -EINVAL;
	if (raw) {
		u32 left = gdb->link.in_length - (u32)(at - gdb->link.in);

		memcpy(bytes, at, left);
		if (gdb_unescape(bytes, left) != length)
			return -EINVAL;
	} else if (!gdb_parse_bytes(&at, bytes, (u32)length)) {
		return -EINVAL;
	}
	return length ? gdb->target->write_memory(gdb->context, gdb->cpu, address, bytes, (u32)length) : 0;
}

/* --- breakpoints ------------------------------------------------------------------------------- */
static int change_point(struct gdb *gdb, const char *at, bool insert)
{
	u64 type, address, length;

	if (!gdb_parse_number(&at, &type) || !gdb_parse_char(&at, ',') || !parse_range(&at, &address, &length))
		return -EINVAL;
	if (type >= GDB_POINTS)
		return -ENOSYS;
	return (insert ? gdb->target->insert : gdb->target->remove)(gdb->context, (enum gdb_point)type, address,
								    (u32)length);
}

/* --- threads ------------------------------------------------------------------------------------- */
static int choose_thread(struct gdb *gdb, const char *at)
{
	bool resumes = gdb_parse_char(&at, 'c');
	u32 cpu;

	if ((!resumes && !gdb_parse_char(&at, 'g')) || !gdb_parse_thread(gdb, &at, &cpu))
		return -EINVAL;
	if (resumes)
		gdb->resume_cpu = cpu;
	else if (cpu != GDB_CPUS_MAX)
		gdb->cpu = cpu;
	return 0;
}

static int check_thread(struct gdb *gdb, const char *at)
{
	u32 cpu;

	return gdb_parse_thread(gdb, &at, &cpu) ? 0 : -EINVAL;
}

/* --- going on -------------------------------------------------------------------------------------- */
/* c, s, C and S: one CPU does it, the others go on with it. */
static enum gdb_wish resume(struct gdb *gdb, const char *at, enum gdb_action action, bool signal)
{
	u32 cpu = gdb->resume_cpu != GDB_CPUS_MAX ? gdb->resume_cpu : gdb->cpu;
	u64 number, address;

	if (signal && (!gdb_parse_number(&at, &number) || (*at && !gdb_parse_char(&at, ';'))))
		goto wrong;
	if (*at) {
		if (!gdb_parse_number(&at, &address) || *at ||
		    gdb->target->write_register(gdb->context, cpu, GDB_RIP, address))
			goto wrong;
	}
	gdb->in_range = false;
	memset(gdb->action, GDB_CONTINUE, sizeof(gdb->action));
	gdb->action[cpu] = (u8)action;
	return GDB_WISH_RUN;
wrong:
	gdb_reply_error(&gdb->link, -EINVAL);
	return GDB_WISH_NOTHING;
}

/* One action of vCont, up to its thread. */
static bool parse_action(struct gdb *gdb, const char **at, enum gdb_action *action)
{
	char letter = *(*at)++;
	u64 number;

	switch (letter) {
	case 'c': *action = GDB_CONTINUE; return true;
	case 's': *action = GDB_STEP; return true;
	case 't': *action = GDB_STAY; return true;
	case 'C': *action = GDB_CONTINUE; return gdb_parse_number(at, &number);
	case 'S': *action = GDB_STEP; return gdb_parse_number(at, &number);
	case 'r':
		*action = GDB_STEP;
		gdb->in_range = true;
		return gdb_parse_number(at, &gdb->range_from) && gdb_parse_char(at, ',') &&
		       gdb_parse_number(at, &gdb->range_to);
	default: return false;
	}
}

#define UNDECIDED 0xff

/* vCont;ACTION[:THREAD]...: the first that names a thread is its action; one that none names stays stopped. */
static enum gdb_wish resume_each(struct gdb *gdb, const char *at)
{
	enum gdb_action action;
	bool any = false;
	u32 cpu;

	gdb->in_range = false;
	memset(gdb->action, UNDECIDED, sizeof(gdb->action));
	while (gdb_parse_char(&at, ';')) {
		if (!*at || !parse_action(gdb, &at, &action))
			goto wrong;
		cpu = GDB_CPUS_MAX;
		if (gdb_parse_char(&at, ':') && !gdb_parse_thread(gdb, &at, &cpu))
			goto wrong;
		for (u32 i = 0; i < GDB_CPUS_MAX; i++)
			if ((i == cpu || cpu == GDB_CPUS_MAX) && gdb->action[i] == UNDECIDED)
				gdb->action[i] = (u8)action;
		any = true;
	}
	if (!any || *at)
		goto wrong;
	any = false;
	for (u32 i = 0; i < GDB_CPUS_MAX; i++) {
		if (gdb->action[i] == UNDECIDED)
			gdb->action[i] = GDB_STAY;
		any |= gdb->action[i] != GDB_STAY && gdb_has_cpu(gdb, i);
	}
	if (any)
		return GDB_WISH_RUN;
wrong:
	gdb_reply_error(&gdb->link, -EINVAL);
	return GDB_WISH_NOTHING;
}

static enum gdb_wish multi_letter(struct gdb *gdb)
{
	const char *text = gdb->link.in;

	if (!strcmp(text, "vCont?"))
		gdb_reply(&gdb->link, "vCont;c;C;s;S;t;r");
	else if (!strncmp(text, "vCont;", 6))
		return resume_each(gdb, text + 5);
	else
		gdb_reply(&gdb->link, "");
	return GDB_WISH_NOTHING;
}

/* --- why it stopped --------------------------------------------------------------------------------- */
static void reply_reason(struct gdb *gdb)
{
	static const char *const watched[GDB_POINTS] = {
		[GDB_WRITE] = "watch:", [GDB_READ] = "rwatch:", [GDB_ACCESS] = "awatch:"};
	const struct gdb_stop *stop = &gdb->stop;

	if (stop->reason == GDB_BROKE && gdb->tells_broke)
		gdb_reply_text(&gdb->link, stop->point == GDB_HARDWARE ? "hwbreak:;" : "swbreak:;");
	if (stop->reason == GDB_WATCHED && stop->point < GDB_POINTS && watched[stop->point]) {
		gdb_reply_text(&gdb->link, watched[stop->point]);
		gdb_reply_number(&gdb->link, stop->address);
		gdb_reply_text(&gdb->link, ";");
	}
}

void gdb_reply_stop(struct gdb *gdb)
{
	static const u8 shown[] = {GDB_RBP, GDB_RSP, GDB_RIP};

	gdb_reply_begin(&gdb->link);
	gdb_reply_text(&gdb->link, "T");
	gdb_reply_byte(&gdb->link, gdb->stop.reason == GDB_ASKED ? SIGNAL_INT :
				   gdb->stop.reason == GDB_DIED  ? SIGNAL_SEGV :
								   SIGNAL_TRAP);
	gdb_reply_text(&gdb->link, "thread:");
	gdb_reply_number(&gdb->link, gdb->cpu + 1);
	gdb_reply_text(&gdb->link, ";");
	for (u32 i = 0; i < ARRAY_SIZE(shown); i++) {
		u32 n = gdb_register_number(gdb->bits, (enum gdb_register)shown[i]);
		struct gdb_register_row row = gdb_register_row(gdb->bits, n);

		gdb_reply_number(&gdb->link, n);
		gdb_reply_text(&gdb->link, ":");
		reply_value(gdb, &row);
		gdb_reply_text(&gdb->link, ";");
	}
	reply_reason(gdb);
	gdb_reply_send(&gdb->link);
}

enum gdb_wish gdb_command(struct gdb *gdb)
{
	const char *at = gdb->link.in + 1;

	if (gdb->link.too_long) {
		gdb_reply_error(&gdb->link, -E2BIG);
		return GDB_WISH_NOTHING;
	}
	switch (gdb->link.in[0]) {
	case 'c': return resume(gdb, at, GDB_CONTINUE, false);
	case 'C': return resume(gdb, at, GDB_CONTINUE, true);
	case 's': return resume(gdb, at, GDB_STEP, false);
	case 'S': return resume(gdb, at, GDB_STEP, true);
	case 'v': return multi_letter(gdb);
	case 'D': gdb_reply(&gdb->link, "OK"); return GDB_WISH_DETACH;
	case 'k': return GDB_WISH_DETACH; /* it expects no reply */
	case '?': gdb_reply_stop(gdb); break;
	case 'g': read_registers(gdb); break;
	case 'p': read_one(gdb, at); break;
	case 'm': read_memory(gdb, at); break;
	case 'q':
	case 'Q': gdb_query(gdb); break;
	case 'G': reply_result(gdb, write_registers(gdb, at)); break;
	case 'P': reply_result(gdb, write_one(gdb, at)); break;
	case 'M': reply_result(gdb, write_memory(gdb, at, false)); break;
	case 'X': reply_result(gdb, write_memory(gdb, at, true)); break;
	case 'Z': reply_result(gdb, change_point(gdb, at, true)); break;
	case 'z': reply_result(gdb, change_point(gdb, at, false)); break;
	case 'H': reply_result(gdb, choose_thread(gdb, at)); break;
	case 'T': reply_result(gdb, check_thread(gdb, at)); break;
	default: gdb_reply(&gdb->link, "");
	}
	return GDB_WISH_NOTHING;
}
