/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Busorder: who comes after a unit, by systemd's order. */

#include "bus.h"

/* Units that are ordered after this one (After=) and start next: they have a job to be restarted, or one to
 * be started that waits still. None is an empty list. */
int busorder_next(Bus *b, const char *unit, char ***ret) _must_check_ _nonnull_all_;
