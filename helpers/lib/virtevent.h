/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Virtevent: what becomes of all machines of a connection, in libvirt's events: for a user to read. Who has
 * to be right about a machine looks at it (virtwatch.h). */

#include "virt.h"

typedef struct VirtEvent {
        const char *machine;
        const char *what;   /* "started", "device removed"; static */
        const char *detail; /* "crashed", a device's alias; "" for none */
} VirtEvent;

typedef struct VirtEvents VirtEvents;

/* handler: called while somebody waits (virtwatch_wait()). Errors as in virt.h; a kind of event that the
 * driver does not know is left out. */
int virtevents_subscribe(Virt *v, void (*handler)(const VirtEvent *e, void *userdata), void *userdata,
                         VirtEvents **ret) _must_check_ __attribute__((nonnull(1, 2, 4)));
/* Before virt_close(). */
void virtevents_free(VirtEvents *e);
DEFINE_POINTER_CLEANUP(VirtEvents, virtevents_free)
