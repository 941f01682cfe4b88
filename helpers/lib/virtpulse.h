/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Virtpulse: whether the host of a libvirt elsewhere is still there. A call that waits for one whose power or
 * network is gone would wait for ever.
 *
 * libvirt's keepalive asks, and only its event loop minds the time, not the call that waits (since libvirt
 * 6.1). So a thread runs the loop, until somebody does who waits for events himself (virtwatch.h).
 *
 * The socket of this host's libvirt has no pulse: there nothing is lost unseen, and a libvirtd that has a lot
 * to do is to be waited for. */

#include "virtlib.h"

enum { VIRTPULSE_SEC = 30 }; /* of silence, and the connection is lost */

/* Before the connection is made. -ENOMEM. */
int virtpulse_prepare(void) _must_check_;

/* Once it is made. What fails after a silence has "'uri' has not answered ..." for its message. Nothing is
 * done for drivers that know no keepalive, as those inside this process. -ENOMEM, -EAGAIN. */
int virtpulse_start(Virt *v, const char *uri) _must_check_ _nonnull_all_;

/* From now on the caller runs the event loop. */
void virtpulse_hand_over(Virt *v) _nonnull_all_;

/* Comes after the connection is closed, which is a call that waits as well. */
void virtpulse_end(Virt *v) _nonnull_all_;
