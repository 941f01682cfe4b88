/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Image: a disk image to make machines from: found in the cache, or downloaded, checked and put there.
 *
 * Two that want the same image: one download. What is in the cache costs a look at two files: nothing is read
 * from it, and nobody is asked. */

#include "gpuarch.h"
#include "imagecache.h"
#include "imagepull.h"
#include "imagesource.h"

typedef struct ImageWant {
        ImageKind kind;
        const char *release; /* "25.10", "noble", "13", "v1.13.9"; NULL: the standard one, the newest Talos */
        const char *arch;    /* "amd64" or "arm64"; NULL: this machine's */
        const char *schematic; /* Talos: 64 hex digits; NULL: one with what the GPUs need */
        const GpuArch *gpus;   /* one for each GPU that the machine gets */
        size_t n_gpus;
} ImageWant;

/* Where it comes from and goes to. Zeroed with a root: the public places. */
typedef struct ImageSetup {
        int root;                              /* see fs.h */
        const char *root_path;                 /* its path, or NULL for "/" */
        const char *factory, *ubuntu, *debian; /* NULL: the public ones */
        bool refresh;                          /* look for a newer build; machines keep the one they have */
        uint64_t stall_usec;                   /* see fetch.h; 0: 15 s */
        uint64_t max;                          /* bytes that an image may have unpacked; 0: 16 GiB */
        ImageProgressFunction progress;        /* or NULL */
        void *userdata;
} ImageSetup;

/* Returns 0 and the entry (imagecache.h), held until image_entry_done(); or -errno and what to tell. Those
 * that callers may tell apart: -ENOENT no such release, version or image; -EACCES the cache cannot be
 * written; -EKEYREJECTED, -EBADMSG what came must not be used; -ETIMEDOUT, -ENETUNREACH the network. */
int image_get(const ImageSetup *s, const ImageWant *w, ImageEntry *ret,
              ImageFailure *reterr) _must_check_ _nonnull_all_;

/* The same from the cache only, without a word to anybody: -ENOENT if it is not there. */
int image_find(const ImageSetup *s, const ImageWant *w, ImageEntry *ret,
               ImageFailure *reterr) _must_check_ _nonnull_all_;
