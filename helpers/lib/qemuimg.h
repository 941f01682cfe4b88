/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Qemuimg: qemu-img(1), for what is made of disk images while no machine has them. Formats are always said,
 * never guessed. */

#include "child.h"

typedef struct QemuImg {
        int root;           /* see fs.h */
        ChildLine said;     /* what it complains of; or NULL */
        bool (*stop)(void); /* true ends it with -EINTR; or NULL */
} QemuImg;

/* Each returns 0, above 0 where qemu-img failed, -ENOENT without it, -ETIMEDOUT, -EINTR or another -errno. */

/* All layers in one qcow2 image, without what is zero. */
int qemuimg_flatten(const QemuImg *q, const char *from, const char *to,
                    bool compress) _must_check_ _nonnull_all_;

/* Makes the disk in a qcow2 image larger. qemu-img fails where a machine has the image. */
int qemuimg_grow(const QemuImg *q, const char *path, uint64_t bytes) _must_check_ _nonnull_all_;

/* That a qcow2 image is sound. */
int qemuimg_check(const QemuImg *q, const char *path) _must_check_ _nonnull_all_;
