/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Binder: the child that does for one hand-over whatever may never come back (worker.h, errand.h), and the
 * marks that functions get which it did not come back from (poison.h). */

#include "pci.h"
#include "worker.h"

typedef struct Binder {
        int root;
        uint64_t timeout_usec; /* for one write */
        void (*tick)(void *userdata);
        void *userdata;
        bool (*stopped)(void); /* or NULL. Once it says true, a wait for a driver ends with -EINTR */
        bool dry_run;          /* no marks are made or removed */
        Worker *worker;        /* started when there is something to do for it */
        char *hang; /* after -ETIMEDOUT: which function, and what the kernel did not come back from */
} Binder;
void binder_done(Binder *b);

/* The child, for what is not here. End it after what may have left a device open: returns 0, or the child if
 * it is stuck and stays behind; the next use starts a new one. */
int binder_worker(Binder *b, Worker **ret) _must_check_ _nonnull_all_;
pid_t binder_end_worker(Binder *b) _nonnull_all_;

/* See driveruse.h. A dry run opens no groups; one that takes too long to open is in use. */
int binder_is_unused(Binder *b, const PciDevice *const *devices, size_t n) _must_check_;
/* See errand.h. -ETIMEDOUT: the first of the functions is marked. */
int binder_who(Binder *b, const PciDevice *const *devices, size_t n, const char *but, bool processes,
               char **ret) _must_check_;
/* For each of these functions the driver that is best at giving it to a VM; binder_load() loads its module.
 */
int binder_find_vfio(Binder *b, const PciDevice *const *devices, size_t n, char ***ret) _must_check_;
int binder_load(Binder *b, const PciDevice *d, const char *module) _must_check_ _nonnull_all_;

/* The first line of an attribute that the kernel may wake the device up for, or take its lock. */
int binder_get(Binder *b, const PciDevice *d, const char *attribute, char **ret) _must_check_ _nonnull_all_;

/* One write(2). doing: "unbinding it", for the mark. -ETIMEDOUT: the function is marked, with the driver that
 * has it then; if none has, d's: the one that is to take it, or to let it go. */
int binder_put(Binder *b, const PciDevice *d, const char *path, const char *value,
               const char *doing) _must_check_ _nonnull_all_;

/* Loads what claims the function, as udev would; it need not be anything. */
int binder_load_claiming(Binder *b, const PciDevice *d) _must_check_ _nonnull_all_;

/* Marks the function as one that the kernel does not come back from, and says so in hang. Best effort. */
void binder_poison(Binder *b, const PciDevice *d, const char *driver, const char *doing,
                   pid_t child) _nonnull_all_;
