/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Vfiojob: what vfio has to know before it writes anything: the group as it is now, under its lock, and that
 * it is harmless and idle. Nothing is written to a device here. Only for vfio. */

#include "binding.h"
#include "keep.h"
#include "pcigroup.h"
#include "vfio.h"

/* One hand-over, either way. */
typedef struct VfioJob {
        Phase *p;
        const VfioRequest *q;
        char name[BDF_STRING_MAX]; /* of the GPU */
        bool looked, waited;       /* at the group; since then, for something */
        PciBus bus;                /* of the group only (pcigroup.h) */
        KeepList keep;
        const PciDevice *gpu;
        IommuVerdict group;
        const PciDevice **todo; /* the functions that are to be changed, n_todo of them */
        size_t n_todo;
        int lock;
        Handover before;
        Binder binder;
        char *driver_there; /* a VFIO driver that was found loaded */
        bool hold_hangs;    /* a call of NVIDIA's library did not come back: it is not asked again */
        bool hold_none;     /* there is no such library */
        bool shut;          /* nobody new can open any GPU that is to be changed */
        bool only_left;     /* give back only what a hand-over that did not succeed has left */
        VfioFailure failure;
} VfioJob;

void vfiojob_done(VfioJob *j) _nonnull_all_;

/* Says why not; the first word stands. Returns error. */
int vfiojob_refuse(VfioJob *j, int error, const char *remedy, const char *format, ...) _printf_(4, 5);

/* What went wrong with one function while doing ("unbind"), whatever the kernel did not come back from first.
 * Returns error. */
int vfiojob_tell(VfioJob *j, int error, const PciDevice *d, const char *doing) _nonnull_all_;

/* Returns -EINTR, told, if somebody wants us to end, else 0. */
int vfiojob_check_stop(VfioJob *j) _must_check_ _nonnull_all_;

/* The GPU and its group as they are now. keep: ask what the host itself needs. Returns 0, or 1 if
 * the GPU is not there. */
int vfiojob_look(VfioJob *j, bool keep) _must_check_ _nonnull_all_;

/* Looks again under the lock, and with all functions of the card there. */
int vfiojob_lock_and_look(VfioJob *j, bool keep) _must_check_ _nonnull_all_;

/* No function of the group is marked as hanging, or hangs in fact. Where one is marked it is not touched. */
int vfiojob_check_poisoned(VfioJob *j) _must_check_ _nonnull_all_;

/* What the kernel did not come back from (the binder's hang) is the reason. Returns error. */
int vfiojob_refuse_hang(VfioJob *j, int error) _nonnull_all_;

/* Virtual functions in use by somebody go down with their parent. */
int vfiojob_check_virtual_functions(VfioJob *j) _must_check_ _nonnull_all_;

/* For each function to be changed the VFIO driver that fits; its module is loaded if the driver is not there.
 */
int vfiojob_find_drivers(VfioJob *j, char ***ret) _must_check_ _nonnull_all_;
