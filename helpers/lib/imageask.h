/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Imageask: the small questions before a download: which version, which schematic, which sum. */

#include "imagepull.h"
#include "imagesource.h"

typedef struct ImageAsk {
        int root;
        const char *root_path;
        const char *factory; /* the base URL of Talos's image factory */
        const char *github;  /* the URL that knows the newest release where the factory does not answer */
        const char *ca_file; /* see fetch.h */
        int cache;           /* a directory for what gpgv(1) reads, which is removed again */
        void (*tick)(void *userdata);
        void *userdata;
        bool (*stop)(void); /* see fetch.h */
} ImageAsk;

/* The newest Talos: "v1.13.9". */
int imageask_talos_latest(const ImageAsk *a, char **ret, ImageFailure *reterr) _must_check_ _nonnull_all_;

/* The id of the schematic with these extensions for that version, which are all known to the factory. */
int imageask_schematic(const ImageAsk *a, const char *version, char *const *extensions, char **ret,
                       ImageFailure *reterr) _must_check_ __attribute__((nonnull(1, 2, 4, 5)));

/* The sum of an image, from a list whose signature is good where it has one and it can be checked.
 * ret_signature (static): see ImageEntry. -EKEYREJECTED: the signature is bad. */
int imageask_sum(const ImageAsk *a, const ImagePlace *p, char ret[static DIGEST_HEX_MAX],
                 const char **ret_signature, ImageFailure *reterr) _must_check_ _nonnull_all_;
