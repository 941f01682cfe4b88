/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Preflight: can this machine become, or go on being, what the configuration asks for?
 *
 * Pure: facts and configuration in, findings out. Evidence decides, never a word on a command line by itself.
 * A failure is only what makes the goal unreachable; what another phase will put right is none, and whatever
 * the configuration leaves out (Kvm=no, Vfio=no) is not asked of the machine. */

#include "conf.h"
#include "facts.h"
#include "findings.h"

/* Everything, the machine first, then its GPUs. Returns 0 or -ENOMEM; what was found so far is in ret either
 * way, so ret starts empty and is always given to findings_done(). */
int preflight_judge(const Facts *f, const Conf *c, Findings *ret) _must_check_ _nonnull_all_;
