/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Grouplock: who does something with the GPUs of an IOMMU group that nobody else may do meanwhile: a
 * hand-over, a reset, a call of NVIDIA's library that has the GPU open. */

#include "macro.h"

/* group: the number of its owner's (iommu.h). Returns the lock, to be closed; no child may have it.
 * -EWOULDBLOCK if somebody has it. */
int grouplock_try(int root, int group) _must_check_;
