/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Vmdefined: what a machine is, by its definition and what gpuvm's element in it says; and the same as a file
 * (gpuvm.vm(5)). Pure. */

#include "metadata.h"

typedef struct VmDefined {
        Metadata metadata;
        unsigned cpus;
        uint64_t memory;   /* KiB */
        uint64_t page;     /* KiB, of hugepages; 0: ordinary ones */
        int node;          /* of the host's, that all its memory is from; -1: from anywhere */
        uint64_t disk;     /* bytes of the first one; 0: unknown. Its reader's to set */
        bool bios, pinned; /* pinned: each CPU has one of the host's to itself */
        bool screen;
        char *rom;         /* of its first card: "on", "off" or a file; NULL: it has no card */
        char *description; /* NULL: none */
        char *network;     /* libvirt's; NULL: a bridge, or none */
        char *mac;         /* of its first interface; NULL: none */
        char *store;       /* the host's directory that it has as its store of models; NULL: none */
} VmDefined;

void vmdefined_done(VmDefined *d);

/* xml: the whole definition. Returns 1; 0 for a machine that is somebody else's; -EBADMSG for what is no
 * definition, -ENOPKG or -ENOMEM. */
int vmdefined_parse(const char *xml, VmDefined *ret) _must_check_ _nonnull_all_;

/* Files and devices that its disks are in, of any machine's definition. Returns 0, or as above. */
int vmdefined_disks(const char *xml, char ***ret) _must_check_ _nonnull_all_;

/* Its store of models, NULL for none, and whether libvirt keeps it read-only; of any machine's definition.
 * What somebody shares beside it is theirs. As vmdefined_disks(). */
int vmdefined_store(const char *xml, char **ret, bool *ret_readonly) _must_check_ _nonnull_all_;

/* Of the image that it was made from: "24.04"; NULL where that is not known. Borrowed. */
const char *vmdefined_release(const VmDefined *d) _nonnull_all_;

/* autostart: it starts with the host. Returns 0, -EINVAL where something of it fits in no line, or -ENOMEM.
 */
int vmdefined_format(const VmDefined *d, bool autostart, char **ret) _must_check_ _nonnull_all_;
