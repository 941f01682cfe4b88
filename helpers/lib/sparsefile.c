/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <endian.h>
#include <sys/statvfs.h>

#include "fs.h"
#include "sparsefile.h"

enum {
        LOOK_EVERY = 64 * 1024 * 1024, /* bytes between two looks at the free space */
        FLUSH_EVERY = 32 * 1024 * 1024,
        READ_AT_ONCE = 16 * SPARSEFILE_BLOCK,
};

struct SparseFile {
        int dir, fd;
        char *name, *part; /* part: NULL once there is none */
        SparseFileLimits limits;
        Digest *digest;
        uint64_t at, data, looked, flushed;
};

static bool is_zero(const uint8_t *p, size_t n) {
        return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

static int sum_block(Digest *d, uint64_t at, const void *p, size_t n) {
        uint64_t place = htole64(at);
        int r;

        r = digest_add(d, &place, sizeof(place));
        return r < 0 ? r : digest_add(d, p, n);
}

static int look_at_space(SparseFile *f) {
        struct statvfs s;

        if (fstatvfs(f->fd, &s) < 0)
                return -errno;
        f->looked = f->data;
        return (uint64_t) s.f_bavail * s.f_frsize < f->limits.reserve + LOOK_EVERY ? -ENOSPC : 0;
}

int sparsefile_open(int dir, const char *name, const SparseFileLimits *limits, Digest *digest,
                    SparseFile **ret) {
        _cleanup_(sparsefile_freep) SparseFile *f = calloc(1, sizeof(*f));
        int r;

        if (!f)
                return -ENOMEM;
        *f = (SparseFile){ .dir = -EBADF, .fd = -EBADF, .limits = *limits, .digest = digest };
        f->name = strdup(name);
        f->dir = fcntl(dir, F_DUPFD_CLOEXEC, 3);
        if (!f->name || str_printf(&f->part, "%s" SPARSEFILE_SUFFIX, name) < 0)
                return -ENOMEM;
        if (f->dir < 0)
                return -errno;
        /* What a killed download left behind: never opened again, a link least of all. */
        if (unlinkat(f->dir, f->part, 0) < 0 && errno != ENOENT)
                return -errno;
        f->fd = openat(f->dir, f->part, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (f->fd < 0)
                return -errno;
        r = look_at_space(f);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(f);
        return 0;
}

static int write_at(SparseFile *f, const uint8_t *p, size_t n, uint64_t at) {
        while (n > 0) {
                ssize_t k = pwrite(f->fd, p, n, (off_t) at);

                if (k < 0 && errno == EINTR)
                        continue;
                if (k <= 0)
                        return k < 0 ? -errno : -EIO;
                p += k;
                at += (uint64_t) k;
                n -= (size_t) k;
        }
        return 0;
}

/* A run of blocks that all have data. */
static int write_run(SparseFile *f, const uint8_t *p, size_t n, uint64_t at) {
        int r;

        if (f->data + n > f->looked + LOOK_EVERY) {
                r = look_at_space(f);
                if (r < 0)
                        return r;
        }
        r = write_at(f, p, n, at);
        for (size_t i = 0; r >= 0 && f->digest && i < n; i += SPARSEFILE_BLOCK)
                r = sum_block(f->digest, at + i, p + i, MIN((size_t) SPARSEFILE_BLOCK, n - i));
        if (r < 0)
                return r;
        f->data += n;
        /* Begin to write it out now, so that there is little left to wait for at the end. */
        if (f->data > f->flushed + FLUSH_EVERY) {
                (void) sync_file_range(f->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
                f->flushed = f->data;
        }
        return 0;
}

int sparsefile_write(SparseFile *f, const void *data, size_t n) {
        const uint8_t *p = data;

        assert(f->at % SPARSEFILE_BLOCK == 0);
        if (n > f->limits.max - MIN(f->at, f->limits.max))
                return -EFBIG;
        for (size_t i = 0, end; i < n; i = end) {
                bool zero = is_zero(p + i, MIN((size_t) SPARSEFILE_BLOCK, n - i));
                int r;

                for (end = MIN(i + SPARSEFILE_BLOCK, n);
                     end < n && is_zero(p + end, MIN((size_t) SPARSEFILE_BLOCK, n - end)) == zero;)
                        end = MIN(end + SPARSEFILE_BLOCK, n);
                r = zero ? 0 : write_run(f, p + i, end - i, f->at + i);
                if (r < 0)
                        return r;
        }
        f->at += n;
        return 0;
}

int sparsefile_commit(SparseFile *f) {
        if (ftruncate(f->fd, (off_t) f->at) < 0 || fchmod(f->fd, 0444) < 0 || fsync(f->fd) < 0 ||
            renameat(f->dir, f->part, f->dir, f->name) < 0)
                return -errno;
        free(TAKE_PTR(f->part));
        return fsync(f->dir) < 0 ? -errno : 0;
}

void sparsefile_free(SparseFile *f) {
        if (!f)
                return;
        if (f->fd >= 0 && f->part)
                (void) unlinkat(f->dir, f->part, 0);
        (void) safe_close(f->fd);
        (void) safe_close(f->dir);
        free(f->name);
        free(f->part);
        free(f);
}

uint64_t sparsefile_size(const SparseFile *f) {
        return f->at;
}

uint64_t sparsefile_data(const SparseFile *f) {
        return f->data;
}

/* Fills the buffer but at the end of the file. */
static ssize_t read_at(int fd, uint8_t *p, size_t max, uint64_t at) {
        size_t n = 0;

        while (n < max) {
                ssize_t k = pread(fd, p + n, max - n, (off_t) (at + n));

                if (k < 0 && errno == EINTR)
                        continue;
                if (k < 0)
                        return -errno;
                if (k == 0)
                        break;
                n += (size_t) k;
        }
        return (ssize_t) n;
}

static int sum_piece(Digest *d, bool whole, uint64_t at, const uint8_t *p, size_t n) {
        int r = whole ? digest_add(d, p, n) : 0;

        for (size_t i = 0; r >= 0 && !whole && i < n; i += SPARSEFILE_BLOCK) {
                size_t k = MIN((size_t) SPARSEFILE_BLOCK, n - i);

                if (!is_zero(p + i, k))
                        r = sum_block(d, at + i, p + i, k);
        }
        return r;
}

/* The next place with data, at the start of its block; -ENXIO: none any more. */
static int skip_hole(int fd, uint64_t *at) {
        off_t next = lseek(fd, (off_t) *at, SEEK_DATA);

        if (next < 0)
                return -errno;
        *at = MAX(*at, (uint64_t) next / SPARSEFILE_BLOCK * SPARSEFILE_BLOCK);
        return 0;
}

int sparsefile_sum(int fd, bool whole, Digest *digest,
                   void (*progress)(uint64_t done, uint64_t total, void *userdata), void *userdata) {
        _cleanup_free_ uint8_t *buffer = malloc(READ_AT_ONCE);
        struct stat st;
        uint64_t at = 0;

        if (!buffer)
                return -ENOMEM;
        if (fstat(fd, &st) < 0)
                return -errno;
        for (;;) {
                int r = whole ? 0 : skip_hole(fd, &at);
                ssize_t n;

                if (r == -ENXIO)
                        break;
                n = r < 0 ? r : read_at(fd, buffer, READ_AT_ONCE, at);
                if (n < 0)
                        return (int) n;
                r = sum_piece(digest, whole, at, buffer, (size_t) n);
                if (r < 0)
                        return r;
                at += (uint64_t) n;
                if (progress)
                        progress(at, (uint64_t) st.st_size, userdata);
                if (n < READ_AT_ONCE)
                        break;
        }
        return 0;
}
