/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Virtwatch: news of one machine, for a program that stays with it.
 *
 * An event of libvirt only says that there is something to look at. What it is, is asked then
 * (virtwatch_look()): so nothing wrong is believed of an event that came late, and nothing is missed of one
 * that was lost with a connection. */

#include "virt.h"

enum {
        VIRTWATCH_MACHINE = 1, /* something became of it */
        VIRTWATCH_LOST = 2,    /* the connection is gone */
        VIRTWATCH_FILE = 4,    /* a file can be read */
        VIRTWATCH_DEVICE = 8,  /* it has let go of a device */
        VIRTWATCH_KEPT = 16,   /* its guest does not let go of one */
        VIRTWATCH_REBOOT = 32, /* its guest starts again */
};

typedef struct VirtWatch VirtWatch;

/* Once, before the connection is made that is to be watched. As virtlib_load(), -ENOMEM. */
int virtwatch_new(VirtWatch **ret) _must_check_ _nonnull_all_;
void virtwatch_free(VirtWatch *w);
DEFINE_POINTER_CLEANUP(VirtWatch, virtwatch_free)

/* A file that is waited for as well. At most two. */
int virtwatch_add_file(VirtWatch *w, int fd) _must_check_ _nonnull_all_;

/* From now on this machine of this connection is meant, until virtwatch_leave(), which comes before
 * virt_close(). One that does not answer for about 20 seconds counts as lost, one elsewhere after 30. */
int virtwatch_join(VirtWatch *w, Virt *v, const char *name) _must_check_ _nonnull_all_;
/* The same of the connection alone: no machine of it is news, but its end. */
int virtwatch_join_all(VirtWatch *w, Virt *v) _must_check_ _nonnull_all_;
void virtwatch_leave(VirtWatch *w) _nonnull_all_;

/* Waits for news, at most that long. Returns what there is, VIRTWATCH_*, or 0. */
int virtwatch_wait(VirtWatch *w, uint64_t timeout_usec) _must_check_ _nonnull_all_;

/* Does what there is to do, without waiting, and keeps the news: libvirtd closes the connection of a program
 * that waits for something else and does not answer for half a minute. For phase_alive(). */
void virtwatch_answer(void *watch) _nonnull_all_;

typedef enum VmEnd {
        VM_END_UNKNOWN,
        VM_END_SHUTDOWN,  /* by the guest itself, or because it was asked to */
        VM_END_DESTROYED, /* somebody pulled its plug */
        VM_END_MOVED,     /* saved to a file, or to another host */
        VM_END_CRASHED,   /* the guest, or QEMU */
} VmEnd;

typedef struct VmLook {
        bool on;
        VmEnd end;        /* of one that is off */
        const char *text; /* of one that is on: "running", "paused: ..." */
} VmLook;

/* What is it at? -ENOENT: it has gone. */
int virtwatch_look(Virt *v, const char *name, VmLook *ret) _must_check_ _nonnull_all_;
