/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Containerengine: the programs that run containers, as far as they have to be told about GPUs. */

#include "phase.h"
#include "undo.h"

/* True if there is one: Docker, Podman, containerd, CRI-O. */
bool containerengine_is_here(int root);

/* Docker gets NVIDIA's runtime, by the words of nvidia-ctk(1), recorded for undo, and is told to read its
 * configuration again: no container stops for that. Podman needs nothing, as it knows GPUs by CDI. What
 * configures the others is a note: they would have to be restarted. What fails is a note as well, since the
 * host's own use of the GPUs does not hang on it. Returns 0, or an error that has been told. */
int containerengine_configure(Phase *p, Undo *u) _must_check_ _nonnull_all_;

/* Docker reads its configuration again, if it runs; what fails is a note. Only for the running machine. */
void containerengine_reload(Phase *p) _nonnull_all_;

/* With NVIDIA's toolkit gone, so is what its unit wrote until the next start: containers would be promised
 * GPUs by programs that are not there. What an administrator had written to /etc/cdi stays. A negative result
 * has been told. */
int containerengine_tidy(Phase *p) _must_check_ _nonnull_all_;

/* After a GPU has changed hands: NVIDIA's own unit writes the specification of what containers can ask for
 * (CDI) anew, where it has done so before. Not waited for. Only for the running machine. */
void containerengine_refresh(Phase *p) _nonnull_all_;
