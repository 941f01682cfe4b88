/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Imagestock: the images of this host, and which of them disks are made on. Each function tells what goes
 * wrong with it. */

#include "conf.h"
#include "imagecache.h"
#include "vmctl.h"

typedef struct ImageStock {
        int root; /* -EBADF before imagestock_open() */
        Conf conf;
        ImageEntry *entries;
        size_t n;
        char **used; /* files that disks are made on */
} ImageStock;

void imagestock_done(ImageStock *s);

/* The host and its configuration, and no image yet. */
int imagestock_open(ImageStock *s) _must_check_ _nonnull_all_;
/* The same, and the entries. */
int imagestock_load(ImageStock *s) _must_check_ _nonnull_all_;

/* Fills in used. need: it has to be known, because something is going to be removed, so that libvirt's
 * machines are asked, too. */
int imagestock_look_at_use(ImageStock *s, bool need) _must_check_ _nonnull_all_;

/* The image of that name; NULL if there is none. */
const ImageEntry *imagestock_get(const ImageStock *s, const char *name) _nonnull_all_;
/* The same, and tells if there is none. */
const ImageEntry *imagestock_find(const ImageStock *s, const char *name) _nonnull_all_;
