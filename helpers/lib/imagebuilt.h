/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Imagebuilt: how an image that was built here becomes one of the cache, and what is known of it beside what
 * imageentry.h says: from what and with what it was made. */

#include "buildinit.h"
#include "imagecache.h"

#define IMAGEBUILT_SIGNATURE "built here"

/* One that is from these inputs has this sum: of its base, of what its guest was told, and of its form. */
int imagebuilt_recipe(const ImageEntry *base, const char *user_data, uint64_t size, bool compress,
                      char ret[static DIGEST_HEX_MAX]) _must_check_ _nonnull_all_;

/* The sum of the inputs that it was built from; "" for one that was downloaded. Owned by e until
 * image_entry_done(). */
const char *imagebuilt_recipe_of(const ImageEntry *e) _nonnull_all_;

/* True if it was built with NVIDIA's driver. */
bool imagebuilt_has_driver(const ImageEntry *e) _nonnull_all_;

typedef struct ImageBuilt {
        const char *name;
        const ImageEntry *base;
        const BuildAnswer *answer;
        const char *recipe;
        const char *part; /* its file in the cache until now */
        uint64_t size;
        unsigned seconds; /* that it took */
        bool compress;
} ImageBuilt;

/* Sums it up, syncs it, names it by its content and makes it the entry of its name. Returns 0 and the entry.
 */
int imagebuilt_adopt(int root, int cache, const ImageBuilt *b, ImageEntry *ret) _must_check_
                __attribute__((nonnull(3, 4)));
