/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Apt: how to get the packages that are not here (dpkg.h knows which are).
 *
 * apt-get's exit status proves nothing: only dpkg's own file, read again, does. The functions that take a
 * Phase announce, act and tell a failure themselves, once, by phase_fail().
 */

#include "conf.h"
#include "dpkg.h"
#include "phase.h"
#include "undo.h"

/* Sees to it that the packages are installed. All there: returns 0, and nothing is started. An interrupted
 * dpkg is repaired first, as apt_repair() does. Each missing package is announced, the lists are refreshed,
 * each package that will be new (dependencies too) is recorded, and what apt installed is read back. apt may
 * not remove anything.
 * Returns 1 if something was installed (in a dry run: would be), 0, or an error that has been told. u may be
 * NULL in a dry run only. */
int apt_ensure(Phase *p, Undo *u, const char *const *packages) _must_check_;

/* Fails, told, where apt-get cannot understand its sources or preferences: whatever is announced after that
 * would be in vain. Changes nothing, needs no root, and leaves all other trouble to whoever meets it. */
int apt_check(Phase *p) _must_check_ _nonnull_all_;

/* Upgrades what is installed: everything (UPDATE_YES), or what a security archive has a newer version of
 * (UPDATE_SECURITY). Never removes; nothing is recorded, because going back to old versions is no undo. Not
 * for dry runs: only apt knows what there is to do. Returns the number of packages upgraded, 0, or an error
 * that has been told. */
int apt_upgrade(Phase *p, UpdateMode mode) _must_check_ _nonnull_all_;

/* Completes what an interrupted dpkg left. Announced if there is something. Returns 1 if so, 0 if all was
 * well, or an error that has been told. Waits for another program that holds dpkg's lock. */
int apt_repair(Phase *p) _must_check_ _nonnull_all_;

/* Purges packages, for undo: -EBUSY, told, if apt would have to take others along that are not in the list.
 * Those not installed are left out. Returns 1 if something was removed, 0, or an error that has been told. */
int apt_remove(Phase *p, char *const *packages) _must_check_;
