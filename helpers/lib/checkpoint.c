/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>

#include "checkpoint.h"
#include "fs.h"

/* fs/ext4/ext4.h; <linux/ext4.h> is younger than some C libraries' headers. */
#ifndef EXT4_IOC_CHECKPOINT
#define EXT4_IOC_CHECKPOINT _IOW('f', 43, uint32_t)
#endif

/* Without a journal, on an older kernel, or where that is not for us to ask: syncfs(2) has done what can be
 * done. */
static bool is_not_for_us(int error) {
        return error == ENODEV || error == ENOTTY || error == EOPNOTSUPP || error == EPERM;
}

int checkpoint(int root, const char *dir) {
        _cleanup_close_ int fd = fs_open(root, dir, O_RDONLY | O_DIRECTORY, 0);
        const uint32_t flags = 0;
        struct statfs fs;

        if (fd < 0)
                return fd;
        if (syncfs(fd) < 0 || fstatfs(fd, &fs) < 0)
                return -errno;
        if (fs.f_type != EXT4_SUPER_MAGIC || ioctl(fd, EXT4_IOC_CHECKPOINT, &flags) >= 0)
                return 0;
        return is_not_for_us(errno) ? 0 : -errno;
}
