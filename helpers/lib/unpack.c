/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <archive.h>
#include <lzma.h>
#include <sched.h>

#include "library.h"
#include "unpack.h"

#define LIBRARY "libarchive.so.13"

enum { THREADS_MAX = 8 };

#define FUNCTIONS(X)                        \
        X(archive_read_new)                 \
        X(archive_read_free)                \
        X(archive_read_support_filter_zstd) \
        X(archive_read_support_filter_gzip) \
        X(archive_read_support_format_raw)  \
        X(archive_read_open)                \
        X(archive_read_next_header)         \
        X(archive_read_data)                \
        X(archive_filter_code)              \
        X(archive_set_error)

static struct {
        void *library;
#define X(f) typeof(&(f)) f;
        FUNCTIONS(X)
#undef X
} lib;

struct Unpack {
        UnpackKind kind;
        UnpackSource source;
        void *userdata;
        int failure; /* of the source: -errno */
        bool source_ended, ended;

        const uint8_t *piece; /* of the source, not yet taken: UNPACK_NONE */
        size_t n_piece;

        lzma_stream lzma;
        struct archive *archive;
        bool opened;
};

UnpackKind unpack_kind(const char *name) {
        return endswith(name, ".xz")             ? UNPACK_XZ
                        : endswith(name, ".zst") ? UNPACK_ZSTD
                        : endswith(name, ".gz")  ? UNPACK_GZIP
                                                 : UNPACK_NONE;
}

#define X(f) { #f, &lib.f },
static const LibraryFunction functions[] = { FUNCTIONS(X) };
#undef X

static int load_library(void) {
        return MIN(library_load(LIBRARY, functions, ELEMENTSOF(functions), &lib.library), 0);
}

/* The next piece of the source, or 0 at its end, or -errno; remembered, since libraries have words of their
 * own for it. */
static ssize_t pull(Unpack *u, const void **ret) {
        ssize_t n = u->source_ended || u->failure < 0 ? 0 : u->source(u->userdata, ret);

        if (n < 0)
                u->failure = (int) n;
        u->source_ended = n == 0;
        return u->failure < 0 ? u->failure : n;
}

/* Nothing may follow. */
static int check_end(Unpack *u) {
        const void *p;
        ssize_t n;

        u->ended = true;
        if (u->lzma.avail_in > 0)
                return -EBADMSG;
        n = pull(u, &p);
        return n < 0 ? (int) n : n > 0 ? -EBADMSG : 0;
}

static int open_xz(Unpack *u, uint64_t memory) {
        cpu_set_t cpus;
        int n = sched_getaffinity(0, sizeof(cpus), &cpus) < 0 ? 1 : CPU_COUNT(&cpus);
        /* Concatenated streams are not asked for: an image is one. */
        lzma_mt options = {
                .threads = (uint32_t) MIN(MAX(n, 1), (int) THREADS_MAX),
                .memlimit_threading = memory,
                .memlimit_stop = memory,
        };

        u->lzma = (lzma_stream) LZMA_STREAM_INIT;
        return lzma_stream_decoder_mt(&u->lzma, &options) == LZMA_OK ? 0 : -ENOMEM;
}

static ssize_t on_archive_read(struct archive *a, void *userdata, const void **ret) {
        ssize_t n = pull(userdata, ret);

        if (n < 0)
                lib.archive_set_error(a, EIO, "the source failed");
        return n < 0 ? ARCHIVE_FATAL : n;
}

static int open_archive(Unpack *u) {
        int r;

        r = load_library();
        if (r < 0)
                return r;
        u->archive = lib.archive_read_new();
        if (!u->archive)
                return -ENOMEM;
        r = u->kind == UNPACK_ZSTD ? lib.archive_read_support_filter_zstd(u->archive)
                                   : lib.archive_read_support_filter_gzip(u->archive);
        /* A warning would be that it starts a program for it. */
        if (r != ARCHIVE_OK || lib.archive_read_support_format_raw(u->archive) != ARCHIVE_OK)
                return -EOPNOTSUPP;
        return 0;
}

int unpack_open(UnpackKind kind, uint64_t memory, UnpackSource source, void *userdata, Unpack **ret) {
        _cleanup_(unpack_freep) Unpack *u = calloc(1, sizeof(*u));
        int r;

        if (!u)
                return -ENOMEM;
        u->kind = kind;
        u->source = source;
        u->userdata = userdata;
        r = kind == UNPACK_NONE ? 0 : kind == UNPACK_XZ ? open_xz(u, memory) : open_archive(u);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(u);
        return 0;
}

void unpack_free(Unpack *u) {
        if (!u)
                return;
        if (u->kind == UNPACK_XZ)
                lzma_end(&u->lzma);
        if (u->archive)
                (void) lib.archive_read_free(u->archive);
        free(u);
}

static int translate(lzma_ret r) {
        switch (r) {
        case LZMA_MEM_ERROR:
                return -ENOMEM;
        case LZMA_MEMLIMIT_ERROR:
                return -E2BIG;
        case LZMA_FORMAT_ERROR:
        case LZMA_OPTIONS_ERROR:
                return -EOPNOTSUPP;
        case LZMA_BUF_ERROR:
                return -ENODATA;
        default:
                return -EBADMSG;
        }
}

static ssize_t read_xz(Unpack *u, uint8_t *buffer, size_t n) {
        lzma_stream *s = &u->lzma;
        lzma_ret r = LZMA_OK;

        s->next_out = buffer;
        s->avail_out = n;
        while (r == LZMA_OK && s->avail_out > 0) {
                if (s->avail_in == 0 && !u->source_ended) {
                        const void *p = NULL;
                        ssize_t k = pull(u, &p);

                        if (k < 0)
                                return k;
                        s->next_in = p;
                        s->avail_in = (size_t) k;
                }
                r = lzma_code(s, u->source_ended ? LZMA_FINISH : LZMA_RUN);
        }
        if (r == LZMA_STREAM_END) {
                int q = check_end(u);

                if (q < 0)
                        return q;
        } else if (r != LZMA_OK)
                return translate(r);
        return (ssize_t) (n - s->avail_out);
}

static ssize_t open_stream(Unpack *u) {
        struct archive_entry *e;
        int r;

        u->opened = true;
        if (lib.archive_read_open(u->archive, u, NULL, on_archive_read, NULL) != ARCHIVE_OK)
                return u->failure < 0 ? u->failure : -EOPNOTSUPP;
        r = lib.archive_read_next_header(u->archive, &e);
        if (u->failure < 0)
                return u->failure;
        /* Something that is not packed at all would be handed through as it is. */
        if (lib.archive_filter_code(u->archive, 0) == ARCHIVE_FILTER_NONE)
                return -EOPNOTSUPP;
        if (r == ARCHIVE_EOF)
                u->ended = true;
        return r == ARCHIVE_OK || r == ARCHIVE_EOF ? 0 : -EBADMSG;
}

static ssize_t read_archive(Unpack *u, uint8_t *buffer, size_t n) {
        size_t done = 0;

        if (!u->opened) {
                ssize_t r = open_stream(u);

                if (r < 0)
                        return r;
        }
        while (done < n && !u->ended) {
                ssize_t k = lib.archive_read_data(u->archive, buffer + done, n - done);

                if (u->failure < 0)
                        return u->failure;
                if (k < 0)
                        return u->source_ended ? -ENODATA : -EBADMSG;
                if (k == 0) {
                        int r = check_end(u);

                        if (r < 0)
                                return r;
                }
                done += (size_t) k;
        }
        return (ssize_t) done;
}

static ssize_t read_plain(Unpack *u, uint8_t *buffer, size_t n) {
        size_t done = 0;

        while (done < n && !u->ended) {
                size_t k;

                if (u->n_piece == 0) {
                        const void *p = NULL;
                        ssize_t got = pull(u, &p);

                        if (got < 0)
                                return got;
                        u->ended = got == 0;
                        u->piece = p;
                        u->n_piece = (size_t) got;
                }
                k = MIN(n - done, u->n_piece);
                if (k > 0)
                        memcpy(buffer + done, u->piece, k);
                u->piece += k;
                u->n_piece -= k;
                done += k;
        }
        return (ssize_t) done;
}

ssize_t unpack_read(Unpack *u, void *buffer, size_t n) {
        if (u->ended)
                return 0;
        return u->kind == UNPACK_NONE          ? read_plain(u, buffer, n)
                        : u->kind == UNPACK_XZ ? read_xz(u, buffer, n)
                                               : read_archive(u, buffer, n);
}
