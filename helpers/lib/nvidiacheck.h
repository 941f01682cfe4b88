/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Nvidiacheck: the part of preflight that is about NVIDIA's driver: what the nvidia phase will decide, told
 * before the first change. */

#include "conf.h"
#include "findings.h"

/* Adds the findings "driver", by the same decision as the phase. What only that phase can know, after it has
 * asked the distribution, is left to it. Returns 0 or -ENOMEM. */
int nvidiacheck_add(int root, const Conf *c, Findings *ret) _must_check_ __attribute__((nonnull(2, 3)));

/* Whether this host is to have NVIDIA's driver, for GPUs of its own. Returns 1, 0 if not or if that cannot be
 * told here, or -ENOMEM. */
int nvidiacheck_wants_driver(int root, const Conf *c) _must_check_ __attribute__((nonnull(2)));
