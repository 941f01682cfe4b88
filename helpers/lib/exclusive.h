/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Exclusive: the phase that gives each GPU what its mode asks for: what binds exclusive ones at boot, their
 * units, and the way back for those that are exclusive no longer. */

#include "gpuswitch.h"

/* All of the phase. Returns 0, PHASE_NOT_APPLICABLE, or a negative result that has been told. */
int exclusive_setup(const GpuSwitch *s) _must_check_ _nonnull_all_;

/* Remembers in /run that this GPU went to VFIO because it is exclusive: should it become flexible, the phase
 * takes it back, and never one that somebody attached by hand. Returns 0, also for a flexible GPU. */
int exclusive_remember(const Phase *p, const Conf *c, const PciDevice *d) _must_check_ _nonnull_all_;

/* The same of the owner of its group, which was started for this GPU just now: it is the owner that goes
 * back. owner: as it was before. Returns 0, also where the owner was on VFIO by then, for whatever reason. */
int exclusive_remember_owner(const Phase *p, const Conf *c, const PciDevice *d,
                             const PciDevice *owner) _must_check_ _nonnull_all_;

/* Returns 1 if the exclusive GPU that was remembered was pulled out and there is a card at its address again,
 * which that was not done for; 0 if not, or if nobody knows. */
int exclusive_is_replaced(const Phase *p, const PciDevice *d) _must_check_ _nonnull_all_;

/* Notes in /run which card the start of an exclusive GPU's unit is about, before it begins, and remembers a
 * GPU that VFIO has or is to have by then: the early rule meant it, whether the start succeeds or not, and
 * also where the machine was restarted after the mode went back, before the phase could take the rule away.
 * One that somebody else has claimed for VFIO (claims.h) is not ours to take back. Returns 0, also for a
 * flexible GPU. */
int exclusive_begin(const GpuSwitch *s, const PciDevice *d) _must_check_ _nonnull_all_;

/* Returns 1 if one of these GPUs, which are a group, is remembered, 0 if not. */
int exclusive_is_remembered(const Phase *p, const PciBus *group) _must_check_ _nonnull_all_;

/* Returns 1 if the card is another than that which the last start was about; 0 if not, or if nobody knows. */
int exclusive_is_new(const Phase *p, const PciDevice *d) _must_check_ _nonnull_all_;
