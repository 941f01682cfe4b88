/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Ledger: the records of undo.h as files, and how to read them again.
 *
 * A record is a text header, an empty line and the bytes that were in a file. The header ends in a CRC-32 of
 * all the rest, so a damaged record is known for one; it is then named, left where it is, and never acted
 * upon. */

#include <sys/types.h>

#include "macro.h"

#define LEDGER_DIR "/var/lib/gpuvm/ledger"

/* Kinds, and what object and was mean:
 *   file     path; "absent", "present" (mode, owner, data) or "link" (data is the target)
 *   wrote    path; "" (data is what we are about to write there) or "removed"
 *   dir      path; "absent"
 *   package  name; "absent"
 *   member   user; the group
 *   enabled  unit; "enabled" or "disabled"
 *   active   unit; "active" or "inactive"
 *   pool, network   libvirt name; "absent", "inactive" or "no-autostart"
 *   refresh  "bootloader", "initramfs", "initramfs/KERNEL", "udev", "daemon-reload", "docker",
 *            "trial", "kernel", "network"; "" */
typedef struct LedgerRecord {
        char *name; /* of the file: "000012-iommu"; NULL before it has one */
        char *step, *kind, *object, *was;
        mode_t mode;
        uid_t uid;
        gid_t gid;
        char *data; /* NUL behind it */
        size_t size;
} LedgerRecord;

typedef struct Ledger {
        LedgerRecord *records; /* in the order in which they were made */
        size_t n;
        char **damaged; /* names of files that are no records */
} Ledger;

void ledger_record_done(LedgerRecord *r);

/* Returns 0, or -EBADMSG for what is no whole record. */
int ledger_parse(const char *data, size_t size, LedgerRecord *ret) _must_check_ _nonnull_all_;

/* -EINVAL for a step, kind, object or was that cannot be one line of text. */
int ledger_format(const LedgerRecord *r, char **ret, size_t *ret_size) _must_check_ _nonnull_all_;

/* Reads all records; no ledger is an empty one. */
int ledger_load(int root, Ledger *ret) _must_check_ _nonnull_all_;
void ledger_done(Ledger *l);

/* Makes the record durable under the next number. Makes the ledger (0700) if it is not there. */
int ledger_append(int root, const LedgerRecord *r) _must_check_ _nonnull_all_;

/* Forgets a record. */
int ledger_remove(int root, const char *name) _must_check_ _nonnull_all_;
