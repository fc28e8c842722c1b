/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See gdb_packet.h. A '$' begins a packet wherever it stands, since it is escaped inside of one: so the line is in step
 * again with the next packet, whatever was lost. Repeated characters of a reply are sent as runs.
 */
#include "debug/gdb_packet.h"

#include "lib/hash.h"
#include "lib/hex.h"
#include "lib/string.h"

enum { OUTSIDE, TEXT, SUM_HIGH, SUM_LOW };

#define CTRL_C 0x03u
#define ESCAPE '}'
#define ESCAPED 0x20u /* added to the byte behind an escape by exclusive or */

/* Polls for the acknowledgement of console output: some seconds, if a poll is an access to a port of the ISA bus. */
#define ACK_POLLS 4000000u

/* A run: the character, '*', and the count of repetitions and this. '#' and '$' must not become counts. */
#define RUN_BASE 29u
#define RUN_MAX 97u
#define RUN_MIN 3u

static const char digits[] = "0123456789abcdef";

void gdb_link_init(struct gdb_link *link, const struct gdb_port *port)
{
	memset(link, 0, sizeof(*link));
	link->port = port;
	link->pushed = -1;
}

static void put(struct gdb_link *link, u8 byte)
{
	link->port->put(link->port->context, byte);
}

int gdb_link_get(struct gdb_link *link)
{
	int byte = link->pushed;

	link->pushed = -1;
	return byte >= 0 ? byte : link->port->get(link->port->context);
}

/* --- what comes ----------------------------------------------------------------------------- */
static void begin_packet(struct gdb_link *link)
{
	link->state = TEXT;
	link->sum = 0;
	link->in_length = 0;
	link->too_long = false;
}

static void take_text(struct gdb_link *link, u8 byte)
{
	link->sum += byte;
	if (link->in_length < GDB_PACKET_MAX)
		link->in[link->in_length++] = (char)byte;
	else
		link->too_long = true;
}

/* Never 0. */
static u64 hash_text(const char *text, u32 length)
{
	u64 hash = length;

	for (u32 i = 0; i < length; i++)
		hash = hash_mix2(hash, (u8)text[i]);
	return hash | 1;
}

static void send_again(struct gdb_link *link)
{
	u8 sum = 0;

	put(link, '$');
	for (u32 i = 0; i < link->out_length; i++) {
		sum += (u8)link->out[i];
		put(link, (u8)link->out[i]);
	}
	put(link, '#');
	put(link, (u8)digits[sum >> 4]);
	put(link, (u8)digits[sum & 15]);
}

/* The same packet, though its reply was not acknowledged, or while it is still being carried out: an answer was lost. */
static bool is_repeated(struct gdb_link *link, u64 hash)
{
	return !link->no_ack && hash == link->last && (link->unheard || link->unreplied);
}

static enum gdb_event end_packet(struct gdb_link *link, u8 sum)
{
	u64 hash;

	link->state = OUTSIDE;
	if (sum != link->sum) {
		if (!link->no_ack)
			put(link, '-');
		return GDB_NOTHING;
	}
	if (!link->no_ack)
		put(link, '+');
	hash = hash_text(link->in, link->in_length);
	if (is_repeated(link, hash)) {
		if (link->unheard)
			send_again(link);
		return GDB_NOTHING;
	}
	link->last = hash;
	link->unheard = false;
	link->unreplied = true;
	link->in[link->in_length] = 0;
	return GDB_PACKET;
}

static enum gdb_event take_outside(struct gdb_link *link, u8 byte)
{
	if (byte == CTRL_C)
		return GDB_INTERRUPT;
	if (byte == '+') {
		link->no_ack &= link->unheard; /* who trusts the line does not say so: another debugger has begun */
		link->unheard = false;
	}
	if (byte == '-' && link->unheard && link->out_length)
		send_again(link);
	return GDB_NOTHING;
}

enum gdb_event gdb_link_feed(struct gdb_link *link, u8 byte)
{
	int value = hex_digit((char)byte);

	if (byte == '$') {
		begin_packet(link);
		return GDB_NOTHING;
	}
	switch (link->state) {
	case OUTSIDE: return take_outside(link, byte);
	case TEXT:
		if (byte == '#')
			link->state = SUM_HIGH;
		else
			take_text(link, byte);
		return GDB_NOTHING;
	case SUM_HIGH:
		link->told = (u8)((u32)value << 4);
		link->state = SUM_LOW;
		if (value >= 0)
			return GDB_NOTHING;
		break;
	default:
		if (value >= 0)
			return end_packet(link, (u8)(link->told | (u32)value));
	}
	return end_packet(link, (u8)~link->sum); /* not a digit: as a wrong sum */
}

bool gdb_link_is_inside(const struct gdb_link *link)
{
	return link->state != OUTSIDE;
}

/* --- replies -------------------------------------------------------------------------------- */
void gdb_reply_begin(struct gdb_link *link)
{
	link->out_length = 0;
}

/* One more than GDB_PACKET_MAX means that the text was cut. */
static void add(struct gdb_link *link, u8 byte)
{
	if (link->out_length <= GDB_PACKET_MAX)
		link->out[link->out_length++] = (char)byte;
}

void gdb_reply_text(struct gdb_link *link, const char *text)
{
	while (*text)
		add(link, (u8)*text++);
}

void gdb_reply_byte(struct gdb_link *link, u8 byte)
{
	add(link, (u8)digits[byte >> 4]);
	add(link, (u8)digits[byte & 15]);
}

void gdb_reply_number(struct gdb_link *link, u64 value)
{
	u32 shift = 60;

	while (shift && !(value >> shift))
		shift -= 4;
	for (;; shift -= 4) {
		add(link, (u8)digits[value >> shift & 15]);
		if (!shift)
			return;
	}
}

void gdb_reply_raw(struct gdb_link *link, u8 byte)
{
	if (byte == '$' || byte == '#' || byte == ESCAPE || byte == '*') {
		add(link, ESCAPE);
		byte ^= ESCAPED;
	}
	add(link, byte);
}

u32 gdb_reply_room(const struct gdb_link *link)
{
	return link->out_length < GDB_PACKET_MAX ? (GDB_PACKET_MAX - link->out_length) / 2 : 0;
}

static u32 run_length(const char *text, u32 left)
{
	u32 n = 1;

	while (n < left && n <= RUN_MAX && text[n] == text[0])
		n++;
	return n;
}

/* Makes runs of repeated characters, in place: it gets shorter or stays. Bytes that are escaped are left alone. */
static void compress(struct gdb_link *link)
{
	u32 to = 0;

	for (u32 from = 0; from < link->out_length;) {
		char c = link->out[from];
		u32 n = run_length(link->out + from, link->out_length - from), more = n - 1;

		if (more == '#' - RUN_BASE || more == '$' - RUN_BASE)
			more = '#' - RUN_BASE - 1;
		link->out[to++] = c;
		if (more < RUN_MIN || c == ESCAPE) {
			from++;
			continue;
		}
		link->out[to++] = '*';
		link->out[to++] = (char)(more + RUN_BASE);
		from += more + 1;
	}
	link->out_length = to;
}

void gdb_reply_send(struct gdb_link *link)
{
	if (link->out_length > GDB_PACKET_MAX) {
		gdb_reply_error(link, -E2BIG);
		return;
	}
	compress(link);
	link->unreplied = false;
	link->unheard = !link->no_ack;
	send_again(link);
}

void gdb_link_trust(struct gdb_link *link)
{
	link->no_ack = true;
}

void gdb_reply(struct gdb_link *link, const char *text)
{
	gdb_reply_begin(link);
	gdb_reply_text(link, text);
	gdb_reply_send(link);
}

void gdb_reply_error(struct gdb_link *link, int error)
{
	gdb_reply_begin(link);
	gdb_reply_text(link, "E");
	gdb_reply_byte(link, (u8)-error);
	gdb_reply_send(link);
}

/* A '$' instead of the acknowledgement is the next packet: it is kept. */
static void await_ack(struct gdb_link *link)
{
	for (u32 i = 0; i < ACK_POLLS && link->unheard; i++) {
		int byte = link->port->get(link->port->context);

		if (byte == '$') {
			link->pushed = byte;
			return;
		}
		if (byte >= 0 && byte != (int)CTRL_C)
			take_outside(link, (u8)byte);
	}
}

void gdb_output(struct gdb_link *link, const char *text, u32 length)
{
	const u32 piece = (GDB_PACKET_MAX - 1) / 2;

	while (length && link->pushed < 0) {
		u32 n = MIN(length, piece);

		gdb_reply_begin(link);
		gdb_reply_text(link, "O");
		for (u32 i = 0; i < n; i++)
			gdb_reply_byte(link, (u8)text[i]);
		gdb_reply_send(link);
		await_ack(link);
		text += n;
		length -= n;
	}
	link->unreplied = true;
}

/* --- text of packets ---------------------------------------------------------------------- */
bool gdb_parse_number(const char **at, u64 *value)
{
	const char *from = *at;
	u64 v = 0;

	while (hex_digit(**at) >= 0) {
		if (v >> 60)
			return false;
		v = v << 4 | (u64)hex_digit(*(*at)++);
	}
	*value = v;
	return *at != from;
}

bool gdb_parse_bytes(const char **at, u8 *bytes, u32 count)
{
	for (u32 i = 0; i < count; i++) {
		int high = hex_digit((*at)[0]), low = high < 0 ? -1 : hex_digit((*at)[1]);

		if (low < 0)
			return false;
		bytes[i] = (u8)(high << 4 | low);
		*at += 2;
	}
	return true;
}

bool gdb_parse_char(const char **at, char c)
{
	if (**at != c || !c)
		return false;
	(*at)++;
	return true;
}

u32 gdb_unescape(u8 *bytes, u32 length)
{
	u32 to = 0;

	for (u32 from = 0; from < length; from++) {
		if (bytes[from] == ESCAPE && from + 1 < length)
			bytes[to++] = bytes[++from] ^ ESCAPED;
		else
			bytes[to++] = bytes[from];
	}
	return to;
}
