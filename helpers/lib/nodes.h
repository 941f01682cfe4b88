/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Nodes: the devices through which a PCI function is used, known by their numbers.
 *
 * From sysfs (DRM with its connectors, frame buffers, I2C, sound, VFIO, NVMe, verbs, disks) and, for a GPU on
 * NVIDIA's own driver, from its list in /proc. Nothing is looked for in /dev: a container may have made the
 * same device under any name. */

#include <sys/stat.h>
#include <sys/types.h>

#include "pci.h"

typedef struct Node {
        dev_t number;
        bool block; /* a block device; else a character device */
        char *name; /* as a user is told: "/dev/nvidia0", "drm/card1", "snd/pcmC1D3p", "fb0", "i2c-4" */
} Node;

typedef struct Nodes {
        Node *list;
        size_t n;
        bool any_nvidia; /* a GPU on the NVIDIA driver whose number is not known: every number may be its */
        bool any_vfio;   /* a function on a VFIO driver */
        unsigned vfio_major; /* of the groups; 0: not known */
} Nodes;

/* Of these n functions. */
int nodes_of(int root, const PciDevice *const *devices, size_t n, Nodes *ret) _must_check_;
void nodes_done(Nodes *s);

/* The name of the node that this file is, or NULL. */
const char *nodes_match(const Nodes *s, const struct stat *st) _nonnull_all_;

/* vfio-pci and the variant drivers, which all end in it. */
bool nodes_is_vfio_driver(const char *driver) _nonnull_all_;
