/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Vmunit: a machine's unit, gpuvm-vm@NAME.service, and the settings that come with the machine: the order of
 * its GPUs' units, the mount that it needs, and whether it starts with the host.
 *
 * systemd looks for drop-ins when it loads a unit that it has not in memory, and sees by the directory's time
 * that there is a new one: nothing has to be reloaded (unit_file_build_name_map() of systemd). */

#include "macro.h"

enum { VMUNIT_NAME_MAX = 128 };

/* How the unit's status begins as long as its machine runs and is not ready yet. */
#define VMUNIT_WAITS "Waiting until it is ready: it "

/* The name of the unit; "" for what is no name of a machine. */
typedef struct VmUnitName {
        char text[VMUNIT_NAME_MAX];
} VmUnitName;
VmUnitName vmunit_name(const char *machine) _nonnull_all_;
/* The other way round. Returns 1, or 0 if it is no unit of a machine. */
int vmunit_machine(const char *unit, char **ret) _must_check_ _nonnull_all_;

/* Writes them, in /etc/systemd/system. gpus: addresses, or NULL: no order. store: the directory that it
 * shares (confvalid_plain_path()), or NULL: no mount. Returns 0, or -errno with part of it there. */
int vmunit_write(int root, const char *machine, const char *const *gpus, const char *store,
                 bool autostart) _must_check_ __attribute__((nonnull(2)));
/* The GPUs alone, whatever they were; none: no order. */
int vmunit_set_gpus(int root, const char *machine, const char *const *gpus) _must_check_
                __attribute__((nonnull(2)));
/* Whether vmunit_remove() may: 0, or -EACCES. */
int vmunit_may_remove(int root, const char *machine) _must_check_ _nonnull_all_;
/* Takes all of them away. Returns 0, also if there are none. */
int vmunit_remove(int root, const char *machine) _must_check_ _nonnull_all_;
/* Returns 1 if it starts with the host, 0 if not. */
int vmunit_is_enabled(int root, const char *machine) _must_check_ _nonnull_all_;
