/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Firewalld: the few calls to that daemon that gpuvm needs, over the system bus.
 *
 * Each interface is in one zone: by a binding, or, if there is none, in the default zone. There are bindings
 * of now, which go when firewalld loads its files again, and lasting ones, which count from then on.
 * firewalld is not started for any of these calls. Errors as bus.h has them. */

#include "bus.h"

/* Returns 1 if somebody answers to that name, or 0. */
int firewalld_is_running(Bus *b) _must_check_ _nonnull_all_;

int firewalld_default_zone(Bus *b, char **ret) _must_check_ _nonnull_all_;

/* The zone that the interface is bound to. Returns 1, or 0 and NULL if there is none. */
int firewalld_zone_of(Bus *b, const char *interface, bool lasting, char **ret) _must_check_ _nonnull_all_;

/* Returns 1 if what comes in by one interface of the zone may leave by each that is bound to it, or 0. */
int firewalld_zone_forwards(Bus *b, const char *zone) _must_check_ _nonnull_all_;

/* Returns 1 if the binding is made, or taken away, now; 0 if it was so before. */
int firewalld_bind(Bus *b, const char *zone, const char *interface, bool lasting) _must_check_ _nonnull_all_;
int firewalld_unbind(Bus *b, const char *zone, const char *interface,
                     bool lasting) _must_check_ _nonnull_all_;

/* Where a zone that comes with firewalld has a file in /etc that says the same, as is left when a binding is
 * taken out again: firewalld's own counts again. What fails is of no consequence. */
void firewalld_tidy(Bus *b, int root, const char *zone) _nonnull_all_;
