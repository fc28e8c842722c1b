/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Included before each file that is built for tests with several CPUs (UNIT_TSAN in the Makefile): who waits for another
 * CPU there lets that one run, whether the CPUs are threads on few processors or a scheduler's (host_on_pause).
 */
#ifndef TESTS_HOST_PAUSE_H
#define TESTS_HOST_PAUSE_H

void host_pause(void);
extern void (*host_on_pause)(void); /* NULL: sched_yield() */
#define __builtin_ia32_pause host_pause

#endif
