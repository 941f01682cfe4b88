/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Vmhost: what of this host matters to a new machine: reads /proc, /sys, /run and the routes, and asks
 * nobody.
 */

#include "vmplan.h"

/* KVM works here, as far as we may see. */
bool vmhost_has_kvm(int root);

/* All but names, addresses, MACs and which machine has a GPU: libvirt knows those. holders: as
 * gpustate_read(). Returns 0 or -errno. */
int vmhost_read(int root, const Conf *c, bool holders, VmHost *ret) _must_check_ _nonnull_all_;

/* Another machine has these functions, and so each GPU that shares an IOMMU group with one of them: uses it,
 * or shares it where they are never on together (h->apart). functions: addresses, or NULL. Returns 0 or
 * -ENOMEM. */
int vmhost_mark_used(VmHost *h, char *const *functions, const char *machine) _must_check_
                __attribute__((nonnull(1, 3)));

/* That machine is off before the new one starts. */
void vmhost_add_free(VmHost *h, const VmMemory *m) _nonnull_all_;

/* Pure parsers of what the kernel writes. CPUs of a list like "0-3,8", 0 for what is none; kB of a line of
 * /proc/meminfo, 0 if there is no such line. */
unsigned vmhost_count_cpus(const char *list) _nonnull_all_;
uint64_t vmhost_meminfo(const char *text, const char *key) _nonnull_all_;
