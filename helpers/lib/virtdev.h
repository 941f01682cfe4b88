/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Virtdev: devices come to a machine that runs, and leave it; its definition is left as it is. Errors as in
 * virtvm.h. */

#include "virt.h"

/* xml: the device. It is there when this returns 0. */
int virtdev_attach(Virt *v, const char *name, const char *xml) _must_check_ _nonnull_all_;
/* Asks the guest to let go of it: whether it has is told by virtwatch.h. alias: libvirt's name for it. */
int virtdev_ask_back(Virt *v, const char *name, const char *alias) _must_check_ _nonnull_all_;
/* What the machine says of itself until its end. element: without the prefix. */
int virtdev_set_metadata(Virt *v, const char *name, const char *element, const char *prefix,
                         const char *uri) _must_check_ _nonnull_all_;
/* The same as it is now; -ENOENT if there is none. */
int virtdev_get_metadata(Virt *v, const char *name, const char *uri, char **ret) _must_check_ _nonnull_all_;
