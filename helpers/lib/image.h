/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Image: a disk image to make machines from: found in the cache, or downloaded, checked and put there.
 *
 * Two that want the same image: one download. What is in the cache costs a look at two files: nothing is read
 * from it, and nobody is asked. */

#include "imagecache.h"
#include "imageplan.h"

/* Returns 0 and the entry (imagecache.h), held until image_entry_done(); or -errno and what to tell. Those
 * that callers may tell apart: -ENOENT no such release, version or image; -EACCES the cache cannot be
 * written; -EKEYREJECTED, -EBADMSG what came must not be used; -ETIMEDOUT, -ENETUNREACH the network. */
int image_get(const ImageSetup *s, const ImageWant *w, ImageEntry *ret,
              ImageFailure *reterr) _must_check_ _nonnull_all_;

/* The same from the cache only, without a word to anybody: -ENOENT if it is not there. */
int image_find(const ImageSetup *s, const ImageWant *w, ImageEntry *ret,
               ImageFailure *reterr) _must_check_ _nonnull_all_;
