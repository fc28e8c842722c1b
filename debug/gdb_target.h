/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What GDB's protocol (gdb.h) asks of a guest, as a table of functions: the hypervisor's guest, or a test's. CPUs are
 * numbered from 0; to GDB they are threads, numbered from 1. All are called only while every CPU of the guest is stopped.
 */
#ifndef DEBUG_GDB_TARGET_H
#define DEBUG_GDB_TARGET_H

#include "lib/types.h"

/* Registers by the names that GDB and QEMU give them; X(id, name). General registers in the hardware's order. */
#define GDB_GENERAL(X) \
	X(RAX, "rax") \
	X(RCX, "rcx") \
	X(RDX, "rdx") \
	X(RBX, "rbx") \
	X(RSP, "rsp") \
	X(RBP, "rbp") \
	X(RSI, "rsi") \
	X(RDI, "rdi") \
	X(R8, "r8") \
	X(R9, "r9") \
	X(R10, "r10") \
	X(R11, "r11") \
	X(R12, "r12") \
	X(R13, "r13") \
	X(R14, "r14") \
	X(R15, "r15") \
	X(RIP, "rip") \
	X(RFLAGS, "eflags") \
	X(CS, "cs") \
	X(SS, "ss") \
	X(DS, "ds") \
	X(ES, "es") \
	X(FS, "fs") \
	X(GS, "gs")
#define GDB_SYSTEM(X) \
	X(CS_BASE, "cs_base") \
	X(SS_BASE, "ss_base") \
	X(DS_BASE, "ds_base") \
	X(ES_BASE, "es_base") \
	X(FS_BASE, "fs_base") \
	X(GS_BASE, "gs_base") \
	X(K_GS_BASE, "k_gs_base") \
	X(CR0, "cr0") \
	X(CR2, "cr2") \
	X(CR3, "cr3") \
	X(CR4, "cr4") \
	X(CR8, "cr8") \
	X(EFER, "efer")

#define X(id, name) GDB_##id,
enum gdb_register { GDB_GENERAL(X) GDB_SYSTEM(X) GDB_REGISTERS };
#undef X

/* Breakpoints and watchpoints, numbered as packets Z and z number them. */
enum gdb_point { GDB_SOFTWARE, GDB_HARDWARE, GDB_WRITE, GDB_READ, GDB_ACCESS, GDB_POINTS };

/* Why the guest stopped. */
enum gdb_reason {
	GDB_ASKED,   /* by Ctrl-C, or by a debugger that begins */
	GDB_STEPPED, /* the step that was asked for is done */
	GDB_BROKE,   /* at a breakpoint; point says of which kind */
	GDB_WATCHED, /* behind the instruction that accessed address */
	GDB_DIED,    /* the guest cannot go on: shutdown, or what is not virtualised */
};

struct gdb_stop {
	u32 cpu;
	u8 reason; /* enum gdb_reason */
	u8 point;  /* enum gdb_point */
	u64 address;
};

/* What becomes of each CPU when the guest goes on. */
enum gdb_action { GDB_STAY, GDB_CONTINUE, GDB_STEP };

#define GDB_CPUS_MAX 256u

struct gdb_target {
	/* How many CPUs there are, at least 1 and at most GDB_CPUS_MAX, and whether the guest has started this one. */
	u32 (*cpus)(void *context);
	bool (*is_started)(void *context, u32 cpu);
	/* One line for "info threads". */
	void (*describe)(void *context, u32 cpu, char *text, u32 size);
	/* 64: long mode; 32: protected mode; 16: real mode or virtual-8086 mode. */
	u32 (*bits)(void *context, u32 cpu);
	/* 0, or -errno: -ENOENT has no such register, -EINVAL is a value that the processor refuses. */
	int (*read_register)(void *context, u32 cpu, enum gdb_register which, u64 *value);
	int (*write_register)(void *context, u32 cpu, enum gdb_register which, u64 value);
	/*
	 * Memory at a linear address of this CPU, rights aside. Read: how many bytes could be read from the front, or
	 * -EFAULT. Write: 0, or -EFAULT and nothing is written.
	 */
	int (*read_memory)(void *context, u32 cpu, u64 address, u8 *bytes, u32 count);
	int (*write_memory)(void *context, u32 cpu, u64 address, const u8 *bytes, u32 count);
	/*
	 * A point that holds for all CPUs. length: bytes that a watchpoint watches; GDB's kind of a breakpoint. 0, also for one that is there
	 * already; -ENOSYS: no such kind; -ENOSPC; -EINVAL. Removing what is not there is no error.
	 */
	int (*insert)(void *context, enum gdb_point point, u64 address, u32 length);
	int (*remove)(void *context, enum gdb_point point, u64 address, u32 length);
	void (*remove_all)(void *context);
	/* Command "monitor TEXT": calls print with pieces of its output. NULL: there are none. */
	void (*command)(void *context, u32 cpu, const char *text, void (*print)(void *to, const char *piece),
			void *to);
};

#endif
