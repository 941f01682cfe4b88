/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Nvidiaversion: of which versions the parts of NVIDIA's driver are that have to be of the same one: the
 * module that the kernel has loaded, and CUDA's library. */

#include "macro.h"

/* Each returns 0, -ENOENT if there is none, or another -errno. */
int nvidiaversion_loaded(int root, char **ret) _must_check_ __attribute__((nonnull(2)));
int nvidiaversion_library(int root, char **ret) _must_check_ __attribute__((nonnull(2)));
