/* SPDX-License-Identifier: BSD-2-Clause */
/* See gdb.h. While the guest runs a packet stops it first and is carried out then. */
#include "debug/gdb.h"

#include "debug/gdb_command.h"
#include "debug/gdb_query.h"
#include "lib/string.h"

static void forget(struct gdb *gdb)
{
	gdb->attached = gdb->held = gdb->waiting = gdb->in_range = false;
	gdb->running = true;
	gdb->link.no_ack = false;
	gdb->link.unreplied = gdb->link.unheard = false;
	gdb->resume_cpu = GDB_CPUS_MAX;
	memset(gdb->action, GDB_CONTINUE, sizeof(gdb->action));
}

void gdb_init(struct gdb *gdb, const struct gdb_target *target, void *context, const struct gdb_port *port)
{
	memset(gdb, 0, sizeof(*gdb));
	gdb_link_init(&gdb->link, port);
	gdb->target = target;
	gdb->context = context;
	gdb->bits = 64;
	forget(gdb);
}

enum gdb_action gdb_action(const struct gdb *gdb, u32 cpu)
{
	return cpu < GDB_CPUS_MAX ? (enum gdb_action)gdb->action[cpu] : GDB_CONTINUE;
}

static enum gdb_wish carry_out(struct gdb *gdb)
{
	enum gdb_wish wish;

	gdb->attached = true;
	wish = gdb_command(gdb);
	if (wish == GDB_WISH_DETACH) {
		gdb->target->remove_all(gdb->context);
		forget(gdb);
	}
	if (wish == GDB_WISH_RUN)
		gdb->running = true;
	return wish;
}

/* The guest runs: a packet is of a debugger that begins, or that has lost patience. */
static enum gdb_wish stop_first(struct gdb *gdb, enum gdb_event event)
{
	if (event == GDB_INTERRUPT && !gdb->attached)
		return GDB_WISH_NOTHING; /* nobody is there: noise */
	gdb->held |= event == GDB_PACKET;
	if (gdb->waiting)
		return GDB_WISH_NOTHING;
	gdb->waiting = true;
	return GDB_WISH_STOP;
}

enum gdb_wish gdb_feed(struct gdb *gdb, u8 byte)
{
	enum gdb_event event;

	if (gdb->held) /* what it overwrote would be lost: GDB sends it again */
		return GDB_WISH_NOTHING;
	event = gdb_link_feed(&gdb->link, byte);
	if (event == GDB_NOTHING)
		return GDB_WISH_NOTHING;
	if (gdb->running)
		return stop_first(gdb, event);
	return event == GDB_PACKET ? carry_out(gdb) : GDB_WISH_NOTHING;
}

/* A step over a range of addresses goes on inside of it; not if GDB wants to talk. */
static bool goes_on(struct gdb *gdb, const struct gdb_stop *stop)
{
	u64 rip;

	if (!gdb->in_range || stop->reason != GDB_STEPPED || gdb->waiting ||
	    gdb->target->read_register(gdb->context, stop->cpu, GDB_RIP, &rip))
		return false;
	return rip >= gdb->range_from && rip < gdb->range_to;
}

enum gdb_wish gdb_stopped(struct gdb *gdb, const struct gdb_stop *stop)
{
	bool reports = gdb->attached;

	if (goes_on(gdb, stop))
		return GDB_WISH_RUN;
	gdb->running = gdb->waiting = gdb->in_range = false;
	gdb->stop = *stop;
	gdb->cpu = stop->cpu;
	if (gdb->held) {
		gdb->held = false;
		return carry_out(gdb);
	}
	if (reports)
		gdb_reply_stop(gdb);
	return GDB_WISH_NOTHING;
}

bool gdb_is_attached(const struct gdb *gdb)
{
	return gdb->attached;
}

bool gdb_is_inside(const struct gdb *gdb)
{
	return gdb_link_is_inside(&gdb->link);
}

enum gdb_wish gdb_poll(struct gdb *gdb)
{
	enum gdb_wish wish = GDB_WISH_NOTHING;
	int byte;

	while (wish == GDB_WISH_NOTHING && (byte = gdb_link_get(&gdb->link)) >= 0)
		wish = gdb_feed(gdb, (u8)byte);
	return wish;
}
