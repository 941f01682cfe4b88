/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include "openfile.h"

bool openfile_is_gone(int r) {
        return r == -ENOENT || r == -ESRCH || r == -ENOTDIR;
}

bool openfile_is_forbidden(int r) {
        return r == -EACCES || r == -EPERM;
}

/* What an open or mapped file is: type and number, as far as the kernel knows without asking a server. */
int openfile_look_at(int dir, const char *name, struct stat *ret) {
        struct statx x;

        if (statx(dir, name, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_TYPE, &x) < 0)
                return -errno;
        *ret = (struct stat){
                .st_mode = x.stx_mode,
                .st_rdev = makedev(x.stx_rdev_major, x.stx_rdev_minor),
        };
        return 0;
}

/* A user's own FUSE file system (sshfs, the document portal, an AppImage) answers nobody else, root included.
 * On one that was mounted without device files, as fusermount does, nobody has a device open. statfs(2) is
 * answered by the kernel: fuse_statfs() in fs/fuse/inode.c. */
bool openfile_is_without_devices(int dir, const char *name) {
        _cleanup_close_ int fd = openat(dir, name, O_PATH | O_CLOEXEC);
        struct statfs fs;

        return fd >= 0 && fstatfs(fd, &fs) >= 0 && fs.f_type == FUSE_SUPER_MAGIC && (fs.f_flags & ST_NODEV);
}
