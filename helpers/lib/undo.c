/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "undo.h"
#include "fs.h"
#include "ledger.h"
#include "restore.h"

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

static int load(Undo *u) {
        int r = u->loaded ? 0 : ledger_load(u->root, &u->ledger);

        u->loaded = r >= 0;
        return r;
}

/* Returns 1. The strings of rec are borrowed. */
static int append(Undo *u, LedgerRecord rec) {
        int r;

        rec.step = u->step;
        r = ledger_append(u->root, &rec);
        if (r < 0)
                return r;
        ledger_done(&u->ledger);
        u->loaded = false;
        return 1;
}

/* Returns 1 if the record was made now, 0 if there was one. */
static int record(Undo *u, LedgerRecord rec) {
        int r;

        rec.step = u->step;
        r = load(u);
        if (r < 0)
                return r;
        for (size_t i = 0; i < u->ledger.n; i++)
                if (same_record(&u->ledger.records[i], &rec))
                        return 0;
        return append(u, rec);
}

static int record_plain(Undo *u, const char *kind, const char *object, const char *was) {
        return record(u,
                      (LedgerRecord){ .kind = (char *) kind,
                                      .object = (char *) object,
                                      .was = (char *) was });
}

/* A link is recorded as one: following it would record somebody else's file. */
static int link_state(const char *path, int fd, LedgerRecord *ret) {
        char *target = malloc(FS_ATTR_MAX);
        ssize_t n;

        if (!target)
                return -ENOMEM;
        n = readlinkat(fd, "", target, FS_ATTR_MAX);
        *ret = (LedgerRecord){ .object = (char *) path, .was = (char *) "link", .data = target };
        if (n < 0)
                return -errno;
        ret->size = (size_t) n;
        return 0;
}

/* The file as a record of it. Of what is in there, data is to be freed, also after an error. */
static int file_state(int root, const char *path, LedgerRecord *ret) {
        _cleanup_close_ int fd = fs_open(root, path, O_PATH | O_NOFOLLOW, 0);
        struct stat st;

        *ret = (LedgerRecord){ .object = (char *) path, .was = (char *) "absent" };
        if (fd < 0)
                return fd == -ENOENT ? 0 : fd;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (S_ISLNK(st.st_mode))
                return link_state(path, fd, ret);
        ret->was = (char *) "present";
        ret->mode = st.st_mode & 07777;
        ret->uid = st.st_uid;
        ret->gid = st.st_gid;
        return fs_read(root, path, FS_FILE_MAX, &ret->data, &ret->size);
}

static int record_state(Undo *u, const char *path, const char *base, bool again) {
        _cleanup_free_ char *data = NULL;
        LedgerRecord rec;
        int r;

        r = file_state(u->root, path, &rec);
        data = rec.data;
        if (r < 0)
                return r;
        rec.kind = (char *) "file";
        if (base && streq(rec.was, "present")) {
                rec.data = (char *) base;
                rec.size = strlen(base);
        }
        return again ? append(u, rec) : record(u, rec);
}

int undo_record_file(Undo *u, const char *path) {
        return record_state(u, path, NULL, false);
}

/* True if what is there is neither what we found nor what we have put there. */
static int is_changed(Undo *u, const char *path, bool *ret) {
        char *steps[] = { u->step, NULL };
        RestoreState state = RESTORE_DONE;
        const char *other = NULL;
        const LedgerRecord *t;
        int r;

        r = load(u);
        t = r < 0 ? NULL : restore_target(&u->ledger, steps, path);
        if (t)
                r = restore_look(u->root, &u->ledger, steps, t, &state, &other);
        *ret = state == RESTORE_CHANGED;
        return r;
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

/* What will be there, so that undo can tell our bytes from an administrator's. */
static int record_wrote(Undo *u, const char *path, const void *data, size_t size) {
        return record(u,
                      (LedgerRecord){ .kind = (char *) "wrote",
                                      .object = (char *) path,
                                      .was = (char *) "",
                                      .data = (char *) data,
                                      .size = size });
}

/* shared: somebody else writes there too, see undo_edit_file(). */
static int record_write(Undo *u, const char *path, const char *base, bool shared, const void *data,
                        size_t size) {
        bool again = false;
        int r;

        r = record_parents(u, path);
        if (r >= 0 && shared)
                r = is_changed(u, path, &again);
        if (r >= 0)
                r = record_state(u, path, base, again);
        return r < 0 ? r : record_wrote(u, path, data, size);
}

int undo_record_write(Undo *u, const char *path, const void *data, size_t size) {
        return record_write(u, path, NULL, true, data, size);
}

/* Returns 1 if the file has that content and mode, else 0 and whom it belongs to. */
static int is_there(int root, const char *path, const void *data, size_t size, mode_t mode, uid_t *ret_uid,
                    gid_t *ret_gid) {
        _cleanup_free_ char *old = NULL;
        struct stat st;
        size_t n;

        *ret_uid = (uid_t) -1;
        *ret_gid = (gid_t) -1;
        if (fs_stat(root, path, &st) < 0)
                return 0;
        *ret_uid = st.st_uid;
        *ret_gid = st.st_gid;
        return (st.st_mode & 07777) == mode && fs_read(root, path, FS_FILE_MAX, &old, &n) >= 0 && n == size &&
                        (n == 0 || memcmp(old, data, n) == 0);
}

static int put_file(Undo *u, const char *path, const char *base, bool shared, const void *data, size_t size,
                    mode_t mode) {
        uid_t uid;
        gid_t gid;
        int r;

        if (path[0] != '/')
                return -EINVAL;
        if (is_there(u->root, path, data, size, mode, &uid, &gid))
                return 0;
        r = record_write(u, path, base, shared, data, size);
        if (r >= 0)
                r = fs_write_atomic_owned(u->root, path, data, size, mode, uid, gid);
        return r < 0 ? r : 1;
}

int undo_write_file(Undo *u, const char *path, const void *data, size_t size, mode_t mode) {
        return put_file(u, path, NULL, false, data, size, mode);
}

int undo_edit_file(Undo *u, const char *path, const char *base, const char *text, mode_t mode) {
        return put_file(u, path, base, true, text, strlen(text), mode);
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
