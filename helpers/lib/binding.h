/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Binding: one PCI function from one driver to another, each write by a child with a deadline and each result
 * read back. A function whose driver hangs is marked (poison.h), and not written to any more.
 *
 * Whether it may be done at all (group, users, locks) is the caller's to know: see vfio.h. */

#include "handover.h"
#include "worker.h"

typedef struct Binder {
        int root;
        uint64_t timeout_usec; /* for one write */
        void (*tick)(void *userdata);
        void *userdata;
        bool dry_run;   /* no marks are made or removed */
        Worker *worker; /* started at the first write */
        char *hang;     /* after -ETIMEDOUT: which function, and what the kernel did not come back from */
        char **hung;    /* the functions that were marked by this one */
} Binder;
void binder_done(Binder *b);

/* The first line of an attribute that the kernel may wake the device up for, or take its lock. */
int binder_get(Binder *b, const PciDevice *d, const char *attribute, char **ret) _must_check_ _nonnull_all_;

/* Whether the function may be without power while it is asleep (d3cold_allowed). */
int binder_set_d3cold(Binder *b, const PciDevice *d, bool allowed) _must_check_ _nonnull_all_;

/* driver_override as it is now, NULL in ret for none. */
int binder_get_override(Binder *b, const PciDevice *d, char **ret) _must_check_ _nonnull_all_;

/* driver_override, unbind, drivers_probe. -EIO if the kernel was content but the driver did not take it. */
int binder_bind(Binder *b, const PciDevice *d, const char *driver) _must_check_ _nonnull_all_;

/* Override, d3cold_allowed and driver as in was; with NULL, no override and whatever host driver claims the
 * function. Writes only what is not so already. */
int binder_put_back(Binder *b, const PciDevice *d, const HandoverFunction *was) _must_check_;

/* Marks the function as one that the kernel does not come back from, and says so in hang. Best effort. */
void binder_poison(Binder *b, const PciDevice *d, const char *driver, const char *doing,
                   pid_t child) _nonnull_all_;

/* Whether the kernel comes back from the function. Returns 1 and why not if it is marked, 0 if it is to be
 * used: a mark of what has passed is removed. -ETIMEDOUT, with hang set, if a driver is on its way out,
 * whoever sent it, and does not go: it is marked now. */
int binder_check(Binder *b, const PciDevice *d, char **ret_why) _must_check_ _nonnull_all_;
