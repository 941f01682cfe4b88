/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Smoke: a machine that is started to see whether one starts: by libvirt, with QEMU and KVM, from a disk in
 * the pool, as the machines of create, but for firmware (BIOS), network and GPU.
 *
 * Its guest is one sector, which says a word on the serial console that is new each time. Nothing is left of
 * it: the machine has no definition and ends with the connection that started it, its disk loses its name as
 * soon as QEMU has it open. A child does it, which can be left behind: libvirt that hangs holds nobody up,
 * and whoever kills us ends it as well. */

#include "macro.h"

#define SMOKE_NAME "gpuvm-smoke"

enum { SMOKE_SECTOR = 512, SMOKE_WORD = 16, SMOKE_SEC = 120 };

typedef struct Smoke {
        bool booted;
        bool kvm;   /* else it was emulated */
        char *text; /* how it ended: a part of a sentence */
} Smoke;

void smoke_done(Smoke *s);

/* Needs root. pool: its directory. Returns 0; -EOPNOTSUPP: there is no such guest for this processor;
 * -ETIMEDOUT: libvirt did not come back. */
int smoke_run(int root, const char *pool, Smoke *ret) _must_check_ _nonnull_all_;

/* Pure: the guest's whole disk. word: SMOKE_WORD characters. */
void smoke_sector(const char *word, uint8_t ret[static SMOKE_SECTOR]) _nonnull_all_;
/* Pure: the terminal of the first serial console, from a machine's description as it runs. -ENODATA: none. */
int smoke_console(const char *xml, char **ret) _must_check_ _nonnull_all_;
