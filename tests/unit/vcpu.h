/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Virtual CPUs that run at the same time over one shadow engine: each is a thread of its own (test_shadow_threads), or one of
 * a scheduler's (test_shadow_orders). machine.h has the same hardware for one at a time, in every format and with
 * an oracle of all history; here is what runs in parallel: 4-level tables, guest frames that are host frames.
 *
 *   access -> TLB -> walk of the shadow, as hardware does it -> #PF exit -> shadow_handle_fault() -> again, or inject
 *
 * An instruction is one access: a kick, and the guest's own interrupts, are looked at between two. All memory that
 * CPUs share is read and written by atomic operations, as hardware does it; what the engine reads or writes otherwise
 * without its lock is then a race for ThreadSanitizer.
 */
#ifndef TESTS_VCPU_H
#define TESTS_VCPU_H

#include "mm/shadow.h"
#include "mm/witness/model_walk.h"
#include "tests/unit/rng.h"

#define VM_CPUS_MAX 4u
#define VM_RAM 0x400000ull /* guest RAM: from 0, at the same host address */
#define VM_FRAMES (VM_RAM >> 12)
#define VM_ONES 0x400000ull /* hidden from here on: the page of all-ones, */
#define VM_LOW 0x401000ull  /* the roots of PAE format, */
#define VM_POOL 0x402000ull /* the pool */
#define VM_POOL_MAX 0x400000ull

#define VCPU_TLB 96u
#define VCPU_UPPER 48u

struct vcpu_leaf {
	u32 tag;
	u64 page; /* gva >> 12 */
	u64 frame;
	bool w, u, x;
};

/* An entry of an upper level that the hardware kept: where the next table is. */
struct vcpu_upper {
	u32 tag;
	u64 prefix; /* the address without the bits that the table at this level translates */
	u32 level;  /* of the table */
	u64 table;
};

struct vcpu_flush {
	u32 tag;
	bool page;
	u64 gva;
};

struct vm;
struct vcpu {
	struct vm *vm;
	u32 number;
	struct shadow_mmu *mmu;
	struct shadow_paging paging;
	struct rng rng;
	bool running; /* inside the guest */
	hpa_t root;
	u32 tag;
	struct vcpu_leaf tlb[VCPU_TLB];
	struct vcpu_upper upper[VCPU_UPPER];
	u32 tlb_count, upper_count;
	struct vcpu_flush pending[16]; /* carried out at the next entry */
	u32 pending_count;
	u32 kicked; /* by others */
	u32 exits;
};

struct vm_config {
	u32 cpus, tags;
	u64 pool_bytes;   /* 0: VM_POOL_MAX */
	u64 shadow_limit; /* 0: what the pool holds */
	u32 hurry;        /* see hurry.h */
	u64 seed;
};

struct vm {
	struct vm_config config;
	struct region_map regions;
	struct shadow *shadow;
	struct vcpu cpu[VM_CPUS_MAX];
	u32 failed;
	char failure[256];
};

/* The arena must be free; one at a time. */
void vm_create(struct vm *vm, const struct vm_config *config);
void vm_destroy(struct vm *vm);
/* The first message stays, and all CPUs are to end (vm_failed()). */
void vm_fail(struct vm *vm, const char *format, ...) PRINTF_LIKE(2, 3);
static inline bool vm_failed(struct vm *vm)
{
	return __atomic_load_n(&vm->failed, __ATOMIC_RELAXED);
}

/* Guest memory past all translation, for what comes before the CPUs run and after. */
static inline u64 *vm_word(u64 gpa)
{
	extern u64 phys_map_offset;

	return (u64 *)(uintptr_t)(gpa + phys_map_offset);
}

/* Between two instructions: a CPU that was kicked leaves. */
void vcpu_poll(struct vcpu *c);
/* It is in the hypervisor now. */
void vcpu_leave(struct vcpu *c);

/*
 * One instruction: true: the word that it reaches (8 bytes, aligned), which the caller reads or writes by one atomic
 * operation before anything else; the CPU is inside meanwhile. False: #PF for the guest, *error.
 */
bool vcpu_reach(struct vcpu *c, u64 gva, struct model_access kind, u64 **word, u32 *error);
/* The hardware walks ahead of time. */
void vcpu_speculate(struct vcpu *c, u64 gva);

/* Instructions that exit. */
void vcpu_load_cr3(struct vcpu *c, u64 cr3);
void vcpu_invlpg(struct vcpu *c, u64 gva);
void vcpu_flush(struct vcpu *c);
void vcpu_set_cr0(struct vcpu *c, u64 cr0);

/* All CPUs are outside, and nothing is unsync for this one: the shadow allows nothing that the guest's tables do not. */
void vcpu_compare(struct vcpu *c, u64 gva);

#endif
