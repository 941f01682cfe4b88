/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Imagefile: a disk image that somebody has brought along, looked at before QEMU sees it; and the thin disk
 * of a machine that is made on one. */

#include "macro.h"

typedef struct ImageFile {
        const char *format; /* "raw" or "qcow2", static: to be given to QEMU, never to be guessed */
        uint64_t size;      /* virtual, in bytes */
} ImageFile;

/* Returns 0; -EBADMSG and why a machine cannot be made from it, in words that go on after its name (static);
 * or -errno. */
int imagefile_look(const char *path, ImageFile *ret, const char **reterr_reason) _must_check_ _nonnull_all_;

/* Makes a qcow2 image that is a thin layer over another one, which stays as it is: 0600, whole and on the
 * disk, or not there. root: see fs.h. size: bytes. */
int imagefile_overlay(int root, const char *base, const char *format, const char *path,
                      uint64_t size) _must_check_ _nonnull_all_;
