/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Computejob: compute's child, and NVIDIA's library in it. For compute.c alone. */

#include "worker.h"

/* See WorkerServe in worker.h. A request is a GPU's address; the result a ComputeVerdict; the answer has a
 * line each for the library's version, its CUDA, the GPU's model, and what failed. */
int computejob_serve(int root, const char *request, size_t n, char answer[WORKER_ANSWER_MAX]) _must_check_
                __attribute__((nonnull(2, 4)));
