/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Vmrelease: what comes after a machine, whatever ended it: the GPUs that were taken for it go back, or on to
 * the next one. */

#include "phase.h"

/* How a machine's process ends to be started again at once: RestartForceExitStatus= of its unit. The next run
 * has the GPUs that this one had: the host does not get them for that moment, nor do its services start. */
enum { VMRELEASE_START_AGAIN = 69 };

/* For ExecStopPost=. Returns 0; a negative result has been told. */
int vmrelease_gpus(Phase *p, const char *machine) _must_check_ _nonnull_all_;
/* For later, when another machine has left GPUs on VFIO for this one (vmnext.h): the same, unless its unit is
 * on, or on its way to or from that. */
int vmrelease_left(Phase *p, const char *machine) _must_check_ _nonnull_all_;
