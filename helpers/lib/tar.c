/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <archive.h>
#include <archive_entry.h>
#include <ctype.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "fswrite.h"
#include "library.h"
#include "tar.h"

#define LIBRARY "libarchive.so.13"

#define FUNCTIONS(X)                               \
        X(archive_entry_filetype)                  \
        X(archive_entry_free)                      \
        X(archive_entry_hardlink)                  \
        X(archive_entry_new)                       \
        X(archive_entry_pathname)                  \
        X(archive_entry_set_filetype)              \
        X(archive_entry_set_pathname)              \
        X(archive_entry_set_perm)                  \
        X(archive_entry_set_size)                  \
        X(archive_entry_set_symlink)               \
        X(archive_entry_symlink)                   \
        X(archive_read_data)                       \
        X(archive_read_free)                       \
        X(archive_read_new)                        \
        X(archive_read_next_header)                \
        X(archive_read_open_memory)                \
        X(archive_read_support_filter_gzip)        \
        X(archive_read_support_format_tar)         \
        X(archive_write_add_filter_gzip)           \
        X(archive_write_close)                     \
        X(archive_write_data)                      \
        X(archive_write_free)                      \
        X(archive_write_header)                    \
        X(archive_write_new)                       \
        X(archive_write_open_memory)               \
        X(archive_write_set_format_pax_restricted) \
        X(archive_write_set_options)

static struct {
        void *library;
#define X(f) typeof(&(f)) f;
        FUNCTIONS(X)
#undef X
} la;

#define X(f) { #f, &la.f },
static const LibraryFunction functions[] = { FUNCTIONS(X) };
#undef X

static int load_library(void) {
        return MIN(library_load(LIBRARY, functions, ELEMENTSOF(functions), &la.library), 0);
}

void tar_done(Tar *t) {
        for (size_t i = 0; i < t->n; i++) {
                free(t->items[i].path);
                free(t->items[i].data);
        }
        free(t->items);
        *t = (Tar){};
}

bool tar_path_is_valid(const char *path) {
        size_t depth = 0;

        /* Deep ones would make many directories of a small archive, and a tree that nobody can remove. */
        if (strlen(path) >= 1024)
                return false;
        for (const char *c = path;; c++) {
                size_t n = strcspn(c, "/");

                if (n == 0 || n > 255 || ++depth > TAR_DEPTH_MAX || (n <= 2 && strncmp(c, "..", n) == 0))
                        return false;
                for (size_t i = 0; i < n; i++)
                        if (iscntrl((unsigned char) c[i]))
                                return false;
                c += n;
                if (!*c)
                        return true;
        }
}

int tar_add(Tar *t, const char *path, TarKind kind, const void *data, size_t size) {
        TarEntry e = { .kind = kind, .size = size, .order = t->n };

        if (!tar_path_is_valid(path))
                return -EINVAL;
        if (t->n >= TAR_ENTRIES_MAX || size > TAR_FILE_MAX)
                return -EFBIG;
        if (t->n == t->room) {
                size_t room = MAX(t->room * 2, (size_t) 64);
                TarEntry *items = reallocarray(t->items, room, sizeof(*items));

                if (!items)
                        return -ENOMEM;
                t->items = items;
                t->room = room;
        }
        e.path = strdup(path);
        e.data = malloc(size + 1);
        if (!e.path || !e.data) {
                free(e.path);
                free(e.data);
                return -ENOMEM;
        }
        if (size > 0)
                memcpy(e.data, data, size);
        e.data[size] = '\0';
        t->items[t->n++] = e;
        return 0;
}

static int compare(const void *a, const void *b) {
        const TarEntry *x = a, *y = b;
        int r = strcmp(x->path, y->path);

        return r != 0 ? r : x->order < y->order ? -1 : x->order > y->order;
}

void tar_sort(Tar *t) {
        size_t n = 0;

        if (t->n > 0)
                qsort(t->items, t->n, sizeof(*t->items), compare);
        for (size_t i = 0; i < t->n; i++) {
                if (n > 0 && streq(t->items[n - 1].path, t->items[i].path)) {
                        free(t->items[i].path);
                        free(t->items[i].data);
                        continue;
                }
                t->items[n++] = t->items[i];
        }
        t->n = n;
}

static int put_entry(struct archive *a, const TarEntry *e) {
        struct archive_entry *entry = la.archive_entry_new();
        int r;

        if (!entry)
                return -ENOMEM;
        la.archive_entry_set_pathname(entry, e->path);
        la.archive_entry_set_size(entry, e->kind == TAR_FILE ? (int64_t) e->size : 0);
        la.archive_entry_set_filetype(entry,
                                      e->kind == TAR_FILE                   ? AE_IFREG
                                                      : e->kind == TAR_LINK ? AE_IFLNK
                                                                            : AE_IFDIR);
        la.archive_entry_set_perm(entry, e->kind == TAR_FILE ? 0644 : 0755);
        if (e->kind == TAR_LINK)
                la.archive_entry_set_symlink(entry, e->data);
        r = la.archive_write_header(a, entry);
        if (r >= ARCHIVE_WARN && e->kind == TAR_FILE && e->size > 0 &&
            la.archive_write_data(a, e->data, e->size) != (ssize_t) e->size)
                r = ARCHIVE_FATAL;
        la.archive_entry_free(entry);
        return r < ARCHIVE_WARN ? -EIO : 0;
}

static int put_all(const Tar *t, struct archive *a, void *buffer, size_t max, size_t *ret_size) {
        int r = 0;

        /* One block after the other, and no time in gzip's header. */
        if (la.archive_write_set_format_pax_restricted(a) < ARCHIVE_WARN ||
            la.archive_write_add_filter_gzip(a) != ARCHIVE_OK ||
            la.archive_write_set_options(a, "gzip:!timestamp") < ARCHIVE_WARN ||
            la.archive_write_open_memory(a, buffer, max, ret_size) < ARCHIVE_WARN)
                return -EIO;
        for (size_t i = 0; i < t->n && r >= 0; i++)
                r = put_entry(a, &t->items[i]);
        if (r >= 0 && la.archive_write_close(a) < ARCHIVE_WARN)
                r = -EIO;
        return r;
}

int tar_write(Tar *t, void **ret, size_t *ret_size) {
        _cleanup_free_ void *buffer = NULL;
        size_t size = 0, max = 1024 * 1024;
        struct archive *a;
        int r;

        r = load_library();
        if (r < 0)
                return r;
        tar_sort(t);
        /* A header, one more for a long name, and what fills the last block up. */
        for (size_t i = 0; i < t->n; i++)
                max += t->items[i].size + 4096;
        if (max > TAR_TOTAL_MAX)
                return -EFBIG;
        buffer = malloc(max);
        a = la.archive_write_new();
        r = buffer && a ? put_all(t, a, buffer, max, &size) : -ENOMEM;
        if (a)
                (void) la.archive_write_free(a);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(buffer);
        *ret_size = size;
        return 0;
}

/* "./proc/cmdline" and "proc/" are names that tar gives. Returns 0 for the top itself. */
static int clean_path(const char *name, char **ret) {
        size_t n;

        while (startswith(name, "./"))
                name += 2 + strspn(name + 2, "/");
        if (streq(name, ".") || !*name)
                return 0;
        n = strlen(name);
        while (n > 1 && name[n - 1] == '/')
                n--;
        *ret = strndup(name, n);
        return *ret ? 1 : -ENOMEM;
}

/* However long it says that it is. */
static int get_data(struct archive *a, char **ret, size_t *ret_size) {
        _cleanup_free_ char *data = NULL;
        size_t size = 0, room = 0;

        for (;;) {
                ssize_t n;

                if (size == room) {
                        char *t = realloc(data, room = MAX(room * 2, (size_t) 4096));

                        if (!t)
                                return -ENOMEM;
                        data = t;
                }
                n = la.archive_read_data(a, data + size, room - size);
                if (n < 0)
                        return -EBADMSG;
                if (n == 0)
                        break;
                size += (size_t) n;
                if (size > TAR_FILE_MAX)
                        return -EFBIG;
        }
        *ret = TAKE_PTR(data);
        *ret_size = size;
        return 0;
}

static int get_entry(struct archive *a, struct archive_entry *entry, Tar *t, size_t *total) {
        _cleanup_free_ char *path = NULL, *data = NULL;
        const char *name = la.archive_entry_pathname(entry), *target;
        size_t size = 0;
        int r;

        if (!name || la.archive_entry_hardlink(entry))
                return -EBADMSG;
        r = clean_path(name, &path);
        if (r <= 0)
                return r;
        switch (la.archive_entry_filetype(entry)) {
        case AE_IFDIR:
                r = tar_add(t, path, TAR_DIRECTORY, NULL, 0);
                break;
        case AE_IFLNK:
                target = la.archive_entry_symlink(entry);
                if (isempty(target) || strlen(target) >= 4096)
                        return -EBADMSG;
                r = tar_add(t, path, TAR_LINK, target, strlen(target));
                break;
        case AE_IFREG:
                r = get_data(a, &data, &size);
                if (r >= 0)
                        r = tar_add(t, path, TAR_FILE, data, size);
                break;
        default:
                return -EBADMSG;
        }
        *total += size + sizeof(TarEntry) + strlen(path);
        return r == -EINVAL ? -EBADMSG : r >= 0 && *total > TAR_TOTAL_MAX ? -EFBIG : r;
}

static int get_all(struct archive *a, const void *data, size_t size, Tar *t) {
        struct archive_entry *entry;
        size_t total = 0;
        int r;

        /* A warning would be that it starts a program for gzip. */
        if (la.archive_read_support_filter_gzip(a) != ARCHIVE_OK ||
            la.archive_read_support_format_tar(a) != ARCHIVE_OK)
                return -EOPNOTSUPP;
        if (la.archive_read_open_memory(a, data, size) != ARCHIVE_OK)
                return -EBADMSG;
        for (;;) {
                r = la.archive_read_next_header(a, &entry);
                if (r == ARCHIVE_EOF)
                        return t->n > 0 ? 0 : -EBADMSG;
                if (r != ARCHIVE_OK)
                        return -EBADMSG;
                r = get_entry(a, entry, t, &total);
                if (r < 0)
                        return r;
        }
}

int tar_read(const void *data, size_t size, Tar *ret) {
        _cleanup_(tar_done) Tar t = {};
        struct archive *a;
        int r;

        if (size > TAR_FILE_MAX)
                return -EFBIG;
        r = load_library();
        if (r < 0)
                return r;
        a = la.archive_read_new();
        if (!a)
                return -ENOMEM;
        r = get_all(a, data, size, &t);
        (void) la.archive_read_free(a);
        if (r < 0)
                return r;
        *ret = t;
        t = (Tar){};
        return 0;
}

/* No link on the way, whoever put it there. */
static int open_beneath(int dir, const char *path, int flags, mode_t mode) {
        struct open_how how = {
                .flags = (uint64_t) (flags | O_CLOEXEC | O_NOFOLLOW),
                .mode = mode,
                .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
        };

        return RET_NERRNO((int) syscall(SYS_openat2, dir, path, &how, sizeof(how)));
}

/* The directory of a path, made with those above it; ret: what is left of the path. */
static int make_parents(int dir, const char *path, const char **ret) {
        _cleanup_close_ int fd = open_beneath(dir, ".", O_PATH | O_DIRECTORY, 0);

        for (const char *c = path;;) {
                size_t n = strcspn(c, "/");
                char name[256];
                int next;

                if (fd < 0)
                        return fd;
                if (!c[n]) {
                        *ret = c;
                        return TAKE_FD(fd);
                }
                (void) snprintf(name, sizeof(name), "%.*s", (int) n, c);
                if (mkdirat(fd, name, 0755) < 0 && errno != EEXIST)
                        return -errno;
                next = open_beneath(fd, name, O_PATH | O_DIRECTORY, 0);
                (void) safe_close(fd);
                fd = next;
                c += n + 1;
        }
}

static int put_file(int dir, const char *name, const TarEntry *e) {
        _cleanup_close_ int fd = open_beneath(dir, name, O_WRONLY | O_CREAT | O_EXCL, 0644);

        return fd < 0 ? fd : write_all(fd, e->data, e->size);
}

int tar_unpack(const Tar *t, int dir) {
        for (size_t i = 0; i < t->n; i++) {
                const TarEntry *e = &t->items[i];
                const char *name;
                _cleanup_close_ int parent = make_parents(dir, e->path, &name);
                int r = parent;

                if (r < 0)
                        return r;
                if (e->kind == TAR_FILE)
                        r = put_file(parent, name, e);
                else if (e->kind == TAR_LINK)
                        r = RET_NERRNO(symlinkat(e->data, parent, name));
                else if (mkdirat(parent, name, 0755) < 0 && errno != EEXIST)
                        r = -errno;
                if (r < 0)
                        return r;
        }
        return 0;
}
