/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Vmstart: the start of a machine, for the process that stays with it: first its GPUs, those that it names
 * and those that are chosen for it (vmchoice.h), then the machine. Tells what goes wrong. */

#include "metadata.h"
#include "phase.h"
#include "vmwatch.h"

/* Whether it may start as far as the host's directory goes that it shares (vmstore.h), in the host's own name
 * space. One that runs, or is not there, is for others to tell of. Returns 0; a negative result has been
 * told. */
int vmstart_look(Phase *p, const char *name) _must_check_ _nonnull_all_;

/* Where libvirt does not answer on the connection that there is, a new one. Returns 0; a negative result has
 * been told. */
int vmstart_connect(Phase *p, VmWatch *w) _must_check_ _nonnull_all_;

/* What it says of itself. A machine that says nothing is somebody else's, and an error. Returns 0; a negative
 * result has been told. */
int vmstart_read(Phase *p, VmWatch *w, Metadata *ret) _must_check_ _nonnull_all_;

/* m: what it says of itself. One that runs already is left as it is. Returns 1 if it runs, 0 in a dry run; a
 * negative result has been told. */
int vmstart_machine(Phase *p, VmWatch *w, const Metadata *m) _must_check_ _nonnull_all_;

/* That its file cannot be read. Returns the error. */
int vmstart_fail_file(Phase *p, const char *name, int error) _nonnull_all_;
