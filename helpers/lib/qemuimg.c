/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "qemuimg.h"
#include "fs.h"

#define QEMU_IMG "/usr/bin/qemu-img"

enum { CHECK_SEC = 1800, COPY_SEC = 7200 };

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

int qemuimg_check(const QemuImg *q, const char *path) {
        return run(q, CHECK_SEC, (const char *const[]){ QEMU_IMG, "check", "-q", "-f", "qcow2", path, NULL });
}
