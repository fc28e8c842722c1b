/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * GDB's packets (the world of test_gdb.c): any bytes on the line, framed or not, with the guest stopping meanwhile. What is said is in
 * packets whose sums are right, and behind it all the stub still answers.
 */
int test_gdb_main(void);
#define main test_gdb_main
#include "tests/unit/test_gdb.c"
#undef main

#include "tests/fuzz/fuzz.h"

#define PACKET_BYTES_MAX 200u

void fuzz_setup(void) {}

static void obey(enum gdb_wish wish)
{
	struct gdb_stop stop = {.reason = GDB_ASKED};

	for (u32 i = 0; i < 50 && wish != GDB_WISH_NOTHING && wish != GDB_WISH_DETACH; i++) {
		if (wish == GDB_WISH_RUN && !machine_run(&gdb, &stop, 20))
			return;
		wish = gdb_stopped(&gdb, &stop);
	}
}

static void check_said(void)
{
	u32 sum = 0, told;
	bool inside = false;

	for (const char *c = said; c < said + said_length; c++) {
		if (inside && *c == '#') {
			if (sscanf(c + 1, "%2x", &told) != 1 || told != (sum & 0xff))
				abort();
			inside = false;
			c += 2;
		} else if (inside) {
			sum += (u8)*c;
		} else if (*c == '$') {
			inside = true;
			sum = 0;
		} else if (*c != '+' && *c != '-') {
			abort();
		}
	}
	if (inside)
		abort();
}

/* Pieces, each with a byte before it: bit 7: as it is, else in a packet; the rest is its length. */
int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct fuzz_input in = {data, size};
	char text[PACKET_BYTES_MAX], out[PACKET_BYTES_MAX * 2];

	begin(NULL);
	machine.bits = 16u << fuzz_take(&in, 1) % 3;
	while (in.left) {
		u32 head = (u32)fuzz_take(&in, 1), length = (u32)MIN(head & 0x7f, in.left), n;

		for (u32 i = 0; i < length; i++)
			text[i] = (char)fuzz_take(&in, 1);
		memcpy(out, text, length);
		n = head & 0x80 ? length : frame(out, text, length);
		to_say = "+";
		for (u32 i = 0; i < n; i++)
			obey(gdb_feed(&gdb, (u8)out[i]));
		check_said();
		said_length = 0;
	}
	obey(gdb_feed(&gdb, '#'));
	for (u32 i = 0; i < 2; i++)
		obey(gdb_feed(&gdb, '0'));
	said_length = 0;
	feed("+++", 3);
	obey(feed("$qC#b4", 6));
	said[said_length] = 0;
	if (!strstr(said, "$QC"))
		abort();
	return 0;
}

static const char *const seeds[] = {
	"qSupported:swbreak+;hwbreak+",
	"vCont;s:1;c",
	"vCont;r100000,100010:1",
	"qXfer:features:read:target.xml:0,ffb",
	"Z0,100010,1",
	"Z2,102000,4",
	"m100000,40",
	"M100000,2:1234",
	"X100000,2:ab",
	"P0=0011223344556677",
	"Hg1",
	"qThreadExtraInfo,1",
	"qRcmd,68656c70",
	"g",
};

u32 fuzz_seed(u32 n, u8 out[FUZZ_SEED_MAX])
{
	u32 length;

	if (n >= ARRAY_SIZE(seeds))
		return 0;
	length = (u32)strlen(seeds[n]);
	out[0] = 2;
	out[1] = (u8)length;
	memcpy(out + 2, seeds[n], length);
	return length + 2;
}
