/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Errand: what a worker is sent for besides sysfs attributes, because it may never come back: looking who has
 * a function open (a driver is asked for that, and a process may be stuck with its memory locked), and
 * loading modules (a driver's probe may run in there). */

#include "pci.h"
#include "worker.h"

/* Who uses any of these n functions, as holders_describe() tells it. but: the name of a command that is not
 * counted, or NULL. processes: look at them, and not only at what the kernel itself does. Returns 1, 0 if
 * nobody does, or as worker_call(). */
int errand_who(Worker *w, const PciDevice *const *devices, size_t n, const char *but, bool processes,
               uint64_t timeout_usec, char **ret) _must_check_;

/* As in module.h, or as worker_call(). */
int errand_load(Worker *w, const char *module, uint64_t timeout_usec) _must_check_ _nonnull_all_;
int errand_load_alias(Worker *w, const char *modalias, uint64_t timeout_usec) _must_check_ _nonnull_all_;
/* For each of these n functions the driver that is best at giving it to a VM (module_find_vfio()). */
int errand_find_vfio(Worker *w, const PciDevice *const *devices, size_t n, uint64_t timeout_usec,
                     char ***ret) _must_check_;
