/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest kernel on several virtual CPUs (vcpu.h): processes with fork and copy-on-write, pages and tables that come and go,
 * shootdowns by interrupts. It keeps the rules that kernels keep: who takes a right from an entry flushes on every
 * CPU that may have it, and waits, before it relies on that. So each access can be judged at once, on its own CPU:
 *
 *   owner    a frame has the page as which it is mapped; it changes only when no CPU may hold another. Reached as another: stale
 *   shared   a frame that several processes map; nobody may write to it once the shootdown of fork() is over
 *   writes   a page whose entry has D clear has not been written to since it was cleared, or made so
 *
 * A fault is judged where the entry cannot change, with the process locked: there the access must come through.
 * Kernel and user accesses go through the shadow, the kernel's to its tables by a linear map of 4 KiB or of 2 MiB pages.
 */
#ifndef TESTS_SMP_GUEST_H
#define TESTS_SMP_GUEST_H

#include "tests/unit/vcpu.h"

#define LINEAR 0xffff800000000000ull
#define LARGE 0xffff808000000000ull
#define WINDOW 0xffff810000000000ull
#define USER 0x40000000ull

#define TABLES 3u /* lowest tables of a process */
#define SLOTS 12u /* entries that are used in each */
#define PAGES (TABLES * SLOTS)
#define PROCESSES 5u
#define WINDOWS 6u /* pages of the kernel's window, which all processes share */
#define FIRST_FREE 16u

/* What a frame is: free, a table, page n - 1 of a process, a page of the window. */
enum { OWNER_FREE, OWNER_PAGE = 1, OWNER_WINDOW = 0x1000, OWNER_TABLE = 0x2000 };

struct smp_frame {
	u32 owner;
	u32 refs;   /* processes that map it */
	u32 shared; /* nobody may write to it */
	u32 writes; /* by users */
};

struct process {
	u32 lock; /* all that follows but cpus, and its tables */
	bool alive;
	u32 cpus;                     /* BIT(CPU): may have translations of it */
	u32 root, l3, l2, l1[TABLES]; /* frames */
	u32 clean[PAGES];             /* writes to the frame when its entry was last known to have D clear */
};

struct message {
	u32 sent, done; /* how many so far */
	u64 gva;        /* INVLPG; 0: everything */
};

struct smp {
	struct vm vm;
	u32 cpus;
	struct smp_frame frame[VM_FRAMES];
	u32 frames_lock, free_count, window_lock;
	u32 free[VM_FRAMES];
	struct process process[PROCESSES];
	u32 current[VM_CPUS_MAX];
	struct message message[VM_CPUS_MAX][VM_CPUS_MAX]; /* [to][from] */
	u32 arrived[4];                                   /* smp_meet() */
};

/* frames: how many there are for processes and the window. Process 0 is there, and current on all CPUs. */
void smp_create(struct smp *g, const struct vm_config *config, u32 frames);
void smp_destroy(struct smp *g);

/* Between two instructions, and all the time while waiting: kicks and messages. */
void smp_poll(struct smp *g, struct vcpu *c);
/* All CPUs meet; which: not the same twice in a row. */
void smp_meet(struct smp *g, struct vcpu *c, u32 which);

/* Single accesses of the user, and the kernel's to its window; judged. False: #PF. */
bool smp_user(struct smp *g, struct vcpu *c, u32 page, bool write);
void smp_window(struct smp *g, struct vcpu *c, u32 i, bool write);

/* What the kernel does with the current process, or with others. */
void smp_fault(struct smp *g, struct vcpu *c, u32 page, bool write);
void smp_touch(struct smp *g, struct vcpu *c, u32 page, bool write); /* an access, faults and all */
void smp_unmap(struct smp *g, struct vcpu *c, u32 page);
void smp_unmap_table(struct smp *g, struct vcpu *c, u32 table);
void smp_clean(struct smp *g, struct vcpu *c, u32 page);  /* clears D */
void smp_age(struct smp *g, struct vcpu *c, u32 page);    /* clears A, without a flush */
void smp_forget(struct smp *g, struct vcpu *c, u32 page); /* the shadow does, A is set as before */
/* By the emulator, of a store or a locked operation; nobody else uses the page. */
void smp_age_emulated(struct smp *g, struct vcpu *c, u32 page, bool locked);
void smp_fork(struct smp *g, struct vcpu *c, u32 child);
void smp_exit(struct smp *g, struct vcpu *c, u32 victim);
void smp_switch(struct smp *g, struct vcpu *c, u32 to);
void smp_window_remap(struct smp *g, struct vcpu *c, u32 i);
void smp_shootdown(struct smp *g, struct vcpu *c, u32 targets, u64 gva); /* gva 0: everything */

/* One of these, or something else that a CPU does, by its random numbers. */
void smp_operation(struct smp *g, struct vcpu *c);

/* All CPUs stand still and have flushed: audits, and the shadow against the guest's tables. */
void smp_check(struct smp *g);
void smp_check_pages(struct smp *g, struct vcpu *c); /* of processes and the window alone, without an audit */

static inline u64 user_gva(u32 page)
{
	return USER + ((u64)(page / SLOTS) << 21) + ((u64)(page % SLOTS) << 12);
}

#endif
