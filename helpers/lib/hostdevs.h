/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Hostdevs: the host's PCI functions in libvirt's description of a machine: which ones it has, where there is
 * room for more, and the same description with a card more or less in it. Pure. */

#include "bdf.h"

/* Addresses as sysfs writes them; empty for a machine without any. Returns 0, -EBADMSG for what is no
 * domain's XML, -ENOPKG or -ENOMEM. A device that is none of ours to understand (USB, mediated) is left out.
 */
int hostdevs_parse(const char *xml, char ***ret) _must_check_ _nonnull_all_;

/* What is in one slot of the host, function 0 first. */
typedef struct HostdevCard {
        Bdf functions[8];
        size_t n;
        bool is_gpu; /* gpuvm's own element names it, by its first function */
} HostdevCard;

/* Where a machine that runs has one function of the host's. */
typedef struct HostdevPlace {
        char alias[64]; /* libvirt's name for it */
        unsigned bus, slot;
} HostdevPlace;

/* Returns 1, 0 if the machine does not have it; else as hostdevs_parse(). */
int hostdevs_find(const char *xml, Bdf function, HostdevPlace *ret) _must_check_
                __attribute__((nonnull(1, 3)));

/* The root ports of a machine that runs which are empty and take something. As hostdevs_parse(). */
int hostdevs_free_ports(const char *xml, unsigned **ret, size_t *ret_n) _must_check_ _nonnull_all_;

/* What keeps a machine that runs from getting a GPU, and what to do about it, for a user; NULL if nothing
 * does. As hostdevs_parse(). */
int hostdevs_refusal(const char *xml, char **ret) _must_check_ _nonnull_all_;

/* The definition with these cards, each as it is on the host: all functions in one slot, behind a root port
 * of its own. As many root ports as before stay free, the memory has no balloon, and under KVM the guest has
 * the host's physical address bits. Returns 1, or 0 if it is so already; -EOPNOTSUPP if the machine has no
 * root ports; else as hostdevs_parse(). */
int hostdevs_add(const char *xml, const HostdevCard *cards, size_t n, char **ret) _must_check_ _nonnull_all_;
/* The definition without them. Returns 1, or 0 if it has none of them; else as hostdevs_parse(). */
int hostdevs_remove(const char *xml, const HostdevCard *cards, size_t n,
                    char **ret) _must_check_ _nonnull_all_;

/* gpuvm's own element, alone, with these cards named in it or not. Returns 1, 0 if it is so already, or
 * -EBADMSG if it is none. */
int hostdevs_note(const char *element, const HostdevCard *cards, size_t n, bool has,
                  char **ret) _must_check_ _nonnull_all_;
