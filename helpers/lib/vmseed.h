/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Vmseed: takes away the seed of a declared machine that was told secrets by it, once the guest has read it:
 * for the process that stays with the machine, where nobody has waited for it (vmctl/create-wait.c). The seed
 * of others stays: cloud-init does nothing more at the next boot without it, and may be wanted to. */

#include "metadata.h"
#include "virt.h"
#include "vmfile.h"

enum { VMSEED_AGAIN_SEC = 5 }; /* between two looks, until cloud-init has ended */

typedef struct VmSeed {
        int root;
        const char *name;   /* borrowed */
        char *path;         /* NULL: there is nothing to do */
        bool talos, told;   /* told: what went wrong */
        uint64_t next_usec; /* of monotonic_usec() */
} VmSeed;

/* Whether a machine that is made so is told secrets that have names: a key, a token, what it joins with. */
bool vmseed_has_secrets(const VmFile *f) _nonnull_all_;

/* Looks whether there is anything to do. Returns 0 or -errno. */
int vmseed_init(VmSeed *s, int root, const char *name, const Metadata *m) _must_check_ _nonnull_all_;
void vmseed_done(VmSeed *s);

/* How long until it is time; UINT64_MAX: never. */
uint64_t vmseed_wait_usec(const VmSeed *s) _nonnull_all_;

/* If it is time. Returns 1 if the seed is gone now, 0 if not yet, or -errno: it is tried again. -ENXIO: no
 * storage pool has the file. Else as virtvm.h. */
int vmseed_look(VmSeed *s, Virt *v) _must_check_ _nonnull_all_;
