/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Trialnet: whether a trial start has cost the machine its network. An IOMMU that the firmware describes
 * wrongly can leave a network card dead on a machine that is up in all else, and nobody reaches it any more.
 */

#include "phase.h"
#include "trial.h"

/* Whether there is a default route. */
bool trialnet_is_up(int root);

/* Waits for a default route, at most two minutes: the network may come up after the bootstrap went on.
 * Returns 1 if there is one, 0 if not. */
int trialnet_wait(Phase *p) _must_check_ _nonnull_all_;

/* The trial is over: takes it away and asks for a restart, by which the machine comes up as before. Returns
 * 0, which the caller tells, or an error that has been told. */
int trialnet_fail(Phase *p, Trial *t) _must_check_ _nonnull_all_;
