/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Vmstore: the directory of the host's that a machine shares by virtiofs (ModelStore= in gpuvm.vm(5)).
 *
 * A guest's root mounts it as it likes, so the host has to keep it from writing. From 11.0 on libvirt does;
 * else the directory has to be on a read-only mount, each time that the machine starts. */

#include "macro.h"

/* Returns a descriptor to look at it with, or -errno. */
int vmstore_open(int root, const char *path) _must_check_ _nonnull_all_;
/* Returns 1 if nobody can write below it, 0, or -errno. In the name space of a unit with ProtectSystem=strict
 * that is so everywhere. */
int vmstore_is_readonly(int fd) _must_check_;

typedef struct VmStoreRefusal {
        char *cause, *remedy; /* a sentence each, without its full stop */
} VmStoreRefusal;

void vmstore_refusal_done(VmStoreRefusal *r);

/* Whether the machine of that definition may start. root: below zero on another host than its own, where
 * nobody sees how the directory is mounted. Returns 1; 0: no, as *ret says; or as vmdefined_parse().
 */
int vmstore_may_start(int root, const char *name, const char *xml,
                      VmStoreRefusal *ret) _must_check_ _nonnull_all_;
