/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <inttypes.h>

#include "fs.h"
#include "qemuimg.h"

#define QEMU_IMG "/usr/bin/qemu-img"

enum { CHECK_SEC = 1800, COPY_SEC = 7200, GROW_SEC = 300 };

static int run(const QemuImg *q, unsigned seconds, const char *const *argv) {
        return child_run(&(Child){
                        .argv = argv,
                        .root = q->root,
                        .timeout_usec = seconds * USEC_PER_SEC,
                        .on_stderr = q->said,
                        .stop = q->stop,
        });
}

int qemuimg_flatten(const QemuImg *q, const char *from, const char *to, bool compress) {
        /* -t none: a copy of gigabytes pushes nothing else out of the page cache, and is on the disk. */
        return run(q, COPY_SEC,
                   (const char *const[]){ QEMU_IMG, "convert", "-q", compress ? "-c" : "-q", "-f", "qcow2",
                                          "-O", "qcow2", "-T", "none", "-t", "none", from, to, NULL });
}

int qemuimg_grow(const QemuImg *q, const char *path, uint64_t bytes) {
        char size[sizeof("18446744073709551615")];

        (void) snprintf(size, sizeof(size), "%" PRIu64, bytes);
        return run(q, GROW_SEC,
                   (const char *const[]){ QEMU_IMG, "resize", "-q", "-f", "qcow2", path, size, NULL });
}

int qemuimg_check(const QemuImg *q, const char *path) {
        return run(q, CHECK_SEC, (const char *const[]){ QEMU_IMG, "check", "-q", "-f", "qcow2", path, NULL });
}
