/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <sys/file.h>

#include "fs.h"
#include "grouplock.h"

#define LOCK_DIR "/run/gpuvm/lock"

int grouplock_try(int root, int group) {
        _cleanup_free_ char *path = NULL;
        _cleanup_close_ int fd = -EBADF;
        int r;

        r = str_printf(&path, LOCK_DIR "/group-%d", group);
        if (r >= 0)
                r = fs_mkdir_p(root, LOCK_DIR, 0755);
        if (r < 0)
                return r;
        fd = fs_open(root, path, O_RDWR | O_CREAT, 0600);
        if (fd < 0)
                return fd;
        if (flock(fd, LOCK_EX | LOCK_NB) < 0)
                return errno == EINTR ? -EWOULDBLOCK : negative_errno();
        return TAKE_FD(fd);
}
