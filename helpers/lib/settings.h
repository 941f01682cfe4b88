/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Settings: the options of gpu-vm-bootstrap as a drop-in of gpuvm.conf. */

#include "conf.h"

#define SETTINGS_PATH "/etc/gpuvm.conf.d/50-gpu-vm-bootstrap.conf"

typedef struct Settings {
        bool skip_nvidia, skip_kvm, skip_vfio, skip_bridge;
        const char *bridge_name, *bridge_subnet, *gpu_mode; /* borrowed; NULL: not given */
} Settings;

/* Nothing was given. */
bool settings_is_empty(const Settings *s) _nonnull_all_;

/* Pure. user: who shall join the groups, or NULL. A value that the configuration would not take as it is:
 * -EINVAL, and problem (see conf.h) is told why. */
int settings_to_dropin(const Settings *s, const char *user, ConfProblem problem, void *userdata,
                       char **ret) _must_check_;

/* Loads c anew as it will be with the drop-in that a run with these options writes: ret, NULL if it writes
 * none. Returns 1 if an option cannot be taken, and problem is told why. */
int settings_apply(const Settings *s, int root, ConfProblem problem, void *userdata, Conf *c,
                   char **ret) _must_check_;

/* Writes the drop-in, so that it can be undone. Returns 1 if it was not so already. */
int settings_write(int root, const char *dropin) _must_check_ _nonnull_all_;
