/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Nvidiamodule: NVIDIA's kernel module, for each kernel that may start next, and on the GPUs of the host. A
 * negative result has been told. */

#include "nvidiahost.h"
#include "phase.h"

/* DKMS is run for a kernel that has no module, where it is built here; else the newest kernel has to have the
 * distribution's. What was installed may have brought a kernel: f learns of it. */
int nvidiamodule_ensure(Phase *p, const NvidiaPlan *plan, NvidiaFacts *f) _must_check_ _nonnull_all_;

/* Loads the module where a GPU of the host has no driver, and asks for a restart where it has another, or
 * where the loaded module is not of the library's version and the next one is. CUDA's device node is made
 * where NVIDIA's own program for that is here. */
int nvidiamodule_bind(Phase *p, const NvidiaFacts *f) _must_check_ _nonnull_all_;
