/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Vmwatch: staying with a machine, for the process that does: its connection to libvirt, which comes and goes
 * as libvirtd does, the signals that mean the end, and what the guest writes to its console, which is copied
 * to the journal. */

#include "guestlog.h"
#include "virtwatch.h"

typedef struct VmWatch {
        int root;
        const char *name; /* borrowed */
        VirtWatch *watch;
        Virt *v;       /* NULL: libvirt is away */
        GuestLog *log; /* NULL: nothing is copied */
        bool log_has_more;
        int signals;
        uint64_t looked_usec;
} VmWatch;

/* From now on SIGTERM and SIGINT are told by vmwatch_told_to_stop() alone. Errors as virtwatch_new(). To be
 * released by vmwatch_done() in every case. */
int vmwatch_init(VmWatch *w, int root, const char *name) _must_check_ _nonnull_all_;
void vmwatch_done(VmWatch *w);

/* -ENOENT: there is no such machine. Else as virt_open_root(). */
int vmwatch_connect(VmWatch *w, char **reterr_message) _must_check_ __attribute__((nonnull(1)));
/* Where libvirt does not answer on the connection that there is, a new one. */
int vmwatch_connect_again(VmWatch *w, char **reterr_message) _must_check_ __attribute__((nonnull(1)));
void vmwatch_disconnect(VmWatch *w) _nonnull_all_;

/* Copies what is written to that file from now on. */
int vmwatch_open_log(VmWatch *w, const char *path) _must_check_ _nonnull_all_;
void vmwatch_copy_log(VmWatch *w) _nonnull_all_;

/* Once for each time that somebody has said so. */
bool vmwatch_told_to_stop(const VmWatch *w) _nonnull_all_;

/* How it is; libvirt is connected to if it is away. Returns 1 if it is over with it, 0 as long as it is on,
 * -ENOTCONN if nobody can say. */
int vmwatch_look(VmWatch *w, VmLook *ret) _must_check_ _nonnull_all_;

/* Whether after such news it is time to look: what the guest writes is no reason to ask libvirt each time. */
bool vmwatch_is_due(VmWatch *w, int news) _nonnull_all_;

/* Waits for news, up to that time or, while libvirt is away, less. As virtwatch_wait(); a connection that is
 * lost is closed. */
int vmwatch_wait(VmWatch *w, uint64_t timeout_usec) _must_check_ _nonnull_all_;
