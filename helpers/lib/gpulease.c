/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gpulease.h"
#include "bdf.h"
#include "cloudinit.h"
#include "fs.h"

enum { NAME_MAX_SIZE = 256 };

/* A name in a directory, and no path. */
static int lease_path(const char *what, char **ret) {
        Bdf b;

        if (bdf_parse(what, &b) < 0 && cloudinit_check_hostname(what) < 0)
                return -EINVAL;
        return str_printf(ret, GPULEASE_DIR "/%s", what);
}

static struct flock whole_file(short type) {
        return (struct flock){ .l_type = type, .l_whence = SEEK_SET };
}

/* Its holder writes it when he has it: nothing is there for a moment. */
static int read_machine(int root, const char *path, char **ret) {
        _cleanup_free_ char *name = NULL;
        int r = fs_read_line(root, path, &name);

        if (r < 0 || strlen(name) >= NAME_MAX_SIZE || cloudinit_check_hostname(name) < 0)
                return free_and_strdup(ret, "");
        *ret = TAKE_PTR(name);
        return 0;
}

/* F_OFD_SETLK: of the open file, and so looked at by gpulease_find() without being taken. */
int gpulease_take(int root, const char *what, const char *machine, char **reterr_machine) {
        struct flock lock = whole_file(F_WRLCK);
        _cleanup_free_ char *path = NULL;
        _cleanup_close_ int fd = -EBADF;
        int r;

        r = lease_path(what, &path);
        if (r >= 0)
                r = fs_mkdir_p(root, GPULEASE_DIR, 0755);
        if (r < 0)
                return r;
        fd = fs_open(root, path, O_RDWR | O_CREAT | O_NOFOLLOW, 0644);
        if (fd < 0)
                return fd;
        if (fcntl(fd, F_OFD_SETLK, &lock) < 0) {
                if (errno != EAGAIN && errno != EACCES)
                        return negative_errno();
                r = read_machine(root, path, reterr_machine);
                return r < 0 ? r : -EBUSY;
        }
        if (ftruncate(fd, 0) < 0)
                return negative_errno();
        r = write_all(fd, machine, strlen(machine));
        return r < 0 ? r : TAKE_FD(fd);
}

int gpulease_find(int root, const char *what, char **ret_machine) {
        struct flock lock = whole_file(F_RDLCK);
        _cleanup_free_ char *path = NULL;
        _cleanup_close_ int fd = -EBADF;
        int r;

        r = lease_path(what, &path);
        if (r < 0)
                return r;
        fd = fs_open(root, path, O_RDONLY | O_NOFOLLOW, 0);
        if (fd < 0)
                return fd == -ENOENT ? 0 : fd;
        if (fcntl(fd, F_OFD_GETLK, &lock) < 0)
                return negative_errno();
        if (lock.l_type == F_UNLCK)
                return 0;
        r = read_machine(root, path, ret_machine);
        return r < 0 ? r : 1;
}
