/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <sys/file.h>

#include "cloudinit.h"
#include "fs.h"
#include "rollback.h"

enum { RECORD_MAX = 64 * 1024, TRIES = 10 };

static const char *const kinds[_ROLLBACK_KIND_MAX] = {
        [ROLLBACK_FILE] = "file",         [ROLLBACK_MACHINE] = "machine", [ROLLBACK_UNIT] = "unit",
        [ROLLBACK_SETTINGS] = "settings", [ROLLBACK_ADDRESS] = "address", [ROLLBACK_MAC] = "mac",
        [ROLLBACK_GPU] = "gpu",           [ROLLBACK_CPUS] = "cpus",       [ROLLBACK_MEMORY] = "memory",
};

void rollback_done(Rollback *b) {
        for (size_t i = 0; i < b->n; i++)
                free(b->steps[i].object);
        free(b->steps);
        free(b->name);
        if (b->fd > 0)
                (void) safe_close(b->fd);
        *b = (Rollback){};
}

static int append(Rollback *b, RollbackKind kind, const char *object, size_t length) {
        RollbackStep *steps = reallocarray(b->steps, b->n + 1, sizeof(*steps));

        if (!steps)
                return -ENOMEM;
        b->steps = steps;
        steps[b->n] = (RollbackStep){ .kind = kind, .object = strndup(object, length) };
        if (!steps[b->n].object)
                return -ENOMEM;
        b->n++;
        return 0;
}

static int parse_line(Rollback *b, const char *line, size_t length) {
        for (RollbackKind k = 0; k < _ROLLBACK_KIND_MAX; k++) {
                size_t n = strlen(kinds[k]);

                if (length < n + 2 || memcmp(line, kinds[k], n) != 0 || line[n] != ' ')
                        continue;
                if (memchr(line, '\0', length) || (k == ROLLBACK_FILE && line[n + 1] != '/'))
                        return -EBADMSG;
                return append(b, k, line + n + 1, length - n - 1);
        }
        return -EBADMSG;
}

int rollback_parse(const char *text, size_t size, Rollback *ret) {
        _cleanup_(rollback_done) Rollback b = {};
        const char *end;

        for (; (end = memchr(text, '\n', size)); size -= (size_t) (end + 1 - text), text = end + 1) {
                int r = parse_line(&b, text, (size_t) (end - text));

                if (r < 0)
                        return r;
        }
        *ret = b;
        b = (Rollback){};
        return 0;
}

static int record_path(const char *name, char **ret) {
        /* A name in a directory, no path. */
        if (cloudinit_check_hostname(name) < 0)
                return -EINVAL;
        return str_printf(ret, ROLLBACK_DIR "/%s", name);
}

static int sync_directory(int root) {
        _cleanup_close_ int dir = fs_open(root, ROLLBACK_DIR, O_RDONLY | O_DIRECTORY, 0);

        if (dir < 0)
                return dir;
        return RET_NERRNO(fsync(dir));
}

/* The lock goes with the file and not with its name: who waited for one that was finished meanwhile has got
 * a lock on nothing. */
static bool is_still_there(int root, const char *path, int fd) {
        struct stat a, b;

        return fstat(fd, &a) >= 0 && fs_stat(root, path, &b) >= 0 && a.st_ino == b.st_ino &&
                        a.st_dev == b.st_dev;
}

/* -ESTALE: somebody took it for one that was cut, before it was locked. */
static int begin(int root, const char *name, Rollback *ret) {
        _cleanup_(rollback_done) Rollback b = { .root = root };
        _cleanup_free_ char *path = NULL;
        int r;

        r = record_path(name, &path);
        if (r >= 0)
                r = fs_mkdir_p(root, ROLLBACK_DIR, 0700);
        if (r < 0)
                return r;
        b.name = strdup(name);
        if (!b.name)
                return -ENOMEM;
        b.fd = fs_open(root, path, O_RDWR | O_CREAT | O_EXCL, 0600);
        if (b.fd < 0)
                return b.fd;
        if (flock(b.fd, LOCK_EX) < 0) /* it has nothing to take back, and so has gone at once */
                return negative_errno();
        if (!is_still_there(root, path, b.fd))
                return -ESTALE;
        r = sync_directory(root);
        if (r < 0)
                return r;
        *ret = b;
        b = (Rollback){};
        return 0;
}

int rollback_begin(int root, const char *name, Rollback *ret) {
        int r = -ESTALE;

        for (unsigned i = 0; i < TRIES && r == -ESTALE; i++)
                r = begin(root, name, ret);
        return r == -ESTALE ? -EEXIST : r;
}

int rollback_add(Rollback *b, RollbackKind kind, const char *object) {
        _cleanup_free_ char *line = NULL;
        int r;

        if (strchr(object, '\n') || !*object)
                return -EINVAL;
        r = str_printf(&line, "%s %s\n", kinds[kind], object);
        if (r >= 0)
                r = write_all(b->fd, line, strlen(line));
        if (r >= 0)
                r = RET_NERRNO(fdatasync(b->fd));
        return r < 0 ? r : append(b, kind, object, strlen(object));
}

int rollback_commit(Rollback *b) {
        _cleanup_free_ char *path = NULL;
        int r;

        r = record_path(b->name, &path);
        if (r >= 0)
                r = fs_remove(b->root, path);
        if (r < 0)
                return r;
        rollback_done(b);
        return 0;
}

int rollback_run(Rollback *b, RollbackUndo undo, void *userdata) {
        int r, result = 0;

        for (size_t i = b->n; i > 0; i--) {
                r = undo(b, &b->steps[i - 1], userdata);
                if (result == 0)
                        result = r;
                if (r < 0 &&
                    (b->steps[i - 1].kind == ROLLBACK_MACHINE || b->steps[i - 1].kind == ROLLBACK_UNIT))
                        break;
        }
        if (result < 0) {
                rollback_done(b);
                return result;
        }
        return rollback_commit(b);
}

/* Returns 1 and what was cut; 0 if its maker is at work, or it has gone. */
static int open_cut(int root, const char *name, Rollback *ret) {
        _cleanup_(rollback_done) Rollback b = { .root = root };
        _cleanup_free_ char *path = NULL, *text = NULL;
        _cleanup_close_ int fd = -EBADF;
        size_t size;
        int r;

        r = record_path(name, &path);
        if (r < 0)
                return 0; /* not ours */
        fd = fs_open(root, path, O_RDWR, 0);
        if (fd == -ENOENT)
                return 0;
        if (fd < 0)
                return fd;
        if (flock(fd, LOCK_EX | LOCK_NB) < 0 || !is_still_there(root, path, fd))
                return 0;
        r = fs_read(root, path, RECORD_MAX, &text, &size);
        if (r >= 0)
                r = rollback_parse(text, size, &b);
        if (r < 0)
                return r;
        b.root = root;
        b.fd = TAKE_FD(fd);
        b.name = strdup(name);
        if (!b.name)
                return -ENOMEM;
        *ret = b;
        b = (Rollback){};
        return 1;
}

int rollback_is_cut(int root, const char *name, const char *uuid) {
        _cleanup_(rollback_done) Rollback b = {};
        int r = open_cut(root, name, &b);

        for (size_t i = 0; i < b.n; i++)
                if (b.steps[i].kind == ROLLBACK_MACHINE && streq(b.steps[i].object, uuid))
                        return 1;
        return r == -EACCES ? 0 : MIN(r, 0);
}

int rollback_recover(int root, RollbackUndo undo, void *userdata) {
        _cleanup_strv_ char **names = NULL;
        int r, n = 0, result = 0;

        r = fs_list(root, ROLLBACK_DIR, &names);
        if (r == -ENOENT)
                return 0;
        if (r < 0)
                return r;
        STRV_FOREACH(name, names) {
                _cleanup_(rollback_done) Rollback b = {};

                r = open_cut(root, *name, &b);
                if (r > 0) {
                        r = rollback_run(&b, undo, userdata);
                        n += r >= 0;
                }
                if (r < 0 && result == 0)
                        result = r;
        }
        return result < 0 ? result : n;
}

/* Returns 1, or 0 for one that was finished meanwhile. */
static int read_record(int root, const char *name, Rollback *ret) {
        _cleanup_free_ char *path = NULL, *text = NULL;
        size_t size;
        int r;

        if (record_path(name, &path) < 0)
                return 0; /* not ours */
        r = fs_read(root, path, RECORD_MAX, &text, &size);
        if (r == -ENOENT)
                return 0;
        if (r >= 0)
                r = rollback_parse(text, size, ret);
        return r < 0 ? r : 1;
}

int rollback_find_broken(int root, char **ret_path) {
        _cleanup_strv_ char **names = NULL;

        if (fs_list(root, ROLLBACK_DIR, &names) < 0)
                return 0;
        STRV_FOREACH(name, names) {
                _cleanup_(rollback_done) Rollback b = {};

                if (read_record(root, *name, &b) < 0)
                        return str_printf(ret_path, ROLLBACK_DIR "/%s", *name) < 0 ? -ENOMEM : 1;
        }
        return 0;
}

static int claim(int root, const char *name, RollbackKind kind, char ***l) {
        _cleanup_(rollback_done) Rollback b = {};
        int r = read_record(root, name, &b);

        for (size_t i = 0; r >= 0 && i < b.n; i++)
                if (b.steps[i].kind == kind)
                        r = strv_extend(l, b.steps[i].object);
        return MIN(r, 0);
}

int rollback_claimed(int root, RollbackKind kind, char ***l) {
        _cleanup_strv_ char **found = NULL;
        int r;

        r = fs_list(root, ROLLBACK_DIR, &found);
        STRV_FOREACH(name, found)
                if (r >= 0)
                        r = claim(root, *name, kind, l);
        return r == -ENOENT ? 0 : r;
}

int rollback_claims(int root, char ***names, char ***addresses, char ***macs) {
        _cleanup_strv_ char **found = NULL;
        int r;

        r = fs_list(root, ROLLBACK_DIR, &found);
        if (r == -ENOENT)
                return 0;
        STRV_FOREACH(name, found)
                if (r >= 0)
                        r = strv_extend(names, *name);
        if (r >= 0)
                r = rollback_claimed(root, ROLLBACK_ADDRESS, addresses);
        return r < 0 ? r : rollback_claimed(root, ROLLBACK_MAC, macs);
}
