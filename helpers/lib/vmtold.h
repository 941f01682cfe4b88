/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Vmtold: what a machine was asked for when it was made that neither its definition nor the rest of what it
 * says of itself (metadata.h) shows, because its guest was told it at the first boot. It is kept as lines of
 * a file, "Packages=vim", one for each value. No secret is among it: those are in files, whose paths are.
 * Pure. */

#include "vmfile.h"

/* Whether a key is kept. Join= is not: it is worth nothing once the machine has joined. */
bool vmtold_has(VmKey k);

/* f: what is asked for. *ret: the lines; NULL if one of them is nothing that a definition can hold. Returns 0
 * or -ENOMEM. */
int vmtold_write(const VmFile *f, char ***ret) _must_check_ _nonnull_all_;

/* The other way round, into a file that has none of these keys; what is no such line is left out. told: NULL
 * is none. Returns 0 or -ENOMEM. */
int vmtold_read(char *const *told, VmFile *f) _must_check_ __attribute__((nonnull(2)));
