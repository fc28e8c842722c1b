/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The one structure that boot/ hands to the hypervisor. Fixed-width integers
 * only; both sides are built by different compiler settings, so the layout is
 * asserted. All addresses are host-physical. Everything it points to lies in
 * hypervisor memory (ranges of kind BOOT_MEM_HV_IMAGE or BOOT_MEM_HV_POOL),
 * except the guest's image, which lies in guest RAM.
 */
#ifndef BOOT_BOOT_INFO_H
#define BOOT_BOOT_INFO_H

#include <stddef.h>
#include <stdint.h>

#define BOOT_INFO_MAGIC 0x41524d55u /* "UMRA" */
#define BOOT_INFO_VERSION 7u

/* What a range of physical memory is. */
enum boot_mem_kind {
	BOOT_MEM_USABLE =
		1, /* RAM free after the firmware is left: conventional, boot services, loader */
	BOOT_MEM_FIRMWARE, /* RAM the guest may touch but that is not free: runtime services, ACPI tables and NVS */
	BOOT_MEM_RESERVED, /* reserved by the firmware; passed through to the guest as it is, never allocated */
	BOOT_MEM_MMIO, /* device memory listed in the firmware's map */
	BOOT_MEM_HV_IMAGE, /* the hypervisor's image, stacks, boot_info, first page tables, start-up page, symbols; hidden */
	BOOT_MEM_HV_POOL, /* the hypervisor's pool: metadata and shadow pages; hidden; one range, 2 MiB aligned */
};

struct boot_range {
	uint64_t base;     /* page aligned */
	uint64_t size;     /* bytes, a multiple of 4096 */
	uint32_t kind;     /* enum boot_mem_kind */
	uint32_t efi_type; /* EFI_MEMORY_TYPE it came from */
};

/* The state in which the guest's processor starts. Flat segments, base 0. */
enum boot_guest_mode {
	BOOT_GUEST_LONG64 = 1, /* 64-bit mode, paging on: Linux 64-bit boot protocol */
	BOOT_GUEST_PROTECTED32, /* 32-bit protected mode, paging off: multiboot, Linux 32-bit protocol */
};

struct boot_guest_state {
	uint32_t mode; /* enum boot_guest_mode */
	uint64_t rip, rsp;
	uint64_t rax, rbx, rcx, rdx, rsi, rdi, rbp;
	uint64_t cr3;      /* LONG64: 4-level tables in guest RAM, identity mapped */
	uint64_t gdt_base; /* in guest RAM */
	uint16_t gdt_limit;
	uint16_t cs, ds; /* selectors; ss = es = fs = gs = ds */
	uint16_t reserved2;
};

struct boot_framebuffer {
	uint64_t base, size;    /* size 0: none */
	uint32_t width, height; /* pixels */
	uint32_t pitch;         /* bytes a line */
	uint32_t bgr;           /* 1: blue is the lowest byte of the 32-bit pixel, 0: red is */
};

enum boot_uart_space { BOOT_UART_NONE, BOOT_UART_PORTS, BOOT_UART_MEMORY };

/* The 16550 of the serial log, which stays the guest's as well. */
struct boot_uart {
	uint64_t base;   /* I/O port, or address of the registers */
	uint32_t space;  /* enum boot_uart_space */
	uint32_t stride; /* bytes from a register to the next: 1, 2, 4 or 8 */
	uint32_t width;  /* bytes of an access: 1, 2 or 4; ports: 1 */
	uint32_t baud;   /* 0: as it is */
};

enum boot_monitor { BOOT_MONITOR_OFF, BOOT_MONITOR_PORT, BOOT_MONITOR_SHARED };
enum boot_death { BOOT_DEATH_USUAL, BOOT_DEATH_STOP, BOOT_DEATH_REBOOT, BOOT_DEATH_MONITOR };

/* docs/debugging.md */
struct boot_debug {
	struct boot_uart port; /* BOOT_MONITOR_PORT: the monitor's own, on I/O ports */
	uint32_t monitor;      /* enum boot_monitor */
	uint32_t escape;       /* BOOT_MONITOR_SHARED: the byte, 1 to 26 */
	uint32_t death;        /* enum boot_death */
	uint32_t gdb;          /* BOOT_MONITOR_PORT: it is GDB's port, not the monitor's */
	uint32_t panic;        /* a panic of the guest's kernel is its death */
	uint32_t reserved;
};

#define BOOT_CPUID_HIDE_MAX 256
#define BOOT_LOAD_OPTIONS_MAX 512

enum boot_flush_check { BOOT_FLUSH_CHECK_OFF, BOOT_FLUSH_CHECK_ON, BOOT_FLUSH_CHECK_STRICT };

/* The hypervisor's own options, from the key "umbra" of the boot entry. */
struct boot_options {
	uint32_t cpus;           /* the most processors for the guest; 0: all */
	uint32_t log_level;      /* enum log_level */
	uint32_t audit_interval; /* debug: run shadow_audit() every so many exits; 0: never */
	uint32_t sipi_protected; /* for tests: a start-up message begins in 32-bit protected mode */
	uint64_t pool_bytes;     /* 0: default, docs/memory.md */
	uint64_t shadow_bytes;   /* limit on memory in shadow pages; 0: whatever the pool holds */
	uint64_t trace_bytes;    /* of each processor's ring of trace records; 0: no trace */
	uint32_t trace_kinds;    /* 1 << enum trace_kind (lib/trace_record.h): on from the start */
	uint32_t trace_changes;  /* the guest may change that */
	uint32_t flush_check;    /* enum boot_flush_check */
	uint32_t unused;
	struct boot_debug debug;
	char cpuid_hide[BOOT_CPUID_HIDE_MAX]; /* "-pku,-la57", NUL terminated, "" if none */
	char raw[BOOT_LOAD_OPTIONS_MAX];      /* the line as written, for the log */
};

struct boot_info {
	uint32_t magic, version;
	uint32_t size; /* sizeof(struct boot_info) */
	uint32_t map_count;
	uint64_t map; /* hpa of struct boot_range[map_count], sorted, not overlapping */
	uint64_t image_base,
		image_size; /* where the core ELF's load segments start; physically contiguous */
	uint64_t reserve_base, reserve_size; /* the whole HV_IMAGE range (image, stacks, scratch) */
	uint64_t heap_base,
		heap_size; /* free pages of the HV_IMAGE range, for what must lie below 4 GiB */
	uint64_t pool_base, pool_size;
	uint64_t startup_page; /* one page below 1 MiB where other processors start; 0: none was free */
	uint64_t symbols_base,
		symbols_size; /* struct symbol_map (lib/symbol_map.h) of the guest's kernel; size 0: none */
	uint64_t acpi_rsdp; /* 0: none */
	uint64_t efi_system_table;
	uint64_t tsc_at_entry;
	struct boot_framebuffer framebuffer;
	struct boot_uart uart;
	struct boot_options options;
	struct boot_guest_state guest;
};

_Static_assert(sizeof(struct boot_range) == 24, "layout shared with boot/");
_Static_assert(sizeof(struct boot_guest_state) == 104, "layout shared with boot/");
_Static_assert(sizeof(struct boot_framebuffer) == 32, "layout shared with boot/");
_Static_assert(sizeof(struct boot_uart) == 24, "layout shared with boot/");
_Static_assert(sizeof(struct boot_debug) == 48, "layout shared with boot/");
_Static_assert(sizeof(struct boot_options) == 872, "layout shared with boot/");
_Static_assert(offsetof(struct boot_info, guest) == 1064, "layout shared with boot/");
_Static_assert(sizeof(struct boot_info) == 1168, "layout shared with boot/");

/*
 * How boot/ enters the core (the symbol core_entry of the core's ELF), with
 * interrupts off, in 64-bit mode with 4-level paging on tables inside the
 * HV_IMAGE range, NXE and WP as the firmware left them:
 *   rdi  hpa of struct boot_info
 *   PML4 slot 511  the core's link address CORE_VIRT_BASE -> image_base
 *   PML4 slot 256  DIRECT_MAP_BASE -> physical memory from 0: each GiB below 4 GiB, with RAM, with the framebuffer or the UART
 *   PML4 slot 0    identity, the same extent
 * The core builds its own page tables first thing (mm/hostmap).
 */
#define CORE_VIRT_BASE 0xffffffff80000000ull
#define DIRECT_MAP_BASE 0xffff800000000000ull
/* The slots before that of CORE_VIRT_BASE: RAM above it cannot be reached. */
#define DIRECT_MAP_BYTES (255ull << 39)
/* For the core's memory_alloc(): control blocks, permission maps, guest state; and the root of its page tables. */
#define BOOT_HEAP_BYTES (97ull << 12)

#endif
