/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How long the TPM's event log is: the firmware tells where it begins and where its last entry does
 * (TCG EFI Protocol Specification, section 6.4). Pure functions; entries as in section 9.2 of the TCG PC
 * Client Platform Firmware Profile Specification. Nothing is believed beyond `limit` bytes.
 */
#ifndef BOOT_TPM_LOG_H
#define BOOT_TPM_LOG_H

#include <stdbool.h>
#include <stdint.h>

/* EFI_TCG2_EVENT_LOG_FORMAT: SHA-1 alone, or each entry with the digests that the first entry lists */
enum tpm_log_format { TPM_LOG_1_2 = 1, TPM_LOG_2 = 2 };

/* Bytes of a log from its begin to the end of the entry at offset last; 0: it makes no sense. */
uint64_t tpm_log_bytes(enum tpm_log_format format, const uint8_t *log, uint64_t last, uint64_t limit);

/* Bytes of count entries of format 2, whose digests are as log's first entry says; 0: they make no sense. */
uint64_t tpm_log_events_bytes(const uint8_t *log, uint64_t limit, const uint8_t *events,
			      uint64_t count);

#endif
