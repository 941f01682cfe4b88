/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Handover: what each function of a GPU's group had before it went to VFIO, so that it can be given back
 * exactly. One that was bound at boot had nothing to go back to: there is a line about it only while it goes,
 * so that who is killed between leaves no function behind that nobody misses.
 *
 * One file in /run/gpuvm/vfio, named by the group's owner, written before the first change and removed after
 * the last: it vanishes with the boot, as the bindings do. A GPU that comes or goes may make another one the
 * owner, so that what is known of a group may be under the name of any GPU in it. */

#include "pci.h"

typedef struct HandoverFunction {
        Bdf bdf;
        char *driver;    /* NULL: it had none */
        char *override;  /* NULL: it had none */
        bool persistent; /* a GPU whose persistence mode was on, and was or will be turned off */
        bool d3cold;     /* it might be without power while asleep, which is or will be forbidden */
        bool drained;    /* a GPU that was or will be told to let nobody in */
        bool host;     /* what it had is of no account: it is on its way to the host, which had not seen it */
        uint64_t card; /* which card that was: pci_read_presence(); 0: not known */
} HandoverFunction;

typedef struct Handover {
        HandoverFunction *list;
        size_t n;
} Handover;

void handover_done(Handover *h);

/* The text of such a file; reading gives -EBADMSG if it makes no sense. */
int handover_parse(const char *text, Handover *ret) _must_check_ _nonnull_all_;
int handover_format(const Handover *h, char **ret) _must_check_ _nonnull_all_;

/* No file is an empty list. */
int handover_load(int root, Bdf owner, Handover *ret) _must_check_ _nonnull_all_;
int handover_save(int root, Bdf owner, const Handover *h) _must_check_ _nonnull_all_;
int handover_remove(int root, Bdf owner) _must_check_;

/* What is known of these functions, which are a group, whoever owned it then. Lines about other cards at
 * their addresses, and about functions that are not among them, are left out. Returns 0, or 1 if one of the
 * files makes no sense. */
int handover_gather(int root, const PciDevice *const *devices, size_t n, Handover *ret) _must_check_;
/* Removes all of that. */
int handover_remove_all(int root, const PciDevice *const *devices, size_t n) _must_check_;

/* The GPU was pulled out, and another may be at its address: drops what is recorded under its name of cards
 * that are gone. What the others had is kept, under the name of a GPU that stayed. */
int handover_forget_gone(int root, Bdf gone) _must_check_;

HandoverFunction *handover_find(const Handover *h, Bdf bdf) _nonnull_all_;

/* What is there already stays: what was before the first change is what counts. Returns 1 if added. */
int handover_add(Handover *h, Bdf bdf, const char *driver, const char *override) _must_check_;
