/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <poll.h>

#include "bdf.h"
#include "cloudinit.h"
#include "fs.h"
#include "gpulease.h"

enum {
        NAME_MAX_SIZE = 256,
        NAMING = 1,        /* the byte that is locked as long as the name in the file is another's */
        NAMING_MSEC = 500, /* longest wait for it */
        NAMING_POLL_MSEC = 5,
};

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

static struct flock naming(short type) {
        return (struct flock){ .l_type = type, .l_whence = SEEK_SET, .l_start = NAMING, .l_len = 1 };
}

/* Its holder writes it when he has it, and before he goes on. One who was stopped in between is not waited
 * for. */
static int read_machine(int root, int fd, const char *path, char **ret) {
        _cleanup_free_ char *name = NULL;
        struct flock lock = naming(F_RDLCK);
        int r;

        for (int waited = 0; waited < NAMING_MSEC; waited += NAMING_POLL_MSEC) {
                lock = naming(F_RDLCK);
                if (fcntl(fd, F_OFD_GETLK, &lock) < 0)
                        return negative_errno();
                if (lock.l_type == F_UNLCK)
                        break;
                (void) poll(NULL, 0, NAMING_POLL_MSEC);
        }
        r = lock.l_type == F_UNLCK ? fs_read_line(root, path, &name) : -EAGAIN;

        if (r < 0 || strlen(name) >= NAME_MAX_SIZE || cloudinit_check_hostname(name) < 0)
                return free_and_strdup(ret, "");
        *ret = TAKE_PTR(name);
        return 0;
}

/* F_OFD_SETLK: of the open file, and so looked at by gpulease_find() without being taken. */
int gpulease_take(int root, const char *what, const char *machine, char **reterr_machine) {
        struct flock lock = whole_file(F_WRLCK), named = naming(F_UNLCK);
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
                r = read_machine(root, fd, path, reterr_machine);
                return r < 0 ? r : -EBUSY;
        }
        if (ftruncate(fd, 0) < 0)
                return negative_errno();
        r = write_all(fd, machine, strlen(machine));
        if (r >= 0 && fcntl(fd, F_OFD_SETLK, &named) < 0)
                r = negative_errno();
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
        r = read_machine(root, fd, path, ret_machine);
        return r < 0 ? r : 1;
}
