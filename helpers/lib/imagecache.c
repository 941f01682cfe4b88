/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <sys/file.h>
#include <sys/stat.h>

#include "fs.h"
#include "imagecache.h"
#include "qcow2.h"
#include "sparsefile.h"
#include "strv.h"

#define SUFFIX IMAGE_ENTRY_SUFFIX

enum {
        CHAIN_MAX = 16,          /* disks, each made on the next */
        ENTRY_MAX = 1024 * 1024, /* bytes of an entry's text; one that was built has its packages in it */
        LOCK_POLL_USEC = 250000,
};

int imagecache_find(int root, const char *name, ImageEntry *ret) {
        _cleanup_(image_entry_done) ImageEntry e = {};
        _cleanup_free_ char *path = NULL, *text = NULL;
        struct stat st;
        int r;

        if (!image_name_is_valid(name))
                return -EINVAL;
        r = str_printf(&path, "%s/%s" SUFFIX, IMAGE_CACHE, name);
        if (r >= 0)
                r = fs_read(root, path, ENTRY_MAX, &text, NULL);
        if (r >= 0)
                r = image_entry_parse(text, &e);
        if (r >= 0)
                r = fs_stat(root, e.path, &st);
        if (r < 0)
                return r == -EBADMSG || r == -EFBIG ? -ENOENT : r; /* one that cannot be read is made anew */
        if (!streq(e.name, name) || !S_ISREG(st.st_mode) || (uint64_t) st.st_size != e.length)
                return -ENOENT;
        *ret = e;
        e = (ImageEntry){};
        return 0;
}

int imagecache_hold(int root, ImageEntry *e) {
        _cleanup_close_ int fd = fs_open(root, e->path, O_RDONLY | O_NOFOLLOW, 0);

        if (fd < 0)
                return fd;
        if (flock(fd, LOCK_SH | LOCK_NB) < 0)
                return errno == EWOULDBLOCK ? -ENOENT : -errno; /* it is just being removed */
        e->hold = TAKE_FD(fd);
        return 0;
}

int imagecache_list(int root, ImageEntry **ret, size_t *ret_n) {
        _cleanup_strv_ char **names = NULL;
        ImageEntry *l;
        size_t n = 0;
        int r;

        r = fs_list(root, IMAGE_CACHE, &names);
        if (r < 0 && r != -ENOENT)
                return r;
        l = calloc(strv_length(names) + 1, sizeof(*l));
        if (!l)
                return -ENOMEM;
        STRV_FOREACH(name, names) {
                const char *end = endswith(*name, SUFFIX);
                _cleanup_free_ char *s = end ? strndup(*name, (size_t) (end - *name)) : NULL;

                if (!s || !image_name_is_valid(s))
                        continue;
                r = imagecache_find(root, s, &l[n]);
                if (r >= 0)
                        n++;
                else if (r != -ENOENT) {
                        image_entries_free(l, n);
                        return r;
                }
        }
        *ret = l;
        *ret_n = n;
        return 0;
}

int imagecache_open(int root) {
        int r;

        r = fs_exists(root, IMAGE_CACHE);
        if (r == 0)
                r = fs_mkdir_p(root, IMAGE_CACHE, 0755);
        if (r < 0)
                return r;
        r = fs_open(root, IMAGE_CACHE, O_RDONLY | O_DIRECTORY, 0);
        if (r >= 0 && faccessat(r, ".", W_OK, AT_EACCESS) < 0) {
                int error = -errno;

                (void) safe_close(r);
                return error;
        }
        return r;
}

/* The file stays: to remove it would let two have the lock of one name. */
static int open_lock(int cache, const char *name) {
        _cleanup_free_ char *file = NULL;
        int r;

        r = str_printf(&file, ".%s.lock", name);
        if (r < 0)
                return r;
        return RET_NERRNO(openat(cache, file, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
}

int imagecache_lock(int cache, const char *name, int (*wait)(void *userdata), void *userdata) {
        _cleanup_close_ int fd = image_name_is_valid(name) ? open_lock(cache, name) : -EINVAL;

        if (fd < 0)
                return fd;
        while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
                int r;

                if (errno != EWOULDBLOCK && errno != EINTR)
                        return -errno;
                if (!wait)
                        return -EBUSY;
                r = wait(userdata);
                if (r < 0)
                        return r;
                (void) usleep(LOCK_POLL_USEC);
        }
        return TAKE_FD(fd);
}

int imagecache_put(int root, const ImageEntry *e) {
        _cleanup_json_ json_object *o = NULL;
        _cleanup_free_ char *path = NULL, *text = NULL;
        int r;

        r = image_entry_to_json(e, &o);
        if (r >= 0)
                r = str_printf(&path, "%s/%s" SUFFIX, IMAGE_CACHE, e->name);
        if (r >= 0)
                r = str_printf(&text, "%s\n", json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY));
        if (r >= 0 && strlen(text) > ENTRY_MAX)
                r = -EFBIG;
        return r < 0 ? r : fs_write_atomic(root, path, text, strlen(text), 0644);
}

/* Adds the file of the cache that this disk is made on, if it is one. Returns 1 with what the disk is made
 * on, 0 if that is nothing. */
static int add_backing(int root, const char *path, char ***used, char **ret) {
        _cleanup_close_ int fd = fs_open(root, path, O_RDONLY | O_NONBLOCK, 0);
        _cleanup_free_ char *buffer = NULL, *backing = NULL;
        const char *file;
        struct stat st;
        ssize_t n;
        int r;

        if (fd < 0)
                return fd == -ENOENT ? 0 : fd; /* removed since it was listed */
        if (fstat(fd, &st) < 0)
                return -errno;
        buffer = malloc(QCOW2_HEADER_MAX);
        if (!buffer)
                return -ENOMEM;
        if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
                return 0;
        n = pread(fd, buffer, QCOW2_HEADER_MAX, 0);
        if (n < 0)
                return -errno;
        r = qcow2_backing(buffer, (size_t) n, &backing);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        file = startswith(backing, IMAGE_CACHE "/");
        r = file ? strv_extend(used, file) : 0;
        if (r < 0)
                return r;
        *ret = TAKE_PTR(backing);
        return 1;
}

int imagecache_add_used(int root, const char *disk, char ***used) {
        _cleanup_free_ char *path = strdup(disk);
        int r = path ? 1 : -ENOMEM;

        for (unsigned depth = 0; r > 0 && depth < CHAIN_MAX && *path == '/'; depth++) {
                char *below = NULL;

                r = add_backing(root, path, used, &below);
                if (r > 0) {
                        free(path);
                        path = below;
                }
        }
        return MIN(r, 0);
}

int imagecache_used(int root, const char *pool, char ***ret) {
        _cleanup_strv_ char **names = NULL, **used = NULL;
        int r;

        r = fs_list(root, pool, &names);
        if (r == -ENOENT)
                r = 0;
        STRV_FOREACH(name, names) {
                _cleanup_free_ char *path = NULL;

                if (r >= 0)
                        r = str_printf(&path, "%s/%s", pool, *name);
                if (r >= 0)
                        r = imagecache_add_used(root, path, &used);
        }
        if (r < 0)
                return r;
        *ret = TAKE_PTR(used);
        return 0;
}

int imagecache_verify(int root, const ImageEntry *e,
                      void (*progress)(uint64_t done, uint64_t total, void *userdata), void *userdata) {
        const char *want = *e->content ? e->content : e->digest, *colon = strchr(want, ':');
        _cleanup_close_ int fd = fs_open(root, e->path, O_RDONLY | O_NOFOLLOW, 0);
        _cleanup_(digest_freep) Digest *d = NULL;
        _cleanup_free_ char *kind = NULL;
        char hex[DIGEST_HEX_MAX];
        struct stat st;
        int r;

        if (fd < 0)
                return fd;
        kind = colon ? strndup(want, (size_t) (colon - want)) : NULL;
        if (!kind || digest_kind_from_string(kind) < 0)
                return -EBADMSG;
        if (fstat(fd, &st) < 0)
                return -errno;
        r = digest_new(digest_kind_from_string(kind), &d);
        if (r >= 0)
                r = sparsefile_sum(fd, !*e->content, d, progress, userdata);
        if (r >= 0)
                r = digest_end(d, hex);
        if (r < 0)
                return r;
        return streq(hex, colon + 1) && (uint64_t) st.st_size == e->length ? 0 : -EBADMSG;
}

/* Removes a file of the cache that nobody holds. */
static int remove_file(int cache, const char *file) {
        _cleanup_close_ int fd = openat(cache, file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

        if (fd < 0)
                return errno == ENOENT ? 0 : -errno;
        if (flock(fd, LOCK_EX | LOCK_NB) < 0)
                return errno == EWOULDBLOCK ? -EBUSY : -errno;
        return unlinkat(cache, file, 0) < 0 ? -errno : 0;
}

/* The entry goes first: one without its file would be found and refused, a file without its entry is only
 * room that gc takes back. It comes back if the file is held. */
static int remove_entry(int root, int cache, const ImageEntry *e) {
        _cleanup_free_ char *file = NULL;
        int r;

        r = str_printf(&file, "%s" SUFFIX, e->name);
        if (r < 0)
                return r;
        if (unlinkat(cache, file, 0) < 0 && errno != ENOENT)
                return -errno;
        r = remove_file(cache, e->file);
        if (r >= 0)
                return fsync(cache) < 0 ? -errno : 0;
        return imagecache_put(root, e) < 0 ? -EIO : r;
}

int imagecache_remove(int root, const ImageEntry *e, char *const *used) {
        _cleanup_close_ int cache = -EBADF, lock = -EBADF;

        if (strv_contains(used, e->file))
                return -EBUSY;
        cache = imagecache_open(root);
        if (cache < 0)
                return cache;
        lock = imagecache_lock(cache, e->name, NULL, NULL);
        return lock < 0 ? lock : remove_entry(root, cache, e);
}

/* A download at work holds the lock of the entry that its file will be of; names of files begin with it. */
static bool somebody_works_at(int cache, char *const *names, const char *file) {
        STRV_FOREACH(lock, names) {
                const char *end = endswith(*lock, ".lock");
                _cleanup_free_ char *name = NULL;
                _cleanup_close_ int fd = -EBADF;

                if (**lock != '.' || !end)
                        continue;
                name = strndup(*lock + 1, (size_t) (end - *lock - 1));
                if (!name)
                        return true;
                if (!startswith(file, name))
                        continue;
                fd = imagecache_lock(cache, name, NULL, NULL);
                if (fd < 0)
                        return true;
        }
        return false;
}

static bool has_entry(const ImageEntry *l, size_t n, const char *file) {
        for (size_t i = 0; i < n; i++)
                if (streq(l[i].file, file))
                        return true;
        return false;
}

/* True for what downloads leave behind: images and halves of them. */
static bool is_image_file(const char *file) {
        return image_name_is_valid(file) &&
                        (endswith(file, ".raw") || endswith(file, ".qcow2") ||
                         endswith(file, SPARSEFILE_SUFFIX));
}

typedef struct Removal {
        int root, cache;
        char *const *used;
        bool dry;
        char **removed;
        uint64_t bytes;
} Removal;

/* e: the entry of the file, or NULL. What is held or worked at stays, without a word. */
static int remove_one(Removal *m, const ImageEntry *e, const char *file) {
        struct stat st;
        int r;

        if (strv_contains(m->used, file) || fstatat(m->cache, file, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return 0;
        r = m->dry ? 0 : e ? imagecache_remove(m->root, e, m->used) : remove_file(m->cache, file);
        if (r < 0)
                return r == -EBUSY ? 0 : r;
        m->bytes += (uint64_t) st.st_blocks * 512;
        return strv_extend(&m->removed, e ? e->name : file);
}

int imagecache_gc(int root, char *const *used, bool all, bool dry, char ***ret, uint64_t *ret_bytes) {
        Removal m = { .root = root, .cache = -EBADF, .used = used, .dry = dry };
        _cleanup_close_ int cache = imagecache_open(root);
        _cleanup_strv_ char **names = NULL;
        ImageEntry *l = NULL;
        size_t n = 0;
        int r;

        if (cache < 0)
                return cache;
        m.cache = cache;
        r = fs_list(root, IMAGE_CACHE, &names);
        if (r >= 0)
                r = imagecache_list(root, &l, &n);
        STRV_FOREACH(file, names)
                if (r >= 0 && is_image_file(*file) && !has_entry(l, n, *file) &&
                    !somebody_works_at(cache, names, *file))
                        r = remove_one(&m, NULL, *file);
        for (size_t i = 0; all && i < n && r >= 0; i++)
                r = remove_one(&m, &l[i], l[i].file);
        image_entries_free(l, n);
        if (r < 0) {
                strv_free(m.removed);
                return r;
        }
        *ret = m.removed;
        *ret_bytes = m.bytes;
        return 0;
}
