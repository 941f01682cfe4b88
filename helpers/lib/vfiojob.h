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
        VfioFailure failure;
} VfioJob;

void vfiojob_done(VfioJob *j) _nonnull_all_;

/* Says why not; the first word stands. Returns error. */
int vfiojob_refuse(VfioJob *j, int error, const char *remedy, const char *format, ...) _printf_(4, 5);

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

typedef enum VfioWait {
        VFIO_WAIT_LOOK, /* before anything is done: NVIDIA's persistence daemon is not counted, which lets go
                         * of one GPU when it is asked to (vfiohold.h) */
        VFIO_WAIT_LET_GO, /* after it was asked: gives it a moment */
        VFIO_WAIT_STRICT, /* everybody counts, as before the first change */
        VFIO_WAIT_BACK,   /* on the way back to the host: a function that has what it had before is not asked
                           * about */
} VfioWait;

/* Nobody uses what is to be changed, at once or within IdleWaitSec=. */
int vfiojob_wait_idle(VfioJob *j, VfioWait what) _must_check_ _nonnull_all_;

/* The VFIO driver that fits the function; its module is loaded if the driver is not there. */
int vfiojob_find_driver(VfioJob *j, const PciDevice *d, char **ret) _must_check_ _nonnull_all_;
