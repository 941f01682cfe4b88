/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Binding: one PCI function from one driver to another, each write by a child with a deadline and each result
 * read back. A function that the child does not come back from is marked (poison.h), and not written to as
 * long as that is so. Whatever else may hang (errand.h) is done by the same child.
 *
 * Whether it may be done at all (group, users, locks) is the caller's to know: see vfio.h. */

#include "binder.h"
#include "handover.h"

/* Loads the driver that binder_put_back() with the same was needs, if it is not there. -ENOENT if it cannot
 * be had. Nothing is written to the function. */
int binder_load_host(Binder *b, const PciDevice *d, const HandoverFunction *was) _must_check_;

/* Whether the function may be without power while it is asleep (d3cold_allowed). */
int binder_set_d3cold(Binder *b, const PciDevice *d, bool allowed) _must_check_ _nonnull_all_;

/* driver_override as it is now, NULL in ret for none. */
int binder_get_override(Binder *b, const PciDevice *d, char **ret) _must_check_ _nonnull_all_;

/* Returns 1 if the function is on a VFIO driver, or on none and may have no other, by driver_override: the
 * early rule came too late for it, or the kernel lacks what the rule names. 0 if not, or nobody can tell. */
int binder_is_for_vfio(Binder *b, const PciDevice *d) _must_check_ _nonnull_all_;

/* driver_override, unbind, drivers_probe. -EIO if the kernel was content but the driver did not take it. */
int binder_bind(Binder *b, const PciDevice *d, const char *driver) _must_check_ _nonnull_all_;

/* Override, d3cold_allowed and driver as in was; with NULL, no override, power as the kernel has it by
 * default, and whatever host driver claims the function. Writes only what is not so already. -EBUSY: it is
 * marked. A driver that comes after all, but too late for its deadline, has come: then the mark is gone. */
int binder_put_back(Binder *b, const PciDevice *d, const HandoverFunction *was) _must_check_;

/* Whether the kernel comes back from the function. Returns 1 and why not if it is marked, 0 if it is to be
 * used: a mark of what has passed is removed. -ETIMEDOUT, with hang set, if a driver is on its way out,
 * whoever sent it, and does not go: it is marked now. */
int binder_check(Binder *b, const PciDevice *d, char **ret_why) _must_check_ _nonnull_all_;
