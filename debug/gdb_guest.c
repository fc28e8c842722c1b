/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See gdb_guest.h. A byte at the port stops the guest; only when it was the beginning of a packet, or Ctrl-C, does GDB hear of it.
 * INT3s are in memory while the guest runs alone, so that GDB and the monitor find the guest's own code.
 */
#include "debug/gdb_guest.h"

#include "arch/x86/clock.h"
#include "arch/x86/cpu.h"
#include "arch/x86/guest/debug_registers.h"
#include "arch/x86/guest/hw.h"
#include "arch/x86/guest/processors.h"
#include "arch/x86/guest/state.h"
#include "debug/gdb.h"
#include "debug/memory.h"
#include "debug/points.h"
#include "debug/port.h"
#include "debug/target.h"
#include "lib/printf.h"
#include "lib/string.h"

/* What has begun to come comes on within this time, or it was noise. */
#define SILENCE_US 300000u

static struct {
	bool on, always;
	struct gdb gdb;
	struct points points;
	gdb_guest_command_fn *command;
	u32 generation; /* of what is armed */
	u32 armed;      /* points in registers */
	struct debug_point in_register[DEBUG_POINTS_MAX];
	u8 which[DEBUG_POINTS_MAX];
	bool in_memory;           /* some are INT3s */
	u32 seen[PROCESSORS_MAX]; /* generations, by processor */
	u8 hit[PROCESSORS_MAX];   /* the point that it has met */
	struct vcpu *session;     /* on whose processor it runs */
	u32 cached;               /* whose registers state has; PROCESSORS_MAX: none */
	struct target_state state;
} guest;

static const struct point *hit_of(const struct vcpu *vcpu)
{
	return &guest.points.point[guest.hit[vcpu->id]];
}

/* --- registers ------------------------------------------------------------------------------------- */
static const u8 target_of[GDB_REGISTERS] = {
	[GDB_RAX] = TARGET_RAX,         [GDB_RCX] = TARGET_RCX,         [GDB_RDX] = TARGET_RDX,
	[GDB_RBX] = TARGET_RBX,         [GDB_RSP] = TARGET_RSP,         [GDB_RBP] = TARGET_RBP,
	[GDB_RSI] = TARGET_RSI,         [GDB_RDI] = TARGET_RDI,         [GDB_R8] = TARGET_R8,
	[GDB_R9] = TARGET_R9,           [GDB_R10] = TARGET_R10,         [GDB_R11] = TARGET_R11,
	[GDB_R12] = TARGET_R12,         [GDB_R13] = TARGET_R13,         [GDB_R14] = TARGET_R14,
	[GDB_R15] = TARGET_R15,         [GDB_RIP] = TARGET_RIP,         [GDB_RFLAGS] = TARGET_RFLAGS,
	[GDB_CS] = TARGET_CS,           [GDB_SS] = TARGET_SS,           [GDB_DS] = TARGET_DS,
	[GDB_ES] = TARGET_ES,           [GDB_FS] = TARGET_FS,           [GDB_GS] = TARGET_GS,
	[GDB_FS_BASE] = TARGET_FS_BASE, [GDB_GS_BASE] = TARGET_GS_BASE, [GDB_K_GS_BASE] = TARGET_KERNEL_GS_BASE,
	[GDB_CR0] = TARGET_CR0,         [GDB_CR2] = TARGET_CR2,         [GDB_CR3] = TARGET_CR3,
	[GDB_CR4] = TARGET_CR4,         [GDB_CR8] = TARGET_CR8,         [GDB_EFER] = TARGET_EFER,
};

static const struct target_state *state_of(u32 cpu)
{
	struct vcpu *vcpu = stop_cpu(cpu);

	if (guest.cached == cpu)
		return &guest.state;
	guest.cached = PROCESSORS_MAX;
	if (!vcpu || target_get(vcpu, &guest.state))
		return NULL;
	guest.cached = cpu;
	return &guest.state;
}

static int read_register(void *context, u32 cpu, enum gdb_register which, u64 *value)
{
	static const u8 segments[] = {SEG_CS, SEG_SS, SEG_DS, SEG_ES};
	const struct target_state *state = state_of(cpu);

	if (!state)
		return -ENOENT;
	if (which >= GDB_CS_BASE && which <= GDB_ES_BASE)
		*value = state->segment[segments[which - GDB_CS_BASE]].base;
	else
		*value = state->reg[target_of[which]];
	return 0;
}

static int write_register(void *context, u32 cpu, enum gdb_register which, u64 value)
{
	struct vcpu *vcpu = stop_cpu(cpu);

	guest.cached = PROCESSORS_MAX;
	if (!vcpu || (which >= GDB_CS_BASE && which <= GDB_ES_BASE))
		return -EINVAL;
	return target_set(vcpu, (enum target_register)target_of[which], value) ? -EINVAL : 0;
}

/* --- processors ---------------------------------------------------------------------------------------- */
static u32 count_cpus(void *context)
{
	u32 n = 0;

	while (n < GDB_CPUS_MAX && stop_cpu(n))
		n++;
	return n ? n : 1;
}

static bool is_started(void *context, u32 cpu)
{
	const struct vcpu *vcpu = stop_cpu(cpu);

	return vcpu && stop_is_running(vcpu);
}

static u32 bits_of(void *context, u32 cpu)
{
	const struct target_state *state = state_of(cpu);

	if (!state || state->reg[TARGET_EFER] & EFER_LMA)
		return 64;
	return state->reg[TARGET_CR0] & CR0_PE && !(state->reg[TARGET_RFLAGS] & RFLAGS_VM) ? 32 : 16;
}

static void describe(void *context, u32 cpu, char *text, u32 size)
{
	const struct target_state *state = state_of(cpu);

	if (state)
		snprintf(text, size, "CPU %u, %u-bit code, CPL %u", cpu, state->code_bits, state->cpl);
}

/* --- memory ------------------------------------------------------------------------------------------------ */
static int read_memory(void *context, u32 cpu, u64 address, u8 *bytes, u32 count)
{
	struct vcpu *vcpu = stop_cpu(cpu);
	u32 n = vcpu ? target_read(vcpu, address, bytes, count) : 0;

	return n ? (int)n : -EFAULT;
}

/* All of it can be read, or nothing is written. */
static int write_memory(void *context, u32 cpu, u64 address, const u8 *bytes, u32 count)
{
	struct vcpu *vcpu = stop_cpu(cpu);
	u8 old[GDB_PACKET_MAX];

	if (!vcpu || count > sizeof(old) || target_read(vcpu, address, old, count) != count)
		return -EFAULT;
	return target_write(vcpu, address, bytes, count) == count ? 0 : -EFAULT;
}

static int translate(void *context, u64 linear, u64 *physical)
{
	gpa_t at;
	int err = target_translate(context, linear, &at);

	*physical = err ? 0 : at.v;
	return err;
}

static int read_byte(void *context, u64 physical, u8 *byte)
{
	return target_read_physical(context, gpa(physical), byte, 1) == 1 ? 0 : -EFAULT;
}

static int write_byte(void *context, u64 physical, u8 byte)
{
	return target_write_physical(context, gpa(physical), &byte, 1) == 1 ? 0 : -EFAULT;
}

static struct points_memory memory_of(struct vcpu *vcpu)
{
	return (struct points_memory){vcpu, translate, read_byte, write_byte};
}

/* --- points --------------------------------------------------------------------------------------------------- */
static void count_registers(struct vcpu *vcpu, void *arg)
{
	u64 dr7 = debug_register_read(vcpu, 7);
	u32 *least = arg, n = 0;

	for (u32 i = 0; i < DEBUG_POINTS_MAX; i++)
		n += !(dr7 >> 2 * i & 3);
	*least = MIN(*least, n);
}

/* That every processor of the guest leaves. */
static u32 registers_left(void)
{
	u32 least = DEBUG_POINTS_MAX;
	struct vcpu *vcpu;

	for (u32 i = 0; (vcpu = stop_cpu(i)); i++)
		if (stop_is_running(vcpu))
			stop_on(vcpu, count_registers, &least);
	return least;
}

static int insert(void *context, enum gdb_point type, u64 address, u32 length)
{
	u32 registers = registers_left();
	struct debug_point out[DEBUG_POINTS_MAX];
	u8 which[DEBUG_POINTS_MAX];
	int err = points_insert(&guest.points, type, address, length, registers);
	gpa_t at;

	if (err || type != GDB_SOFTWARE || points_place(&guest.points, registers, out, which) < registers ||
	    !target_translate(guest.session, address, &at))
		return err;
	points_remove(&guest.points, type, address, length); /* it would be an INT3, and there is no memory for it */
	return -EFAULT;
}

static int remove(void *context, enum gdb_point type, u64 address, u32 length)
{
	points_remove(&guest.points, type, address, length);
	return 0;
}

static void remove_all(void *context)
{
	guest.points.count = 0;
}

/* On its processor, in the hypervisor. */
static void meet(struct vcpu *vcpu, u32 points)
{
	guest.hit[vcpu->id] = guest.which[points ? __builtin_ctz(points) : 0];
	stop_request(vcpu, STOP_EXCEPTION);
}

static void arm_cpu(struct vcpu *vcpu, void *arg)
{
	bool any = guest.armed;

	guest.seen[vcpu->id] = guest.generation;
	if (debug_registers_arm(vcpu, guest.in_register, guest.armed, meet))
		log_warn("gdb: CPU %u has no debug register left for a breakpoint\n", vcpu->id);
	stop_intercept(vcpu, INTERCEPT_DB | INTERCEPT_DEBUG_REGISTERS, any);
	stop_intercept(vcpu, INTERCEPT_BP, guest.in_memory);
}

/* Of a processor that steps alone the others stay as they are: they are armed before they go on. */
static void arm(struct vcpu *alone)
{
	struct points_memory memory = memory_of(guest.session);
	struct vcpu *vcpu;
	u32 failed;

	guest.armed = points_place(&guest.points, registers_left(), guest.in_register, guest.which);
	guest.in_memory = false;
	for (u32 i = 0; i < guest.points.count; i++)
		guest.in_memory |= guest.points.point[i].used && guest.points.point[i].place == POINT_MEMORY;
	failed = points_patch(&guest.points, &memory);
	if (failed)
		log_warn("gdb: %u breakpoints are where no memory is mapped\n", failed);
	guest.generation++;
	for (u32 i = 0; (vcpu = stop_cpu(i)); i++)
		if (stop_is_running(vcpu) && (!alone || vcpu == alone))
			stop_on(vcpu, arm_cpu, NULL);
}

static void lift(void)
{
	struct points_memory memory = memory_of(guest.session);

	points_lift(&guest.points, &memory);
}

void gdb_guest_look(struct vcpu *vcpu)
{
	if (guest.seen[vcpu->id] != guest.generation)
		arm_cpu(vcpu, NULL);
}

static bool filter_int3(struct vcpu *vcpu)
{
	struct segment cs;
	const struct point *point;
	u64 linear;
	gpa_t at = gpa(~0ull);

	vcpu->vendor->get_segment(vcpu, SEG_CS, &cs);
	linear = in_long_mode(vcpu) && cs.attributes & SEG_ATTR_L ? vcpu->rip : (u32)(cs.base + vcpu->rip);
	if (memory_translate(vcpu, linear, &at.v))
		at = gpa(~0ull);
	point = points_find_int3(&guest.points, linear, at.v);
	if (!point)
		return false;
	guest.hit[vcpu->id] = (u8)(point - guest.points.point);
	stop_request(vcpu, STOP_EXCEPTION);
	return true;
}

bool gdb_guest_filter(struct vcpu *vcpu, u8 vector)
{
	u64 causes, guests;

	if (vector == VEC_BP)
		return filter_int3(vcpu);
	if (!guest.armed)
		return false;
	causes = debug_registers_causes(vcpu);
	guests = debug_registers_sort(vcpu, causes);
	if (!guests)
		return causes;
	vcpu->dr6_set = guests; /* what is queued with the #DB */
	return false;
}

/* --- monitor commands ---------------------------------------------------------------------------------------------- */
static struct {
	void (*print)(void *to, const char *piece);
	void *to;
	u32 length;
	char text[256];
} output;

static void flush_output(void)
{
	output.text[output.length] = 0;
	if (output.length)
		output.print(output.to, output.text);
	output.length = 0;
}

static void put_output(char c)
{
	if (output.length == sizeof(output.text) - 1)
		flush_output();
	output.text[output.length++] = c;
}

static void run_command(void *context, u32 cpu, const char *text, void (*print)(void *to, const char *piece),
			void *to)
{
	char line[256];

	output.print = print;
	output.to = to;
	str_copy(line, text, sizeof(line));
	if (stop_cpu(cpu))
		guest.command(stop_cpu(cpu), line, put_output);
	flush_output();
	guest.cached = PROCESSORS_MAX;
}

/* --- the port ------------------------------------------------------------------------------------------------------ */
static int get_byte(void *context)
{
	return port_get();
}

static void put_byte(void *context, u8 byte)
{
	port_put_byte(byte);
}

static const struct gdb_port port = {NULL, get_byte, put_byte};

static const struct gdb_target target = {
	.cpus = count_cpus,
	.is_started = is_started,
	.describe = describe,
	.bits = bits_of,
	.read_register = read_register,
	.write_register = write_register,
	.read_memory = read_memory,
	.write_memory = write_memory,
	.insert = insert,
	.remove = remove,
	.remove_all = remove_all,
	.command = run_command,
};

static void relax(void)
{
	if (hw_stop_asked())
		hw_stop();
	cpu_relax();
}

/* The guest runs, and a byte has come. What it is shows within a short time. */
static enum gdb_wish listen(void)
{
	u64 end = clock_after(SILENCE_US);
	enum gdb_wish wish = GDB_WISH_NOTHING;

	while (wish == GDB_WISH_NOTHING) {
		int byte = port_get();

		if (byte >= 0) {
			wish = gdb_feed(&guest.gdb, (u8)byte);
			end = clock_after(SILENCE_US);
		} else if (!gdb_is_inside(&guest.gdb) || clock_passed(end)) {
			break;
		}
		relax();
	}
	return wish;
}

/* --- sessions --------------------------------------------------------------------------------------------------------- */
static struct gdb_stop stop_of(const struct stop_event *event)
{
	struct gdb_stop stop = {.cpu = event->vcpu->id, .reason = GDB_ASKED};
	const struct point *point = hit_of(event->vcpu);

	switch (event->reason) {
	case STOP_STEPPED: stop.reason = GDB_STEPPED; break;
	case STOP_DIED:
	case STOP_SHUTDOWN: stop.reason = GDB_DIED; break;
	case STOP_EXCEPTION:
		stop.reason = point->type <= GDB_HARDWARE ? GDB_BROKE : GDB_WATCHED;
		stop.point = point->type;
		stop.address = point->whole;
		break;
	default: break;
	}
	return stop;
}

static struct vcpu *find_stepping(void)
{
	struct vcpu *vcpu;

	for (u32 i = 0; (vcpu = stop_cpu(i)); i++)
		if (gdb_action(&guest.gdb, i) == GDB_STEP && stop_is_running(vcpu))
			return vcpu;
	return NULL;
}

static enum stop_action go_on(const struct stop_event *event, struct vcpu **step)
{
	struct vcpu *stepping = event->reason >= STOP_DIED ? NULL : find_stepping();

	if (!gdb_is_attached(&guest.gdb))
		guest.on = guest.always;
	arm(stepping);
	guest.session = NULL;
	if (stepping) {
		*step = stepping;
		return STOP_STEP;
	}
	port_listen();
	return STOP_CONTINUE;
}

enum stop_action gdb_guest_session(const struct stop_event *event, struct vcpu **step)
{
	enum gdb_wish wish = GDB_WISH_NOTHING;
	struct gdb_stop stop;

	guest.session = event->vcpu;
	guest.cached = PROCESSORS_MAX;
	port_attend();
	lift();
	stop = stop_of(event);
	if (event->reason == STOP_BREAK)
		wish = listen();
	if (wish != GDB_WISH_STOP &&
	    (event->reason == STOP_BREAK || (event->reason < STOP_DIED && !gdb_is_attached(&guest.gdb))))
		return go_on(event, step); /* noise, or nobody is there */
	wish = gdb_stopped(&guest.gdb, &stop);
	while (wish == GDB_WISH_NOTHING) {
		wish = gdb_poll(&guest.gdb);
		relax();
	}
	return go_on(event, step);
}

void gdb_guest_init(bool always, gdb_guest_command_fn *command)
{
	guest.on = guest.always = always;
	guest.command = command;
	gdb_init(&guest.gdb, &target, NULL, &port);
}

void gdb_guest_begin(void)
{
	guest.on = true;
}

bool gdb_guest_is_on(void)
{
	return guest.on;
}

bool gdb_guest_is_attached(void)
{
	return guest.on && gdb_is_attached(&guest.gdb);
}
