/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <sys/statvfs.h>

#include "bootfile.h"
#include "fs.h"
#include "strv.h"

#define UNPROVEN "/var/lib/gpuvm/unproven"

enum { COPY_MAX = 1024 * 1024 };

int bootfile_room(int root, const char *dir, uint64_t bytes) {
        _cleanup_close_ int fd = fs_open(root, dir, O_RDONLY | O_DIRECTORY, 0);
        struct statvfs st;

        if (fd < 0)
                return fd;
        if (fstatvfs(fd, &st) < 0)
                return -errno;
        if (st.f_flag & ST_RDONLY)
                return -EROFS;
        return (uint64_t) st.f_bavail * st.f_frsize < bytes ? -ENOSPC : 0;
}

/* The list: the boot id of the last replacement, then the paths that have an old file. */
static int unproven_read(int root, char ***ret) {
        _cleanup_free_ char *text = NULL;
        int r;

        r = fs_read(root, UNPROVEN, FS_ATTR_MAX, &text, NULL);
        return r < 0 ? r : strv_split(text, "\n", ret);
}

static int boot_id(int root, char **ret) {
        int r = fs_read_line(root, "/proc/sys/kernel/random/boot_id", ret);

        return r == -ENOENT ? (*ret = strdup("unknown")) ? 0 : -ENOMEM : r;
}

static int unproven_add(int root, const char *path) {
        _cleanup_strv_ char **old = NULL, **new = NULL;
        _cleanup_free_ char *id = NULL, *text = NULL, *lines = NULL;
        int r;

        r = unproven_read(root, &old);
        if (r < 0 && r != -ENOENT)
                return r;
        r = boot_id(root, &id);
        if (r < 0)
                return r;
        if (old && streq(old[0], id) && strv_contains(old + 1, path))
                return 0;
        r = strv_extend(&new, id);
        for (char **p = old ? old + 1 : NULL; r >= 0 && p && *p; p++)
                if (!streq(*p, path))
                        r = strv_extend(&new, *p);
        if (r >= 0)
                r = strv_extend(&new, path);
        if (r < 0)
                return r;
        lines = strv_join(new, "\n");
        if (!lines || str_printf(&text, "%s\n", lines) < 0)
                return -ENOMEM;
        return fs_write_atomic(root, UNPROVEN, text, strlen(text), 0644);
}

/* Returns 1 if path is waiting since this very boot: then its old file is the one that is known to start. */
static int is_kept(int root, const char *path) {
        _cleanup_strv_ char **list = NULL;
        _cleanup_free_ char *id = NULL, *old = NULL;
        int r;

        r = unproven_read(root, &list);
        if (r == -ENOENT || (r >= 0 && !list))
                return 0;
        if (r >= 0)
                r = boot_id(root, &id);
        if (r < 0)
                return r;
        if (!streq(list[0], id) || !strv_contains(list + 1, path))
                return 0;
        if (str_printf(&old, "%s" BOOTFILE_OLD, path) < 0)
                return -ENOMEM;
        return fs_exists(root, old);
}

/* FAT has no hard links: small files are copied, an image goes without. */
static int keep_copy(int root, const char *path, const char *old) {
        _cleanup_free_ char *data = NULL;
        size_t size;
        int r;

        r = fs_read(root, path, COPY_MAX, &data, &size);
        if (r == -EFBIG)
                return 0;
        return r < 0 ? r : fs_write_atomic(root, old, data, size, 0600);
}

static int keep_old(int root, const char *path) {
        _cleanup_free_ char *dir = NULL, *old = NULL;
        _cleanup_close_ int fd = -EBADF;
        const char *name = strrchr(path, '/') + 1;
        int r;

        dir = strndup(path, (size_t) (name - path));
        if (!dir || str_printf(&old, "%s" BOOTFILE_OLD, path) < 0)
                return -ENOMEM;
        fd = fs_open(root, dir, O_RDONLY | O_DIRECTORY, 0);
        if (fd < 0)
                return fd;
        r = fs_remove(root, old);
        if (r < 0)
                return r;
        if (linkat(fd, name, fd, strrchr(old, '/') + 1, 0) >= 0)
                return 0;
        return errno == EPERM || errno == EOPNOTSUPP ? keep_copy(root, path, old) : -errno;
}

static int adopt(int fd, const struct stat *old) {
        if (fchown(fd, old->st_uid, old->st_gid) < 0 && errno != EPERM)
                return -errno;
        return RET_NERRNO(fchmod(fd, old->st_mode & 07777));
}

int bootfile_publish(int root, const char *temp, const char *path) {
        _cleanup_close_ int fd = fs_open(root, temp, O_RDWR | O_NOFOLLOW, 0);
        struct stat st;
        int r, kept;

        if (fd < 0)
                return fd;
        kept = is_kept(root, path);
        if (kept < 0)
                return kept;
        r = fs_stat(root, path, &st);
        if (r < 0 && r != -ENOENT)
                return r;
        if (r >= 0) {
                r = adopt(fd, &st);
                if (r >= 0)
                        r = unproven_add(root, path);
                if (r >= 0 && !kept)
                        r = keep_old(root, path);
                if (r < 0)
                        return r;
        }
        if (fsync(fd) < 0)
                return -errno;
        return fs_rename(root, temp, path);
}

int bootfile_is_proven(int root) {
        _cleanup_strv_ char **list = NULL;
        _cleanup_free_ char *id = NULL;
        int r;

        r = unproven_read(root, &list);
        if (r == -ENOENT || (r >= 0 && !list))
                return 0;
        if (r >= 0)
                r = boot_id(root, &id);
        return r < 0 ? r : !streq(list[0], id);
}

int bootfile_forget(int root) {
        _cleanup_strv_ char **list = NULL;
        int r;

        r = unproven_read(root, &list);
        if (r == -ENOENT)
                return 0;
        if (r < 0)
                return r;
        for (char **p = list ? list + 1 : NULL; p && *p; p++) {
                _cleanup_free_ char *old = NULL;

                if (str_printf(&old, "%s" BOOTFILE_OLD, *p) < 0)
                        return -ENOMEM;
                r = **p == '/' ? fs_remove(root, old) : 0;
                if (r < 0 && r != -EROFS)
                        return r;
        }
        r = fs_remove(root, UNPROVEN);
        return r < 0 ? r : 0;
}
