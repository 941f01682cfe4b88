/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Metadata: what a machine says of itself in gpuvm's element of its domain XML: written by domain.c when it
 * is made, read here. A machine without it is somebody else's, and is left alone. Pure. */

#include "macro.h"
#include "strv.h"
#include "xml.h"

#define METADATA_URI "urn:gpuvm:vm:1"

typedef struct Metadata {
        char *kind;        /* "talos", "ubuntu", "debian" */
        char *created;     /* as its maker wrote it; these are NULL where it says nothing */
        unsigned took_sec; /* until it could start for the first time; 0: it says nothing */
        char *image, *user;
        char *address, *gateway; /* reserved for it; address with prefix length */
        char *mac; /* of its interface; NULL: the one of its UUID (guestnet_mac()), or unknown */
        char *seed;
        char *log;      /* what its serial console says */
        char **disks;   /* paths: what create made, and delete removes */
        char **gpus;    /* "0000:01:00.0", each card's first function */
        char *gpu_wish; /* "2 x RTX 4090": chosen at each start; NULL: none (gpuwish.h) */
        char **told;    /* what else it was asked for (vmtold.h); NULL: it does not say */
} Metadata;

/* xml: the element, with or without its prefix, or a whole <domain> that has it. Returns 1; 0 if there is
 * none; -EBADMSG for what is no XML, or an element of ours that lacks what it must have or names a path that
 * is none of a file below a directory; -ENOPKG or -ENOMEM. */
int metadata_parse(const char *xml, Metadata *ret) _must_check_ _nonnull_all_;
void metadata_done(Metadata *m);

/* The element itself; NULL if there is none. */
const XmlNode *metadata_find(const XmlDoc *d) _nonnull_all_;
