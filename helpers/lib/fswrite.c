/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "fs.h"

/* A fixed name: what a cut left behind is reused, so nothing piles up. No known reader of a .d directory
 * takes hidden files. */
#define TEMPORARY ".%s.gpuvm-new"

int write_all(int fd, const void *data, size_t size) {
        const char *p = data;

        while (size > 0) {
                ssize_t n = write(fd, p, size);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                p += n;
                size -= (size_t) n;
        }
        return 0;
}

/* Writes, sets mode and owner and fsyncs; the caller publishes or unlinks. */
static int fill(int dir, const char *temp, const void *data, size_t size, mode_t mode, uid_t uid, gid_t gid) {
        _cleanup_close_ int fd = -EBADF;
        int r;

        fd = RET_NERRNO(openat(dir, temp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600));
        if (fd < 0)
                return fd;
        r = write_all(fd, data, size);
        if (r >= 0 && (uid != (uid_t) -1 || gid != (gid_t) -1))
                r = RET_NERRNO(fchown(fd, uid, gid));
        if (r >= 0)
                r = RET_NERRNO(fchmod(fd, mode));
        if (r >= 0)
                r = RET_NERRNO(fsync(fd));
        return r;
}

int fs_write_atomic(int root, const char *path, const void *data, size_t size, mode_t mode) {
        return fs_write_atomic_owned(root, path, data, size, mode, (uid_t) -1, (gid_t) -1);
}

int fs_write_atomic_owned(int root, const char *path, const void *data, size_t size, mode_t mode, uid_t uid,
                          gid_t gid) {
        _cleanup_free_ char *name = NULL, *temp = NULL;
        _cleanup_close_ int dir = -EBADF;
        int r;

        dir = fs_open_parent(root, path, true, &name);
        if (dir < 0)
                return dir;
        r = str_printf(&temp, TEMPORARY, name);
        if (r < 0)
                return r;
        r = fill(dir, temp, data, size, mode, uid, gid);
        if (r >= 0)
                r = RET_NERRNO(renameat(dir, temp, dir, name));
        if (r < 0) {
                (void) unlinkat(dir, temp, 0);
                return r;
        }
        return RET_NERRNO(fsync(dir));
}

int fs_write_if_changed(int root, const char *path, const void *data, size_t size, mode_t mode) {
        _cleanup_free_ char *old = NULL;
        struct stat st;
        size_t n;
        int r;

        if (fs_stat(root, path, &st) >= 0 && (st.st_mode & 07777) == mode &&
            fs_read(root, path, FS_FILE_MAX, &old, &n) >= 0 && n == size && memcmp(old, data, n) == 0)
                return 0;
        r = fs_write_atomic(root, path, data, size, mode);
        return r < 0 ? r : 1;
}

int fs_write_attr(int root, const char *path, const char *value) {
        _cleanup_close_ int fd = fs_open(root, path, O_WRONLY, 0);
        ssize_t n;

        if (fd < 0)
                return fd;
        n = write(fd, value, strlen(value));
        if (n < 0)
                return -errno;
        return (size_t) n == strlen(value) ? 0 : -EIO;
}

int fs_mkdir_p(int root, const char *path, mode_t mode) {
        _cleanup_free_ char *copy = NULL;
        int r;

        r = fs_exists(root, path);
        if (r != 0)
                return r < 0 ? r : 0;
        copy = strdup(path);
        if (!copy)
                return -ENOMEM;
        for (char *p = copy + strspn(copy, "/");;) {
                char *slash = strchr(p, '/');
                _cleanup_close_ int dir = -EBADF;
                _cleanup_free_ char *name = NULL;

                if (slash)
                        *slash = '\0';
                dir = fs_open_parent(root, copy, false, &name);
                if (dir < 0)
                        return dir;
                /* The mode is exact, whatever the umask; and what is put into it must not vanish with it. */
                if (mkdirat(dir, name, mode) < 0) {
                        if (errno != EEXIST)
                                return -errno;
                } else if (fchmodat(dir, name, mode, 0) < 0 || fsync(dir) < 0)
                        return -errno;
                if (!slash)
                        return 0;
                *slash = '/';
                p = slash + 1 + strspn(slash + 1, "/");
                if (!*p)
                        return 0;
        }
}

int fs_remove(int root, const char *path) {
        _cleanup_free_ char *name = NULL;
        _cleanup_close_ int dir = -EBADF;

        dir = fs_open_parent(root, path, false, &name);
        if (dir == -ENOENT)
                return 0;
        if (dir < 0)
                return dir;
        if (unlinkat(dir, name, 0) < 0)
                return errno == ENOENT ? 0 : -errno;
        return fsync(dir) < 0 ? -errno : 1;
}

int fs_remove_written(int root, const char *path) {
        const char *name = strrchr(path, '/');
        _cleanup_free_ char *temp = NULL;
        int r;

        if (!name)
                return -EINVAL;
        name++;
        r = str_printf(&temp, "%.*s" TEMPORARY, (int) (name - path), path, name);
        if (r >= 0)
                r = fs_remove(root, temp);
        return r < 0 ? r : fs_remove(root, path);
}

int fs_rename(int root, const char *from, const char *to) {
        _cleanup_free_ char *old_name = NULL, *new_name = NULL;
        _cleanup_close_ int old_dir = -EBADF, new_dir = -EBADF;

        old_dir = fs_open_parent(root, from, false, &old_name);
        if (old_dir < 0)
                return old_dir;
        new_dir = fs_open_parent(root, to, false, &new_name);
        if (new_dir < 0)
                return new_dir;
        if (renameat(old_dir, old_name, new_dir, new_name) < 0)
                return -errno;
        return RET_NERRNO(fsync(new_dir));
}
