/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <inttypes.h>

#include "fs.h"
#include "qemuimg.h"

#define QEMU_IMG "/usr/bin/qemu-img"

enum { SHORT_SEC = 60, CHECK_SEC = 1800, COPY_SEC = 7200 };

static int run(const QemuImg *q, unsigned seconds, const char *const *argv) {
        return child_run(&(Child){
                        .argv = argv,
                        .root = q->root,
                        .timeout_usec = seconds * USEC_PER_SEC,
                        .on_stderr = q->said,
                        .stop = q->stop,
        });
}

int qemuimg_overlay(const QemuImg *q, const char *base, const char *format, const char *path, uint64_t size) {
        char bytes[32];

        (void) snprintf(bytes, sizeof(bytes), "%" PRIu64, size);
        return run(q, SHORT_SEC,
                   (const char *const[]){ QEMU_IMG, "create", "-q", "-f", "qcow2", "-b", base, "-F", format,
                                          path, bytes, NULL });
}

int qemuimg_flatten(const QemuImg *q, const char *from, const char *to, bool compress) {
        /* -t none: a copy of gigabytes pushes nothing else out of the page cache, and is on the disk. */
        return run(q, COPY_SEC,
                   (const char *const[]){ QEMU_IMG, "convert", "-q", compress ? "-c" : "-q", "-f", "qcow2",
                                          "-O", "qcow2", "-T", "none", "-t", "none", from, to, NULL });
}

int qemuimg_check(const QemuImg *q, const char *path) {
        return run(q, CHECK_SEC, (const char *const[]){ QEMU_IMG, "check", "-q", "-f", "qcow2", path, NULL });
}
