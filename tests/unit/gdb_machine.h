/* SPDX-License-Identifier: BSD-2-Clause */
/* A machine that GDB can debug (debug/gdb_target.h): memory of NOP and STOSB, two processors. Included by one program. */
#ifndef TESTS_GDB_MACHINE_H
#define TESTS_GDB_MACHINE_H

#include <stdio.h>
#include <string.h>

#include "debug/gdb.h"

#define BASE 0x100000u
#define SIZE 0x4000u
#define CPUS 2u
#define POINTS 8u

static struct machine {
	u8 memory[SIZE];
	u64 registers[CPUS][GDB_REGISTERS];
	struct point {
		bool on;
		enum gdb_point type;
		u64 address;
		u32 length;
	} point[POINTS];
	u32 bits, started;
	u64 refused; /* a value that no register takes */
	u32 executed;
} machine;

static u32 machine_cpus(void *context)
{
	return CPUS;
}

static bool machine_started(void *context, u32 cpu)
{
	return machine.started >> cpu & 1;
}

static void machine_describe(void *context, u32 cpu, char *text, u32 size)
{
	snprintf(text, size, "CPU %u of the test", cpu);
}

static u32 machine_bits(void *context, u32 cpu)
{
	return machine.bits;
}

static int machine_read_register(void *context, u32 cpu, enum gdb_register which, u64 *value)
{
	if (which == GDB_CR8)
		return -ENOENT;
	*value = machine.registers[cpu][which];
	return 0;
}

static int machine_write_register(void *context, u32 cpu, enum gdb_register which, u64 value)
{
	if (which == GDB_CR8)
		return -ENOENT;
	if (machine.refused && value == machine.refused)
		return -EINVAL;
	machine.registers[cpu][which] = value;
	return 0;
}

static int machine_read(void *context, u32 cpu, u64 address, u8 *bytes, u32 count)
{
	if (address < BASE || address >= BASE + SIZE)
		return -EFAULT;
	if (count > BASE + SIZE - address)
		count = (u32)(BASE + SIZE - address);
	memcpy(bytes, machine.memory + (address - BASE), count);
	return (int)count;
}

static int machine_write(void *context, u32 cpu, u64 address, const u8 *bytes, u32 count)
{
	if (address < BASE || address > BASE + SIZE || count > BASE + SIZE - address)
		return -EFAULT;
	memcpy(machine.memory + (address - BASE), bytes, count);
	return 0;
}

static struct point *find_point(enum gdb_point type, u64 address)
{
	for (u32 i = 0; i < POINTS; i++)
		if (machine.point[i].on && machine.point[i].type == type && machine.point[i].address == address)
			return &machine.point[i];
	return NULL;
}

static int machine_insert(void *context, enum gdb_point type, u64 address, u32 length)
{
	if (type == GDB_READ)
		return -ENOSYS;
	if (find_point(type, address))
		return 0;
	for (u32 i = 0; i < POINTS; i++) {
		if (machine.point[i].on)
			continue;
		machine.point[i] = (struct point){true, type, address, length};
		return 0;
	}
	return -ENOSPC;
}

static int machine_remove(void *context, enum gdb_point type, u64 address, u32 length)
{
	struct point *p = find_point(type, address);

	if (p)
		p->on = false;
	return 0;
}

static void machine_remove_all(void *context)
{
	memset(machine.point, 0, sizeof(machine.point));
}

static void machine_command(void *context, u32 cpu, const char *text, void (*print)(void *to, const char *piece),
			    void *to)
{
	char line[64];

	if (!strcmp(text, "long")) {
		for (u32 i = 0; i < 200; i++) {
			snprintf(line, sizeof(line), "line %u of two hundred\n", i);
			print(to, line);
		}
		return;
	}
	snprintf(line, sizeof(line), "heard %s\n", text);
	print(to, line);
}

static const struct gdb_target target = {
	machine_cpus,          machine_started,        machine_describe,   machine_bits,
	machine_read_register, machine_write_register, machine_read,       machine_write,
	machine_insert,        machine_remove,         machine_remove_all, machine_command,
};

static void machine_reset(void)
{
	memset(&machine, 0, sizeof(machine));
	memset(machine.memory, 0x90, SIZE);
	machine.bits = 64;
	machine.started = 3;
	for (u32 cpu = 0; cpu < CPUS; cpu++) {
		for (u32 i = 0; i < GDB_REGISTERS; i++)
			machine.registers[cpu][i] = 0x1000u * (cpu + 1) + i;
		machine.registers[cpu][GDB_RIP] = BASE + cpu * 0x1000u;
		machine.registers[cpu][GDB_RSP] = BASE + 0x3000 + cpu * 0x400u;
		machine.registers[cpu][GDB_RFLAGS] = 0x202;
		machine.registers[cpu][GDB_CR0] = 0x80010033;
	}
	machine.registers[0][GDB_RDI] = BASE + 0x2000;
	machine.memory[0x40] = 0xaa; /* STOSB */
}

/* One instruction. True: *stop says why the CPU stops behind it. */
static bool execute(u32 cpu, struct gdb_stop *stop)
{
	u64 *r = machine.registers[cpu], rip = r[GDB_RIP];

	machine.executed++;
	r[GDB_RIP] = rip + 1 < BASE + SIZE ? rip + 1 : BASE;
	if (rip - BASE >= SIZE || machine.memory[rip - BASE] != 0xaa)
		return false;
	machine.memory[(r[GDB_RDI]++ - BASE) % SIZE] = (u8)r[GDB_RAX];
	for (u32 i = 0; i < POINTS; i++) {
		const struct point *p = &machine.point[i];

		if (p->on && p->type >= GDB_WRITE && r[GDB_RDI] - 1 - p->address < p->length) {
			*stop = (struct gdb_stop){cpu, GDB_WATCHED, (u8)p->type, p->address};
			return true;
		}
	}
	return false;
}

/* Lets the CPUs go on, a bounded number of instructions: true if one has stopped. */
static bool machine_run(const struct gdb *gdb, struct gdb_stop *stop, u32 instructions)
{
	for (u32 n = 0; n < instructions; n++) {
		for (u32 cpu = 0; cpu < CPUS; cpu++) {
			enum gdb_action action = gdb_action(gdb, cpu);
			u64 rip;

			if (action == GDB_STAY || !machine_started(NULL, cpu))
				continue;
			if (execute(cpu, stop))
				return true;
			rip = machine.registers[cpu][GDB_RIP];
			*stop = (struct gdb_stop){.cpu = cpu, .reason = GDB_BROKE, .address = rip};
			for (u32 type = GDB_SOFTWARE; type <= GDB_HARDWARE; type++) {
				stop->point = (u8)type;
				if (find_point((enum gdb_point)type, rip))
					return true;
			}
			stop->reason = GDB_STEPPED;
			if (action == GDB_STEP)
				return true;
		}
	}
	return false;
}

#endif
