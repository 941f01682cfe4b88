/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Kernelswap: another kernel in the place of a running one that VFIO does not work with, as Debian's for
 * cloud guests on a machine of AMD's.
 *
 * First the boot menu is told to stay with the running one, whatever comes. Then the distribution's generic
 * one is installed beside, and started once, as a trial (trial.h): it becomes the default when it has been
 * seen running, with the network that there was before. No kernel is ever removed: the machine starts with
 * the old one again if the other does not come up, and when the step is undone. */

#include "conf.h"
#include "phase.h"
#include "undo.h"

enum {
        KERNELSWAP_PENDING = 1, /* the machine has to start again for it, which has been asked for */
        KERNELSWAP_OFFLINE, /* the same, to bring back the old one: it came up without the network that there
                             * was before. The caller tells */
};

/* Returns one of these, 0 if the running kernel will do, or an error that has been told. */
int kernelswap_ensure(Phase *p, Undo *u, const Conf *c) _must_check_ _nonnull_all_;

/* True if a start with another kernel has been asked for: what is made for the running one is made in vain.
 */
bool kernelswap_is_pending(int root);

/* Takes back the order to the loader and what is remembered, for undo. A negative result has been told. */
int kernelswap_forget(Phase *p) _must_check_ _nonnull_all_;
