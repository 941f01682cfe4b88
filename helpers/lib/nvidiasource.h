/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Nvidiasource: what apt has to be told before it can install what nvidia.h decided. All of it is announced
 * and recorded; a negative result has been told. */

#include "nvidiahost.h"
#include "phase.h"
#include "undo.h"

/* Debian's other components, or NVIDIA's repository and a pin to the branch. sources: what apt has now. */
int nvidia_source_add(Phase *p, Undo *u, const NvidiaFacts *f, const NvidiaPlan *plan,
                      const AptSources *sources) _must_check_ _nonnull_all_;

/* The repository of the toolkit for containers. */
int nvidia_source_add_containers(Phase *p, Undo *u, const NvidiaFacts *f,
                                 const AptSources *sources) _must_check_ _nonnull_all_;

/* unattended-upgrades is told to leave the driver alone: its library and the loaded module have to be of one
 * version. The distribution's driver gets a pin besides that keeps NVIDIA's repository out of it. */
int nvidia_source_keep_together(Phase *p, Undo *u, const NvidiaPlan *plan) _must_check_ _nonnull_all_;
