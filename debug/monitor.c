/* SPDX-License-Identifier: BSD-2-Clause */
/* See monitor.h. What is remembered between two sessions is here: the processor that was chosen, the lines typed, steps left. */
#include "debug/monitor.h"

#include "arch/x86/cpu.h"
#include "arch/x86/guest/hw.h"
#include "debug/commands.h"
#include "debug/console.h"
#include "debug/line.h"
#include "debug/names.h"
#include "debug/port.h"
#include "debug/show.h"
#include "lib/string.h"

static struct monitor monitor;
static struct line line = {.put = port_put};

static u8 wait_byte(void)
{
	int byte;

	while ((byte = port_get()) < 0) {
		if (hw_stop_asked())
			hw_stop();
		cpu_relax();
	}
	return (u8)byte;
}

/* --- completion --------------------------------------------------------------------------- */

/* As many characters as all commands that begin so have in common. */
static u32 common_length(const char *begin, u32 length)
{
	const char *first = command_complete(begin, length, 0), *other;
	u32 common = (u32)strlen(first);

	for (u32 n = 1; (other = command_complete(begin, length, n)); n++) {
		u32 same = 0;

		while (same < common && other[same] == first[same])
			same++;
		common = same;
	}
	return common;
}

static void complete(void)
{
	u32 length = line.cursor, common;
	const char *name = command_complete(line.text, length, 0);

	if (!name || memchr(line.text, ' ', length))
		return;
	common = common_length(line.text, length);
	if (common > length || !command_complete(line.text, length, 1)) {
		line_insert(&line, name + length, common - length);
		if (!command_complete(line.text, line.cursor, 1))
			line_insert(&line, " ", 1);
		return;
	}
	console_begin();
	for (u32 n = 0; (name = command_complete(line.text, length, n)); n++)
		console_printf("%s%s", n ? " " : "\n", name);
	console_printf("\n");
	line_draw(&line, MONITOR_PROMPT);
}

/* --- lines ---------------------------------------------------------------------------------- */

static void run(char *text)
{
	const struct command *command;
	struct words words;
	bool many;

	console_begin();
	if (!words_split(text, &words)) {
		console_printf("too many words\n");
		return;
	}
	if (!words.count)
		return;
	command = command_find(words.word[0], (u32)strlen(words.word[0]), &many);
	if (command)
		command->run(&monitor, &words);
	else
		console_printf("%s %s; see help\n",
			       many ? "more than one command begins with" : "no command:", words.word[0]);
}

static void read_line(char out[LINE_SIZE])
{
	enum line_event event;

	line_begin(&line);
	line_draw(&line, MONITOR_PROMPT);
	while ((event = line_byte(&line, wait_byte())) != LINE_DONE) {
		if (event == LINE_COMPLETE)
			complete();
		else if (event == LINE_CANCELLED)
			line_draw(&line, MONITOR_PROMPT);
	}
	str_copy(out, line.text, LINE_SIZE);
}

static u8 no_byte(void)
{
	return 'q';
}

void monitor_command(struct vcpu *vcpu, char *text, void (*put)(char c))
{
	u32 page = console_set_page(0);

	console_init(put, no_byte);
	monitor.cpu = vcpu;
	monitor.next = MONITOR_STAY;
	names_refresh(vcpu);
	run(text);
	if (monitor.next != MONITOR_STAY)
		console_printf("this the debugger does that holds the session\n");
	monitor.next = MONITOR_STAY;
	console_set_page(page);
}

/* --- sessions --------------------------------------------------------------------------------- */

static const char *reason_text(const struct stop_event *event)
{
	switch (event->reason) {
	case STOP_STEPPED: return "stepped";
	case STOP_EXCEPTION: return event->vector == 3 ? "breakpoint (#BP)" : "debug exception (#DB)";
	case STOP_DIED:
	case STOP_SHUTDOWN: return event->text;
	default: return "stopped";
	}
}

static void greet(const struct stop_event *event)
{
	console_begin();
	console_printf("%sCPU %u: %s\n", event->reason == STOP_STEPPED ? "" : "\n", event->vcpu->id,
		       reason_text(event));
	names_refresh(event->vcpu);
	show_where(event->vcpu);
}

/* The byte that has stopped the guest is no part of a command. */
static void drop_break_byte(const struct stop_event *event)
{
	if (event->reason == STOP_BREAK && !port_is_shared())
		port_get();
}

static enum stop_action leave(struct vcpu **step)
{
	if (monitor.next == MONITOR_STEP && stop_is_running(monitor.cpu)) {
		monitor.steps--;
		*step = monitor.cpu;
		return STOP_STEP;
	}
	monitor.steps = 0;
	console_begin();
	console_printf("continued\n");
	port_listen();
	return STOP_CONTINUE;
}

enum stop_action monitor_session(const struct stop_event *event, struct vcpu **step)
{
	char text[LINE_SIZE];

	console_init(port_put, wait_byte);
	port_attend();
	monitor.dead = event->reason >= STOP_DIED;
	monitor.cpu = event->vcpu;
	drop_break_byte(event);
	if (event->reason != STOP_STEPPED)
		monitor.steps = 0;
	greet(event);
	monitor.next = monitor.steps ? MONITOR_STEP : MONITOR_STAY;
	while (monitor.next == MONITOR_STAY) {
		read_line(text);
		run(text);
	}
	return leave(step);
}
