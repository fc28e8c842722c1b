/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * GDB's protocol (debug/gdb*.c) against a machine of a few bytes: by packets written out, over a line that loses and
 * garbles bytes, and in a session with GDB itself over a pseudo terminal.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

#include "debug/gdb.h"
#include "debug/gdb_describe.h"
#include "tests/unit/gdb_machine.h"
#include "tests/unit/rng.h"

/* --- the line, into which a test writes ----------------------------------------------------------- */
static struct gdb gdb;
static char said[1u << 20];
static u32 said_length;
static const char *to_say = "";

static int wire_get(void *context)
{
	return *to_say ? *to_say++ : -1;
}

static void wire_put(void *context, u8 byte)
{
	assert_true(said_length + 1 < sizeof(said));
	said[said_length++] = (char)byte;
	said[said_length] = 0;
}

static const struct gdb_port wire = {NULL, wire_get, wire_put};

static int begin(void **state)
{
	machine_reset();
	gdb_init(&gdb, &target, NULL, &wire);
	said_length = 0;
	said[0] = 0;
	to_say = "";
	return 0;
}

static enum gdb_wish feed(const char *bytes, u32 length)
{
	enum gdb_wish wish = GDB_WISH_NOTHING;

	for (u32 i = 0; i < length; i++) {
		enum gdb_wish w = gdb_feed(&gdb, (u8)bytes[i]);

		wish = w != GDB_WISH_NOTHING ? w : wish;
	}
	return wish;
}

static u32 frame(char *out, const char *text, u32 length)
{
	u8 sum = 0;

	out[0] = '$';
	for (u32 i = 0; i < length; i++) {
		sum += (u8)text[i];
		out[1 + i] = text[i];
	}
	return length + 1 + (u32)sprintf(out + 1 + length, "#%02x", sum);
}

/* Undoes runs and checks the sum of the last packet that was said. */
static const char *heard(void)
{
	static char text[16384];
	char *from = strrchr(said, '$');
	u32 length = 0, sum = 0, told;

	assert_non_null(from);
	for (from++; *from != '#'; from++) {
		sum += (u8)*from;
		if (*from == '*') {
			assert_true(length);
			sum += (u8)from[1];
			for (u32 n = (u8) * ++from - 29u; n; n--, length++)
				text[length] = text[length - 1];
			continue;
		}
		text[length++] = *from;
		assert_true(length < sizeof(text) - 100);
	}
	assert_int_equal(sscanf(from + 1, "%2x", &told), 1);
	assert_int_equal(sum & 0xff, told);
	text[length] = 0;
	return text;
}

/* One packet and its acknowledgement; what it makes the guest do. */
static enum gdb_wish send_raw(const char *text, u32 length)
{
	char out[GDB_PACKET_MAX * 2];
	u32 n = frame(out, text, length);
	enum gdb_wish wish;

	said_length = 0;
	said[0] = 0;
	wish = feed(out, n);
	feed("+", 1);
	return wish;
}

static enum gdb_wish send(const char *text)
{
	return send_raw(text, (u32)strlen(text));
}

static const char *ask(const char *text)
{
	assert_int_equal(send(text), GDB_WISH_NOTHING);
	assert_int_equal(said[0], '+');
	return heard();
}

/* A debugger begins, and the guest stops for it. */
static void attach(void)
{
	const struct gdb_stop stop = {.reason = GDB_ASKED};

	assert_int_equal(send("qSupported:swbreak+;hwbreak+;xmlRegisters=i386"), GDB_WISH_STOP);
	assert_int_equal(gdb_stopped(&gdb, &stop), GDB_WISH_NOTHING);
	assert_non_null(strstr(heard(), "qXfer:features:read+"));
	feed("+", 1);
}

/* --- packets --------------------------------------------------------------------------------------------- */
static void the_first_packet_stops_the_guest_and_noise_does_not(void **state)
{
	assert_int_equal(feed("\x03garbage\x03+-#00", 15), GDB_WISH_NOTHING);
	assert_int_equal(feed("$qSupported#00", 14), GDB_WISH_NOTHING);
	assert_string_equal(said, "-");
	attach();
	assert_true(strncmp(ask("?"), "T02thread:1;", 12) == 0);
}

static void registers_are_read_and_written_by_number_and_all_at_once(void **state)
{
	char text[8192];
	const char *all;

	attach();
	assert_string_equal(ask("p0"), "0010000000000000");
	assert_string_equal(ask("P0=efcdab8967452301"), "OK");
	assert_int_equal(machine.registers[0][GDB_RAX], 0x0123456789abcdef);
	assert_string_equal(ask("p11"), "02020000");
	assert_string_equal(ask("pfff"), "E16");
	assert_string_equal(ask("P0=12"), "E16");
	assert_string_equal(ask("p18"), "xxxxxxxxxxxxxxxxxxxx"); /* st0 */
	all = ask("g");
	assert_int_equal(strlen(all), 2 * (17 * 8 + 7 * 4 + 8 * 10 + 8 * 4 + 13 * 8));
	snprintf(text, sizeof(text), "G%s", all);
	memcpy(text + 1 + 16, "1122334455667788", 16);
	for (char *c = text; *c; c++)
		*c = *c == 'x' ? '0' : *c;
	assert_string_equal(ask(text), "OK");
	assert_int_equal(machine.registers[0][GDB_RBX], 0x8877665544332211);
	machine.refused = 0x99;
	assert_string_equal(ask("P1=9900000000000000"), "E16");
	text[strlen(text) - 1] = 0;
	assert_string_equal(ask(text), "E16");
}

static void memory_is_read_to_its_end_and_written_whole_or_not(void **state)
{
	static const char raw[] = "X100000,4:}\x03}\x04}]*";

	attach();
	assert_string_equal(ask("m100040,2"), "aa90");
	assert_string_equal(ask("m103ffe,8"), "9090");
	assert_string_equal(ask("m104000,8"), "E0e");
	assert_string_equal(ask("m100000,ffffffff"), "E16");
	assert_string_equal(ask("m11112222333344445,1"), "E16");
	assert_string_equal(ask("M100000,2:1234"), "OK");
	assert_string_equal(ask("M100000,3:1234"), "E16");
	assert_string_equal(ask("M103fff,2:1234"), "E0e");
	assert_int_equal(machine.memory[SIZE - 1], 0x90);
	assert_int_equal(send_raw(raw, sizeof(raw) - 1), GDB_WISH_NOTHING);
	assert_string_equal(heard(), "OK");
	assert_memory_equal(machine.memory, "#$}*", 4);
	assert_string_equal(ask("X100000,0:"), "OK");
	assert_string_equal(ask("X100000,5:abc"), "E16");
}

static void points_are_put_and_taken_away_and_go_with_the_debugger(void **state)
{
	attach();
	assert_string_equal(ask("Z0,100010,1"), "OK");
	assert_string_equal(ask("Z1,100020,1"), "OK");
	assert_string_equal(ask("Z2,102000,4"), "OK");
	assert_string_equal(ask("Z3,102000,4"), "");
	assert_string_equal(ask("Z5,102000,4"), "");
	assert_string_equal(ask("z0,100010,1"), "OK");
	assert_null(find_point(GDB_SOFTWARE, 0x100010));
	for (u32 i = 0; i < POINTS; i++) {
		char text[32];

		snprintf(text, sizeof(text), "Z1,%x,1", 0x100100 + i);
		assert_string_equal(ask(text), i < POINTS - 2 ? "OK" : "E1c");
	}
	assert_int_equal(send("D"), GDB_WISH_DETACH);
	assert_string_equal(heard(), "OK");
	assert_null(find_point(GDB_HARDWARE, 0x100020));
	assert_int_equal(feed("\x03", 1), GDB_WISH_NOTHING);
	attach();
	assert_int_equal(send("k"), GDB_WISH_DETACH);
}

static void the_guest_goes_on_as_each_thread_is_told(void **state)
{
	struct gdb_stop stop;

	attach();
	assert_string_equal(ask("vCont?"), "vCont;c;C;s;S;t;r");
	assert_int_equal(send("vCont;s:2;c"), GDB_WISH_RUN);
	assert_int_equal(gdb_action(&gdb, 0), GDB_CONTINUE);
	assert_int_equal(gdb_action(&gdb, 1), GDB_STEP);
	assert_true(machine_run(&gdb, &stop, 1));
	assert_int_equal(gdb_stopped(&gdb, &stop), GDB_WISH_NOTHING);
	assert_string_equal(heard(), "T05thread:2;6:0520000000000000;7:0034100000000000;10:0110100000000000;");
	feed("+", 1);
	assert_int_equal(send("vCont;s:1"), GDB_WISH_RUN);
	assert_int_equal(gdb_action(&gdb, 1), GDB_STAY);
	assert_true(machine_run(&gdb, &stop, 1));
	assert_int_equal(gdb_stopped(&gdb, &stop), GDB_WISH_NOTHING);
	feed("+", 1);
	assert_string_equal(ask("vCont;t"), "E16");
	assert_string_equal(ask("vCont"), "");
	assert_string_equal(ask("vCont;"), "E16");
	assert_string_equal(ask("vCont;x"), "E16");
	assert_string_equal(ask("vCont;s:9"), "E16");
	assert_string_equal(ask("vMustReplyEmpty"), "");
	assert_int_equal(send("Hc-1"), GDB_WISH_NOTHING);
	assert_int_equal(send("s100200"), GDB_WISH_RUN);
	assert_int_equal(machine.registers[0][GDB_RIP], 0x100200);
	assert_int_equal(gdb_action(&gdb, 0), GDB_STEP);
	assert_int_equal(feed("\x03", 1), GDB_WISH_STOP);
	stop = (struct gdb_stop){.cpu = 1, .reason = GDB_ASKED};
	assert_int_equal(gdb_stopped(&gdb, &stop), GDB_WISH_NOTHING);
	assert_true(strncmp(heard(), "T02thread:2;", 12) == 0);
}

static void a_step_goes_on_inside_of_its_range(void **state)
{
	struct gdb_stop stop;
	u32 steps = 1;

	attach();
	assert_int_equal(send("vCont;r100000,100010:1"), GDB_WISH_RUN);
	while (machine_run(&gdb, &stop, 1) && gdb_stopped(&gdb, &stop) == GDB_WISH_RUN)
		steps++;
	assert_int_equal(steps, 16);
	assert_int_equal(machine.registers[0][GDB_RIP], 0x100010);
	assert_true(strncmp(heard(), "T05thread:1;", 12) == 0);
}

static void a_stop_tells_its_breakpoint_or_the_address_watched(void **state)
{
	struct gdb_stop stop;

	attach();
	assert_string_equal(ask("Z1,100008,1"), "OK");
	assert_string_equal(ask("Z2,102000,4"), "OK");
	assert_int_equal(send("vCont;c:1"), GDB_WISH_RUN);
	assert_true(machine_run(&gdb, &stop, 1000));
	assert_int_equal(gdb_stopped(&gdb, &stop), GDB_WISH_NOTHING);
	assert_non_null(strstr(heard(), ";hwbreak:;"));
	feed("+", 1);
	assert_int_equal(send("c"), GDB_WISH_RUN);
	assert_true(machine_run(&gdb, &stop, 1000));
	assert_int_equal(gdb_stopped(&gdb, &stop), GDB_WISH_NOTHING);
	assert_non_null(strstr(heard(), ";watch:102000;"));
	assert_int_equal(machine.registers[0][GDB_RIP], 0x100041);
}

static void threads_are_the_processors_that_the_guest_has_started(void **state)
{
	attach();
	assert_string_equal(ask("qfThreadInfo"), "m1,2");
	assert_string_equal(ask("qsThreadInfo"), "l");
	assert_string_equal(ask("qThreadExtraInfo,2"), "4350552031206f66207468652074657374");
	assert_string_equal(ask("qThreadExtraInfo,3"), "E16");
	assert_string_equal(ask("T2"), "OK");
	assert_string_equal(ask("Hg2"), "OK");
	assert_string_equal(ask("qC"), "QC2");
	assert_string_equal(ask("p0"), "0020000000000000");
	machine.started = 1;
	assert_string_equal(ask("T2"), "E16");
	assert_string_equal(ask("qfThreadInfo"), "m1");
	assert_string_equal(ask("Hg2"), "E16");
	assert_string_equal(ask("Hx1"), "E16");
	assert_string_equal(ask("qAttached"), "1");
	assert_string_equal(ask("qNobodyKnows"), "");
}

static void put_text(void *to, char c)
{
	char *text = to;
	size_t n = strlen(text);

	assert_true(n < 16000);
	text[n] = c;
	text[n + 1] = 0;
}

static void a_description_is_the_same_in_pieces_of_any_size(void **state)
{
	static const u32 pieces[] = {1, 7, 300, 0xffb, 0xffffffff};
	static char whole[16384], got[16384];

	attach();
	for (u32 bits = 16; bits <= 64; bits *= 2) {
		gdb.bits = bits;
		whole[0] = 0;
		gdb_describe(bits, put_text, whole);
		for (u32 i = 0; i < ARRAY_SIZE(pieces); i++) {
			u32 at = 0;

			for (;;) {
				char text[80];
				const char *reply;

				snprintf(text, sizeof(text), "qXfer:features:read:target.xml:%x,%x", at, pieces[i]);
				reply = ask(text);
				strcpy(got + at, reply + 1);
				at += (u32)strlen(reply + 1);
				if (reply[0] == 'l')
					break;
				assert_int_equal(reply[0], 'm');
				assert_true(reply[1]);
			}
			assert_string_equal(got, whole);
		}
	}
	assert_string_equal(ask("qXfer:features:read:other.xml:0,10"), "E16");
}

static void a_narrow_description_has_the_narrow_registers(void **state)
{
	machine.bits = 32;
	attach();
	assert_string_equal(ask("p8"), "00001000"); /* eip */
	assert_string_equal(ask("P0=ffffffff"), "OK");
	assert_int_equal(machine.registers[0][GDB_RAX], 0xffffffff);
	assert_int_equal(strlen(ask("g")), 2 * (16 * 4 + 8 * 10 + 8 * 4 + 13 * 8));
}

static void monitor_commands_print_and_end_with_ok(void **state)
{
	attach();
	to_say = "+";
	assert_int_equal(send("qRcmd,7374617473"), GDB_WISH_NOTHING);
	assert_non_null(strstr(said, "$O6865617264207374617473"));
	assert_string_equal(heard(), "OK");
	to_say = "-+"; /* the output is lost once */
	assert_int_equal(send("qRcmd,61"), GDB_WISH_NOTHING);
	assert_non_null(strstr(strstr(said, "$O68656172642061") + 1, "$O68656172642061"));
	to_say = "+";
	assert_int_equal(send("qRcmd,6764622062697473203332"), GDB_WISH_NOTHING); /* gdb bits 32 */
	assert_int_equal(gdb.bits_asked, 32);
	assert_string_equal(ask("qRcmd,7"), "E16");
	assert_string_equal(ask("qRcmd,zz"), "E16");
}

/* --- a bad line ---------------------------------------------------------------------------------------------- */
static void a_packet_sent_again_is_not_carried_out_again(void **state)
{
	struct gdb_stop stop;
	char out[64];
	u32 n;

	attach();
	n = frame(out, "vCont;s:1", 9);
	assert_int_equal(feed(out, n), GDB_WISH_RUN);
	assert_int_equal(feed(out, n), GDB_WISH_NOTHING); /* our + was lost */
	assert_true(machine_run(&gdb, &stop, 1));
	assert_int_equal(gdb_stopped(&gdb, &stop), GDB_WISH_NOTHING);
	said_length = 0;
	assert_int_equal(feed(out, n), GDB_WISH_NOTHING); /* the reply was lost: it comes again */
	assert_int_equal(machine.executed, 1);
	assert_true(strncmp(said, "+$T05", 5) == 0);
	said_length = 0;
	feed("-", 1);
	assert_true(strncmp(said, "$T05", 4) == 0);
	feed("+", 1);
	assert_int_equal(feed(out, n), GDB_WISH_RUN); /* heard: this is another step */
}

static void a_packet_that_is_too_long_is_refused(void **state)
{
	static char text[GDB_PACKET_MAX + 200];
	int start = snprintf(text, sizeof(text), "M100000,400:");

	attach();
	memset(text + start, '0', sizeof(text) - 1 - (size_t)start);
	assert_string_equal(ask(text), "E07");
	assert_true(strncmp(ask("?"), "T02", 3) == 0);
}

static void a_trusted_line_is_trusted_until_another_debugger_begins(void **state)
{
	attach();
	assert_string_equal(ask("QStartNoAckMode"), "OK");
	assert_int_equal(feed("$?#3f", 5), GDB_WISH_NOTHING);
	said_length = 0;
	assert_int_equal(feed("$?#3f", 5), GDB_WISH_NOTHING);
	assert_int_equal(said[0], '$');
	feed("+", 1);
	assert_true(strncmp(ask("?"), "T02", 3) == 0);
}

/* A line with noise; the peer does as GDB does: sends again until it is acknowledged, asks again for what is garbled. */
static bool talk(struct rng *rng, const char *out, u32 length, u32 noise)
{
	for (u32 tries = 0; tries < 400; tries++) {
		said_length = 0;
		said[0] = 0;
		for (u32 i = 0; i < length; i++) {
			u8 byte = (u8)out[i];

			if (!(rng_next(rng) % noise))
				continue;
			if (!(rng_next(rng) % noise))
				byte ^= (u8)BIT(rng_next(rng) % 8);
			if (gdb_feed(&gdb, byte) != GDB_WISH_NOTHING)
				return false;
		}
		if (strchr(said, '+') && strchr(said, '$')) {
			assert_int_equal(gdb_feed(&gdb, '+'), GDB_WISH_NOTHING);
			return true;
		}
	}
	return false;
}

static void a_line_that_loses_and_garbles_bytes_loses_no_packet(void **state)
{
	struct rng rng;

	rng_seed(&rng, 7);
	attach();
	for (u32 i = 0; i < 2000; i++) {
		char text[64], out[80] = "";
		u64 value = rng_next(&rng) | 1;
		u32 n = (u32)snprintf(text, sizeof(text), "M%x,2:%02x%02x", 0x101000 + 2 * i % 0x1000,
				      (u32)(value & 0xff), (u32)(value >> 8 & 0xff));

		assert_true(talk(&rng, out, frame(out, text, n), 200));
		if (strncmp(heard(), "OK", 2))
			continue; /* a garbled packet whose sum is right: one in 256 */
		assert_int_equal(machine.memory[0x1000 + 2 * i % 0x1000], value & 0xff);
	}
}

static void any_bytes_at_all_leave_the_stub_sane(void **state)
{
	static const char alphabet[] = "$$#+-pPgGmMXZzHTvqQsScCkD?0123456789abcdef,;:=\x03}*";
	struct gdb_stop stop = {0};
	struct rng rng;

	rng_seed(&rng, 11);
	for (u32 i = 0; i < 300000; i++) {
		bool any = rng_chance(&rng, 12);
		u8 byte = any ? (u8)rng_next(&rng) : (u8)alphabet[rng_below(&rng, sizeof(alphabet) - 1)];
		enum gdb_wish wish = gdb_feed(&gdb, byte);

		if (wish == GDB_WISH_STOP || wish == GDB_WISH_RUN)
			assert_int_equal(gdb_stopped(&gdb, &stop), GDB_WISH_NOTHING);
		if (said_length > sizeof(said) / 2)
			said_length = 0;
	}
	begin(NULL);
	attach();
}

/* --- GDB itself ------------------------------------------------------------------------------------------------ */
static int terminal;

static int terminal_get(void *context)
{
	u8 byte;

	return read(terminal, &byte, 1) == 1 ? byte : -1;
}

static void terminal_put(void *context, u8 byte)
{
	while (write(terminal, &byte, 1) != 1)
		poll(&(struct pollfd){terminal, POLLOUT, 0}, 1, 100);
}

static const struct gdb_port pseudo = {NULL, terminal_get, terminal_put};

static int open_terminal(char *name, size_t size)
{
	struct termios t;
	int master = posix_openpt(O_RDWR | O_NOCTTY), slave;

	assert_true(master >= 0 && !grantpt(master) && !unlockpt(master) && !ptsname_r(master, name, size));
	slave = open(name, O_RDWR | O_NOCTTY);
	assert_true(slave >= 0 && !tcgetattr(slave, &t));
	cfmakeraw(&t);
	assert_int_equal(tcsetattr(slave, TCSANOW, &t), 0);
	assert_int_equal(fcntl(master, F_SETFL, O_NONBLOCK), 0);
	terminal = master;
	return slave; /* kept open: a terminal that nobody has open hangs up */
}

static pid_t start_gdb(const char *script, int output)
{
	char log[] = "/dev/null";
	pid_t child = fork();

	if (child)
		return child;
	dup2(open(log, O_RDONLY), 0);
	dup2(output, 1);
	dup2(output, 2);
	unsetenv("LD_PRELOAD");
	execlp("gdb", "gdb", "-nx", "-q", "-batch", "-x", script, (char *)NULL);
	_exit(127);
}

/* The stub's side, until GDB has ended. */
static int serve(pid_t child)
{
	struct gdb_stop stop = {0};
	bool runs = true;
	int status;

	for (u32 idle = 0; idle < 60000; idle++) {
		enum gdb_wish wish = gdb_poll(&gdb);
		bool stopped = wish == GDB_WISH_STOP;

		if (stopped)
			stop = (struct gdb_stop){.reason = GDB_ASKED};
		if (wish == GDB_WISH_RUN || wish == GDB_WISH_DETACH)
			runs = true;
		if (wish == GDB_WISH_NOTHING && runs && gdb.attached)
			stopped = machine_run(&gdb, &stop, 100);
		if (stopped)
			runs = gdb_stopped(&gdb, &stop) == GDB_WISH_RUN;
		if (waitpid(child, &status, WNOHANG) == child)
			return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
		if (wish == GDB_WISH_NOTHING)
			poll(&(struct pollfd){terminal, POLLIN, 0}, 1, 2);
		else
			idle = 0;
	}
	return -2;
}

static const char script[] = "set pagination off\n"
			     "set tcp connect-timeout 60\n"
			     "set remotetimeout 30\n"
			     "target remote %s\n"
			     "echo begun\\n\n"
			     "info threads\n"
			     "print/x $rip\n"
			     "print/x $gs_base\n"
			     "print $cr0\n"
			     "print/x $efer\n"
			     "print/x $cr8\n"
			     "set $rbx = 0x1234\n"
			     "print/x $rbx\n"
			     "hbreak *0x100010\n"
			     "continue\n"
			     "print/x $rip\n"
			     "delete\n"
			     "break *0x100020\n"
			     "continue\n"
			     "print/x $rip\n"
			     "delete\n"
			     "stepi 3\n"
			     "print/x $rip\n"
			     "x/2i 0x10003f\n"
			     "watch *(char *)0x102000\n"
			     "continue\n"
			     "set {int}0x102100 = 0x11223344\n"
			     "x/wx 0x102100\n"
			     "thread 2\n"
			     "print/x $rsp\n"
			     "monitor hello\n"
			     "delete\n"
			     "detach\n";

static const char *const expected[] = {
	"begun\n",
	"Thread 1 (CPU 0 of the test)",
	"Thread 2 (CPU 1 of the test)",
	"$1 = 0x100000\n",
	"$2 = 0x101d\n",
	"$3 = [ PE MP ET NE WP PG ]\n",
	"$5 = <unavailable>\n",
	"$6 = 0x1234\n",
	"$7 = 0x100010\n",
	"$8 = 0x100020\n",
	"$9 = 0x100023\n",
	"stos",
	"Hardware watchpoint 3: *(char *)0x102000",
	"Old value = -112",
	"0x102100:\t0x11223344\n",
	"[Switching to thread 2",
	"$10 = 0x103400\n",
	"heard hello\n",
	"detached]\n",
};

static void a_session_with_gdb_itself(void **state)
{
	char name[64], path[] = "/tmp/test_gdb_XXXXXX", *at;
	static char text[65536];
	int slave = open_terminal(name, sizeof(name)), file = mkstemp(path), output[2], status;
	FILE *out = fdopen(file, "w");
	size_t length = 0;
	ssize_t n;
	pid_t child;

	gdb_init(&gdb, &target, NULL, &pseudo);
	fprintf(out, script, name);
	fclose(out);
	assert_int_equal(pipe(output), 0); /* all that GDB says fits into it */
	child = start_gdb(path, output[1]);
	close(output[1]);
	status = serve(child);
	while ((n = read(output[0], text + length, sizeof(text) - 1 - length)) > 0)
		length += (size_t)n;
	unlink(path);
	close(output[0]);
	close(slave);
	close(terminal);
	at = text;
	for (u32 i = 0; i < ARRAY_SIZE(expected); i++) {
		char *found = strstr(at, expected[i]);

		if (!found) {
			fprintf(stderr, "%s\n", text);
			fail_msg("GDB did not say \"%s\" there", expected[i]);
			return;
		}
		at = found;
	}
	assert_true(!status);
	assert_false(gdb.attached);
	for (u32 i = 0; i < POINTS; i++)
		assert_false(machine.point[i].on);
}

#define TEST(f) cmocka_unit_test_setup(f, begin)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_first_packet_stops_the_guest_and_noise_does_not),
		TEST(registers_are_read_and_written_by_number_and_all_at_once),
		TEST(memory_is_read_to_its_end_and_written_whole_or_not),
		TEST(points_are_put_and_taken_away_and_go_with_the_debugger),
		TEST(the_guest_goes_on_as_each_thread_is_told),
		TEST(a_step_goes_on_inside_of_its_range),
		TEST(a_stop_tells_its_breakpoint_or_the_address_watched),
		TEST(threads_are_the_processors_that_the_guest_has_started),
		TEST(a_description_is_the_same_in_pieces_of_any_size),
		TEST(a_narrow_description_has_the_narrow_registers),
		TEST(monitor_commands_print_and_end_with_ok),
		TEST(a_packet_sent_again_is_not_carried_out_again),
		TEST(a_packet_that_is_too_long_is_refused),
		TEST(a_trusted_line_is_trusted_until_another_debugger_begins),
		TEST(a_line_that_loses_and_garbles_bytes_loses_no_packet),
		TEST(any_bytes_at_all_leave_the_stub_sane),
		TEST(a_session_with_gdb_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
