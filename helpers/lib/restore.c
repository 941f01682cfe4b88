/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "restore.h"
#include "fs.h"
#include "strv.h"

bool restore_selects(char *const *steps, const LedgerRecord *r) {
        return !steps || strv_contains(steps, r->step);
}

/* The file as a record would have it; was is a literal. */
typedef struct Now {
        const char *was;
        mode_t mode;
        uid_t uid;
        gid_t gid;
        char *data;
        size_t size;
} Now;

static void now_done(Now *n) {
        free(n->data);
}

static int look(int root, const char *path, Now *ret) {
        _cleanup_close_ int fd = fs_open(root, path, O_PATH | O_NOFOLLOW, 0);
        _cleanup_(now_done) Now n = { .was = "absent" };
        struct stat st;
        int r;

        if (fd < 0 && fd != -ENOENT && fd != -ENOTDIR)
                return fd;
        if (fd >= 0 && fstat(fd, &st) < 0)
                return -errno;
        if (fd >= 0 && S_ISLNK(st.st_mode)) {
                ssize_t k;

                n.was = "link";
                n.data = malloc(FS_ATTR_MAX);
                if (!n.data)
                        return -ENOMEM;
                k = readlinkat(fd, "", n.data, FS_ATTR_MAX);
                if (k < 0)
                        return -errno;
                n.size = (size_t) k;
        } else if (fd >= 0) {
                r = fs_read(root, path, FS_FILE_MAX, &n.data, &n.size);
                if (r < 0)
                        return r;
                n.was = "present";
                n.mode = st.st_mode & 07777;
                n.uid = st.st_uid;
                n.gid = st.st_gid;
        }
        *ret = n;
        n = (Now){};
        return 0;
}

static bool same_bytes(const Now *n, const LedgerRecord *r) {
        return n->size == r->size && (n->size == 0 || memcmp(n->data, r->data, n->size) == 0);
}

static bool is_target(const Now *n, const LedgerRecord *t) {
        if (!streq(n->was, t->was) || !same_bytes(n, t))
                return false;
        return !streq(n->was, "present") || (n->mode == t->mode && n->uid == t->uid && n->gid == t->gid);
}

static bool is_written(const Now *n, const LedgerRecord *r) {
        if (streq(r->was, "removed"))
                return streq(n->was, "absent");
        return streq(n->was, "present") && same_bytes(n, r);
}

/* True if one of the steps wrote, before that record was made, what it is about. */
static bool is_own(const Ledger *l, char *const *steps, size_t n) {
        const LedgerRecord *r = &l->records[n];
        const Now was = { .was = r->was, .data = r->data, .size = r->size };

        for (size_t i = 0; i < n; i++) {
                const LedgerRecord *w = &l->records[i];

                if (streq(w->kind, "wrote") && streq(w->object, r->object) && restore_selects(steps, w) &&
                    is_written(&was, w))
                        return true;
        }
        return false;
}

const LedgerRecord *restore_target(const Ledger *l, char *const *steps, const char *path) {
        for (size_t i = l->n; i-- > 0;) {
                const LedgerRecord *r = &l->records[i];

                if (streq(r->kind, "file") && streq(r->object, path) && restore_selects(steps, r) &&
                    !is_own(l, steps, i))
                        return r;
        }
        return NULL;
}

int restore_look(int root, const Ledger *l, char *const *steps, const LedgerRecord *target, RestoreState *ret,
                 const char **ret_step) {
        _cleanup_(now_done) Now n = {};
        bool any = false, ours = false;
        const char *other = NULL;
        int r;

        r = look(root, target->object, &n);
        if (r < 0)
                return r;
        for (size_t i = 0; i < l->n; i++) {
                const LedgerRecord *w = &l->records[i];

                if (!streq(w->kind, "wrote") || !streq(w->object, target->object))
                        continue;
                if (restore_selects(steps, w)) {
                        any = true;
                        ours |= is_written(&n, w);
                } else if (is_written(&n, w))
                        other = w->step;
        }
        if (is_target(&n, target))
                *ret = RESTORE_DONE;
        else if (ours || (!any && !other))
                *ret = RESTORE_OURS;
        else {
                *ret = other ? RESTORE_OTHER : RESTORE_CHANGED;
                *ret_step = other;
        }
        return 0;
}

/* Opens the directory that the path lies in. */
static int open_dir_of(int root, const char *path, const char **ret_name) {
        const char *slash = strrchr(path, '/');
        _cleanup_free_ char *dir = NULL;

        if (path[0] != '/' || !slash[1])
                return -EINVAL;
        dir = strndup(path, MAX((size_t) (slash - path), (size_t) 1));
        if (!dir)
                return -ENOMEM;
        *ret_name = slash + 1;
        return fs_open(root, dir, O_RDONLY | O_DIRECTORY, 0);
}

static int restore_link(int root, const LedgerRecord *t) {
        _cleanup_close_ int dir = -EBADF;
        _cleanup_free_ char *temp = NULL;
        const char *name = NULL;

        dir = open_dir_of(root, t->object, &name);
        if (dir < 0)
                return dir;
        if (str_printf(&temp, ".%s.gpuvm-new", name) < 0)
                return -ENOMEM;
        if (unlinkat(dir, temp, 0) < 0 && errno != ENOENT)
                return -errno;
        if (symlinkat(t->data, dir, temp) < 0)
                return -errno;
        if (renameat(dir, temp, dir, name) < 0)
                return -errno;
        return RET_NERRNO(fsync(dir));
}

int restore_file(int root, const LedgerRecord *t) {
        int r;

        if (t->object[0] != '/')
                return -EINVAL;
        if (streq(t->was, "absent")) {
                r = fs_remove(root, t->object);
                return r < 0 ? r : 0;
        }
        if (streq(t->was, "link"))
                return restore_link(root, t);
        return fs_write_atomic_owned(root, t->object, t->data, t->size, t->mode, t->uid, t->gid);
}

int restore_leftover(int root, const char *path) {
        const char *name = strrchr(path, '/');
        _cleanup_free_ char *temp = NULL;
        int r;

        if (!name)
                return -EINVAL;
        if (str_printf(&temp, "%.*s/.%s.gpuvm-new", (int) (name - path), path, name + 1) < 0)
                return -ENOMEM;
        r = fs_remove(root, temp);
        return r < 0 ? r : 0;
}

int restore_dir(int root, const char *path) {
        _cleanup_close_ int dir = -EBADF;
        const char *name = NULL;

        dir = open_dir_of(root, path, &name);
        if (dir == -ENOENT)
                return 0;
        if (dir < 0)
                return dir;
        if (unlinkat(dir, name, AT_REMOVEDIR) < 0)
                return errno == ENOENT || errno == ENOTEMPTY || errno == EEXIST || errno == ENOTDIR ||
                                                errno == EBUSY
                                ? 0
                                : -errno;
        return fsync(dir) < 0 ? -errno : 1;
}
