/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Packets of GDB's remote serial protocol over a line that loses and garbles bytes ("GDB manual", appendix E.1):
 *
 *	$ text # two hex digits: the sum of the text's bytes modulo 256;  + or - answers each of them
 *
 * What comes is fed byte by byte, so that nothing waits for a debugger that went away. A packet that arrives again
 * because an answer was lost is not carried out a second time: the last reply is sent again. No locks: one link, one user.
 */
#ifndef DEBUG_GDB_PACKET_H
#define DEBUG_GDB_PACKET_H

#include "lib/types.h"

/* The longest text of a packet, either way. */
#define GDB_PACKET_MAX 2048u

/* The line. get: a byte, or -1 if none has come; it does not wait. */
struct gdb_port {
	void *context;
	int (*get)(void *context);
	void (*put)(void *context, u8 byte);
};

enum gdb_event {
	GDB_NOTHING,
	GDB_PACKET,    /* in[0..in_length) holds one, acknowledged, with a NUL behind it */
	GDB_INTERRUPT, /* Ctrl-C outside of a packet */
};

struct gdb_link {
	const struct gdb_port *port;
	u8 state; /* of the packet that is coming: enum in gdb_packet.c */
	u8 sum, told;
	bool too_long;  /* the packet's text: in holds its beginning */
	bool no_ack;    /* both sides have agreed to trust the line */
	bool unheard;   /* the last reply was not acknowledged yet */
	bool unreplied; /* the last packet has had no reply yet: the guest runs */
	int pushed;     /* a byte that came while an acknowledgement was awaited, or -1 */
	u64 last;       /* what the last packet was: a hash of it */
	u32 in_length, out_length;
	char in[GDB_PACKET_MAX + 1];
	char out[GDB_PACKET_MAX + 1];
};

void gdb_link_init(struct gdb_link *link, const struct gdb_port *port);

/* The next byte that came, or -1. */
int gdb_link_get(struct gdb_link *link);

/* Takes one byte that came; says what it made complete. */
enum gdb_event gdb_link_feed(struct gdb_link *link, u8 byte);

/* Has a packet begun, and not ended? */
bool gdb_link_is_inside(const struct gdb_link *link);

/*
 * A reply: begun, added to, sent. What does not fit is left out, and a text that was cut is sent as error E07 instead.
 * Bytes go as two hex digits each, numbers as hex without leading zeros.
 */
void gdb_reply_begin(struct gdb_link *link);
void gdb_reply_text(struct gdb_link *link, const char *text);
void gdb_reply_byte(struct gdb_link *link, u8 byte);
void gdb_reply_number(struct gdb_link *link, u64 value);
void gdb_reply_raw(struct gdb_link *link, u8 byte); /* escaped where it must be */
void gdb_reply_send(struct gdb_link *link);

/* Bytes of raw text that the reply still takes, however they are escaped. */
u32 gdb_reply_room(const struct gdb_link *link);

/* From now on nothing is acknowledged, but the reply that was sent last. */
void gdb_link_trust(struct gdb_link *link);

/* A whole reply. error: one of the negative errno values. */
void gdb_reply(struct gdb_link *link, const char *text);
void gdb_reply_error(struct gdb_link *link, int error);

/* Sends a piece of console output (packet O) and waits for its acknowledgement, a bounded time. */
void gdb_output(struct gdb_link *link, const char *text, u32 length);

/* --- text of packets ---------------------------------------------------------------------- */
/* Hex digits at *at, to the first other character: false if there is none, or more than 64 bits. */
bool gdb_parse_number(const char **at, u64 *value);

/* Two digits for each of count bytes; false if there are fewer. */
bool gdb_parse_bytes(const char **at, u8 *bytes, u32 count);

/* Takes this character, if it is the next. */
bool gdb_parse_char(const char **at, char c);

/* Undoes the escapes of raw bytes in place; the new length. */
u32 gdb_unescape(u8 *bytes, u32 length);

#endif
