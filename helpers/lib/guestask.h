/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Guestask: asks libvirt and the agent of a machine that runs for what guestcheck.h judges. What the guest
 * answers is the guest's word: nothing but a verdict depends on it. Needs no network. In facts the name is
 * set. */

#include "guestcheck.h"
#include "metadata.h"

/* Does its agent answer? First of all: without it nobody is asked. Returns 0 or -ENOMEM. */
int guestask_agent(Virt *v, GuestFacts *f) _must_check_ _nonnull_all_;

/* Which GPUs it has and should have, and what its kernel sees. root: of the host, to look them up; negative:
 * that cannot be done. Returns 0, or an error of libvirt's. */
int guestask_gpus(Virt *v, int root, const Metadata *m, GuestFacts *f) _must_check_ _nonnull_all_;

/* NVIDIA's own word on whether its driver works; a guest without nvidia-smi gives none. After the GPUs. */
void guestask_smi(Virt *v, GuestFacts *f) _nonnull_all_;

/* How far cloud-init is. */
void guestask_init(Virt *v, GuestFacts *f) _nonnull_all_;
