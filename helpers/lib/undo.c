/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "undo.h"
#include "fs.h"
#include "ledger.h"

struct Undo {
        int root;
        char *step;
        bool loaded;
        Ledger ledger;
};

int undo_open(int root, const char *step, Undo **ret) {
        Undo *u = calloc(1, sizeof(*u));

        if (!u)
                return -ENOMEM;
        /* The ledger is read at the first record: a phase that finds its goal met never touches it. */
        u->root = root;
        u->step = strdup(step);
        if (!u->step) {
                free(u);
                return -ENOMEM;
        }
        *ret = u;
        return 0;
}

void undo_free(Undo *u) {
        ledger_done(&u->ledger);
        free(u->step);
        free(u);
}

static bool same_record(const LedgerRecord *a, const LedgerRecord *b) {
        if (!streq(a->step, b->step) || !streq(a->kind, b->kind) || !streq(a->object, b->object))
                return false;
        if (streq(a->kind, "wrote"))
                return streq(a->was, b->was) && a->size == b->size &&
                                (a->size == 0 || memcmp(a->data, b->data, a->size) == 0);
        if (streq(a->kind, "member") || streq(a->kind, "pool") || streq(a->kind, "network"))
                return streq(a->was, b->was);
        return true;
}

/* Returns 1 if the record was made now, 0 if there was one. The strings of rec are borrowed. */
static int record(Undo *u, LedgerRecord rec) {
        int r;

        rec.step = u->step;
        if (!u->loaded) {
                r = ledger_load(u->root, &u->ledger);
                if (r < 0)
                        return r;
                u->loaded = true;
        }
        for (size_t i = 0; i < u->ledger.n; i++)
                if (same_record(&u->ledger.records[i], &rec))
                        return 0;
        r = ledger_append(u->root, &rec);
        if (r < 0)
                return r;
        ledger_done(&u->ledger);
        u->loaded = false;
        return 1;
}

static int record_plain(Undo *u, const char *kind, const char *object, const char *was) {
        return record(u,
                      (LedgerRecord){ .kind = (char *) kind,
                                      .object = (char *) object,
                                      .was = (char *) was });
}

/* A link is recorded as one: following it would record somebody else's file. */
static int record_link(Undo *u, const char *path, int fd) {
        _cleanup_free_ char *target = calloc(1, FS_ATTR_MAX);
        ssize_t n;

        if (!target)
                return -ENOMEM;
        n = readlinkat(fd, "", target, FS_ATTR_MAX - 1);
        if (n < 0)
                return -errno;
        return record(u,
                      (LedgerRecord){ .kind = (char *) "file",
                                      .object = (char *) path,
                                      .was = (char *) "link",
                                      .data = target,
                                      .size = (size_t) n });
}

int undo_record_file(Undo *u, const char *path) {
        _cleanup_close_ int fd = fs_open(u->root, path, O_PATH | O_NOFOLLOW, 0);
        _cleanup_free_ char *data = NULL;
        struct stat st;
        size_t size;
        int r;

        if (fd == -ENOENT)
                return record_plain(u, "file", path, "absent");
        if (fd < 0)
                return fd;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (S_ISLNK(st.st_mode))
                return record_link(u, path, fd);
        r = fs_read(u->root, path, FS_FILE_MAX, &data, &size);
        if (r < 0)
                return r;
        return record(u,
                      (LedgerRecord){ .kind = (char *) "file",
                                      .object = (char *) path,
                                      .was = (char *) "present",
                                      .mode = st.st_mode & 07777,
                                      .uid = st.st_uid,
                                      .gid = st.st_gid,
                                      .data = data,
                                      .size = size });
}

/* Directories that the write will make, outermost first. */
static int record_parents(Undo *u, const char *path) {
        for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
                _cleanup_free_ char *dir = strndup(path, (size_t) (slash - path));
                int r;

                if (!dir)
                        return -ENOMEM;
                r = fs_exists(u->root, dir);
                if (r == 0)
                        r = record_plain(u, "dir", dir, "absent");
                if (r < 0)
                        return r;
        }
        return 0;
}

int undo_record_write(Undo *u, const char *path, const void *data, size_t size) {
        int r;

        r = record_parents(u, path);
        if (r >= 0)
                r = undo_record_file(u, path);
        if (r < 0)
                return r;
        /* What will be there, so that undo can tell our bytes from an administrator's. */
        return record(u,
                      (LedgerRecord){ .kind = (char *) "wrote",
                                      .object = (char *) path,
                                      .was = (char *) "",
                                      .data = (char *) data,
                                      .size = size });
}

int undo_write_file(Undo *u, const char *path, const void *data, size_t size, mode_t mode) {
        _cleanup_free_ char *old = NULL;
        uid_t uid = (uid_t) -1;
        gid_t gid = (gid_t) -1;
        struct stat st;
        size_t n;
        int r;

        if (path[0] != '/')
                return -EINVAL;
        r = fs_stat(u->root, path, &st);
        if (r >= 0) {
                if ((st.st_mode & 07777) == mode && fs_read(u->root, path, FS_FILE_MAX, &old, &n) >= 0 &&
                    n == size && (n == 0 || memcmp(old, data, n) == 0))
                        return 0;
                uid = st.st_uid;
                gid = st.st_gid;
        }
        r = undo_record_write(u, path, data, size);
        if (r >= 0)
                r = fs_write_atomic_owned(u->root, path, data, size, mode, uid, gid);
        return r < 0 ? r : 1;
}

int undo_remove_file(Undo *u, const char *path) {
        _cleanup_close_ int fd = fs_open(u->root, path, O_PATH | O_NOFOLLOW, 0);
        int r;

        if (fd == -ENOENT)
                return 0;
        if (fd < 0)
                return fd;
        r = undo_record_file(u, path);
        if (r >= 0)
                r = record_plain(u, "wrote", path, "removed");
        return r < 0 ? r : fs_remove(u->root, path);
}

int undo_record_package(Undo *u, const char *package) {
        return record_plain(u, "package", package, "absent");
}

int undo_record_member(Undo *u, const char *user, const char *group) {
        return record_plain(u, "member", user, group);
}

int undo_record_unit(Undo *u, const char *unit, const char *was) {
        if (streq(was, "enabled") || streq(was, "disabled"))
                return record_plain(u, "enabled", unit, was);
        if (streq(was, "active") || streq(was, "inactive"))
                return record_plain(u, "active", unit, was);
        return -EINVAL;
}

int undo_record_libvirt(Undo *u, const char *kind, const char *name, const char *was) {
        if (!streq(kind, "pool") && !streq(kind, "network"))
                return -EINVAL;
        return record_plain(u, kind, name, was);
}

int undo_record_refresh(Undo *u, const char *what) {
        return record_plain(u, "refresh", what, "");
}
