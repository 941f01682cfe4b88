/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <linux/openat2.h>
#include <stdarg.h>
#include <sys/syscall.h>

#include "fs.h"
#include "parse.h"
#include "strv.h"

enum { RACES_MAX = 1000, PAGE_MAX = 4096 };

int fs_open_root(const char *path) {
        return RET_NERRNO(open(isempty(path) ? "/" : path, O_PATH | O_DIRECTORY | O_CLOEXEC));
}

bool fs_is_host(int root) {
        struct stat a, b;

        return fstat(root, &a) == 0 && stat("/", &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static const char *relative(const char *path) {
        path += strspn(path, "/");
        return *path ? path : ".";
}

int fs_open(int root, const char *path, int flags, mode_t mode) {
        struct open_how how = {
                .flags = (uint64_t) (flags | O_CLOEXEC | (flags & O_PATH ? 0 : O_NOCTTY)),
                .mode = flags & (O_CREAT | __O_TMPFILE) ? mode : 0,
                .resolve = RESOLVE_IN_ROOT,
        };

        /* Not openat2(2) here: RestrictSUIDSGID= of a unit takes it away, because a filter cannot look into
         * how. */
        if (fs_is_host(root))
                return RET_NERRNO(openat(root, relative(path), (int) how.flags, (mode_t) how.mode));
        /* A rename or mount anywhere on the machine can come between the kernel and its proof that ".."
         * stayed inside: it gives up, and asks to be called again. */
        for (unsigned i = 0;; i++) {
                int fd = RET_NERRNO((int) syscall(SYS_openat2, root, relative(path), &how, sizeof(how)));

                if (fd != -EAGAIN || i >= RACES_MAX)
                        return fd;
        }
}

int fs_stat(int root, const char *path, struct stat *ret) {
        _cleanup_close_ int fd = fs_open(root, path, O_PATH, 0);

        if (fd < 0)
                return fd;
        return RET_NERRNO(fstat(fd, ret));
}

int fs_exists(int root, const char *path) {
        _cleanup_close_ int fd = -EBADF;
        struct stat st;
        int r;

        /* Not access(2): a unit with DevicePolicy=closed gets EPERM for a device node that is there, even
         * where only that is asked: devcgroup_inode_permission() in include/linux/device_cgroup.h asks the
         * unit's program. */
        if (fs_is_host(root))
                r = RET_NERRNO(fstatat(root, relative(path), &st, 0));
        else
                r = fd = fs_open(root, path, O_PATH, 0);
        if (r == -ENOENT || r == -ENOTDIR || r == -ELOOP)
                return 0;
        return r < 0 ? r : 1;
}

/* expected: how many bytes that may be, so that they are read at once; 0 where nobody knows. line: only the
 * first one is of interest. */
static int read_fd(int fd, size_t expected, size_t max, bool line, char **ret, size_t *ret_size) {
        _cleanup_free_ char *buf = NULL;
        size_t size = 0, room = 0;

        for (;;) {
                ssize_t n;

                if (room - size < 2) {
                        char *t;

                        room = MIN(MAX(room * 2, MAX(expected + 2, (size_t) 4096)), max + 2);
                        t = realloc(buf, room);
                        if (!t)
                                return -ENOMEM;
                        buf = t;
                }
                n = read(fd, buf + size, room - size - 1);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                size += (size_t) n;
                if (n == 0 || (line && memchr(buf, '\n', size)))
                        break;
                if (size > max)
                        return -EFBIG;
        }
        buf[size] = '\0';
        *ret = TAKE_PTR(buf);
        if (ret_size)
                *ret_size = size;
        return 0;
}

static int read_regular(int fd, size_t max, bool line, char **ret, size_t *ret_size) {
        struct stat st;

        if (fstat(fd, &st) < 0)
                return -errno;
        if (S_ISDIR(st.st_mode))
                return -EISDIR;
        if (!S_ISREG(st.st_mode))
                return -ENOTSUP;
        return read_fd(fd, (size_t) st.st_size, max, line, ret, ret_size);
}

int fs_read(int root, const char *path, size_t max, char **ret, size_t *ret_size) {
        _cleanup_close_ int fd = fs_open(root, path, O_RDONLY | O_NONBLOCK, 0);

        return fd < 0 ? fd : read_regular(fd, max, false, ret, ret_size);
}

int fs_read_at(int dir, const char *name, size_t max, char **ret) {
        _cleanup_close_ int fd = RET_NERRNO(
                        openat(dir, name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW | O_CLOEXEC));

        return fd < 0 ? fd : read_regular(fd, max, false, ret, NULL);
}

static int first_line(const char *text, char **ret) {
        const char *line = text + strspn(text, " \t"), *end = line + strcspn(line, "\n");

        while (end > line && strchr(" \t", end[-1]))
                end--;
        *ret = strndup(line, (size_t) (end - line));
        return *ret ? 0 : -ENOMEM;
}

int fs_read_line(int root, const char *path, char **ret) {
        _cleanup_close_ int fd = fs_open(root, path, O_RDONLY | O_NONBLOCK, 0);
        _cleanup_free_ char *text = NULL;
        int r;

        if (fd < 0)
                return fd;
        r = read_regular(fd, FS_ATTR_MAX, true, &text, NULL);
        return r < 0 ? r : first_line(text, ret);
}

int fs_read_attr_at(int dir, const char *name, char **ret) {
        _cleanup_close_ int fd = openat(dir, name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW | O_CLOEXEC);
        char text[PAGE_MAX + 1], *start = text;
        ssize_t n;

        if (fd < 0)
                return -errno;
        n = read(fd, text, PAGE_MAX);
        if (n < 0)
                return -errno;
        while (n > 0 && strchr(" \t\n", text[n - 1]))
                n--;
        text[n] = '\0';
        start += strspn(start, " \t");
        *ret = strdup(start);
        return *ret ? 0 : -ENOMEM;
}

int fs_read_hex(int root, const char *path, uint64_t *ret) {
        _cleanup_free_ char *line = NULL;
        int r;

        r = fs_read_line(root, path, &line);
        return r < 0 ? r : parse_hex(line, UINT64_MAX, ret);
}

int fs_read_u64(int root, const char *path, uint64_t *ret) {
        _cleanup_free_ char *line = NULL;
        int r;

        r = fs_read_line(root, path, &line);
        return r < 0 ? r : parse_u64(line, ret);
}

int fs_open_parent(int root, const char *path, bool make, char **ret_name) {
        _cleanup_free_ char *dir = NULL, *name = NULL;
        const char *slash = strrchr(path, '/');
        int fd;

        if (!slash || !slash[1])
                return -EINVAL;
        dir = strndup(path, MAX((size_t) (slash - path), (size_t) 1));
        name = strdup(slash + 1);
        if (!dir || !name)
                return -ENOMEM;
        if (make) {
                int r = fs_mkdir_p(root, dir, 0755);

                if (r < 0)
                        return r;
        }
        fd = fs_open(root, dir, O_RDONLY | O_DIRECTORY, 0);
        if (fd >= 0)
                *ret_name = TAKE_PTR(name);
        return fd;
}

int fs_readlink_at(int dir, const char *name, char **ret) {
        char target[4096], *copy;
        ssize_t n = readlinkat(dir, name, target, sizeof(target) - 1);

        if (n < 0)
                return -errno;
        target[n] = '\0';
        copy = strdup(target);
        if (!copy)
                return -ENOMEM;
        *ret = copy;
        return 0;
}

int fs_readlink(int root, const char *path, char **ret) {
        _cleanup_close_ int dir = -EBADF;
        _cleanup_free_ char *name = NULL;

        if (fs_is_host(root))
                return fs_readlink_at(root, relative(path), ret);
        dir = fs_open_parent(root, path, false, &name);
        return dir < 0 ? dir : fs_readlink_at(dir, name, ret);
}

static int last_component(const char *target, char **ret) {
        const char *slash = strrchr(target, '/');

        *ret = strdup(slash ? slash + 1 : target);
        return *ret ? 0 : -ENOMEM;
}

int fs_readlink_name(int root, const char *path, char **ret) {
        _cleanup_free_ char *target = NULL;
        int r = fs_readlink(root, path, &target);

        return r < 0 ? r : last_component(target, ret);
}

int fs_readlink_name_at(int dir, const char *name, char **ret) {
        _cleanup_free_ char *target = NULL;
        int r = fs_readlink_at(dir, name, &target);

        return r < 0 ? r : last_component(target, ret);
}

/* getdents64(2) itself: readdir(3) would cost three more system calls. */
int fs_list_fd(int dir, char ***ret) {
        char entries[16384] __attribute__((aligned(__alignof__(struct dirent64))));
        _cleanup_strv_ char **l = NULL;
        ssize_t n;
        int r = 0;

        while ((n = getdents64(dir, entries, sizeof(entries))) > 0)
                for (ssize_t i = 0; i < n && r >= 0;) {
                        const struct dirent64 *e = (const void *) (entries + i);

                        i += e->d_reclen;
                        if (!streq(e->d_name, ".") && !streq(e->d_name, ".."))
                                r = strv_extend(&l, e->d_name);
                }
        if (n < 0 || r < 0)
                return r < 0 ? r : -errno;
        strv_sort(l);
        *ret = TAKE_PTR(l);
        return 0;
}

int fs_list(int root, const char *path, char ***ret) {
        _cleanup_close_ int fd = fs_open(root, path, O_RDONLY | O_DIRECTORY, 0);

        return fd < 0 ? fd : fs_list_fd(fd, ret);
}

bool fs_has_entry(int root, const char *path, const char *prefix) {
        _cleanup_strv_ char **names = NULL;

        if (fs_list(root, path, &names) < 0)
                return false;
        STRV_FOREACH(n, names)
                if (startswith(*n, prefix))
                        return true;
        return false;
}

int str_printf(char **ret, const char *format, ...) {
        va_list ap;
        char *s;
        int n;

        va_start(ap, format);
        n = vasprintf(&s, format, ap);
        va_end(ap);
        if (n < 0)
                return -ENOMEM;
        *ret = s;
        return 0;
}
