/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <archive.h>
#include <archive_entry.h>

#include "library.h"
#include "seed.h"

#define LIBRARY "libarchive.so.13"

/* The functions used here, with libarchive's own prototypes. */
#define FUNCTIONS(X)                        \
        X(archive_entry_free)               \
        X(archive_entry_new)                \
        X(archive_entry_set_filetype)       \
        X(archive_entry_set_mtime)          \
        X(archive_entry_set_pathname)       \
        X(archive_entry_set_perm)           \
        X(archive_entry_set_size)           \
        X(archive_write_close)              \
        X(archive_write_data)               \
        X(archive_write_free)               \
        X(archive_write_header)             \
        X(archive_write_new)                \
        X(archive_write_open_memory)        \
        X(archive_write_set_format_iso9660) \
        X(archive_write_set_options)

/* One pointer of the right type for each, named as the function. */
static struct {
        void *library;
#define X(f) typeof(&f) f;
        FUNCTIONS(X)
#undef X
} la;

#define X(f) { #f, &la.f },
static const LibraryFunction functions[] = { FUNCTIONS(X) };
#undef X

static int load_library(void) {
        return MIN(library_load(LIBRARY, functions, ELEMENTSOF(functions), &la.library), 0);
}

/* ISO 9660, and with Joliet and Rock Ridge for readers that know better than eight capital letters. */
static const char options[] = "iso9660:volume-id=CIDATA,iso9660:joliet,iso9660:rockridge=useful,iso9660:!pad";

static int add_file(struct archive *a, const char *name, const char *text) {
        struct archive_entry *e;
        size_t size;
        int r;

        if (!text)
                return 0;
        e = la.archive_entry_new();
        if (!e)
                return -ENOMEM;
        size = strlen(text);
        la.archive_entry_set_pathname(e, name);
        la.archive_entry_set_size(e, (int64_t) size);
        la.archive_entry_set_filetype(e, AE_IFREG);
        la.archive_entry_set_perm(e, 0400);
        la.archive_entry_set_mtime(e, time(NULL), 0);
        r = la.archive_write_header(a, e);
        if (r >= ARCHIVE_WARN && la.archive_write_data(a, text, size) != (ssize_t) size)
                r = ARCHIVE_FATAL;
        la.archive_entry_free(e);
        return r < ARCHIVE_WARN ? -EIO : 0;
}

static int write_image(struct archive *a, const Seed *s, void *buffer, size_t max, size_t *ret_size) {
        int r;

        if (la.archive_write_set_format_iso9660(a) < ARCHIVE_WARN ||
            la.archive_write_set_options(a, options) < ARCHIVE_WARN ||
            la.archive_write_open_memory(a, buffer, max, ret_size) < ARCHIVE_WARN)
                return -EIO;
        r = add_file(a, "meta-data", s->meta_data);
        if (r >= 0)
                r = add_file(a, "user-data", s->user_data);
        if (r >= 0)
                r = add_file(a, "network-config", s->network_config);
        if (r >= 0 && la.archive_write_close(a) < ARCHIVE_WARN)
                r = -EIO;
        return r;
}

/* Volume descriptors, directories and their tables, twice, take less than 256 KiB with three files. */
static size_t size_for(const Seed *s) {
        return 512 * 1024 + strlen(strempty(s->meta_data)) + strlen(strempty(s->user_data)) +
                        strlen(strempty(s->network_config));
}

int seed_make(const Seed *s, void **ret, size_t *ret_size) {
        _cleanup_free_ void *buffer = NULL;
        size_t size = 0, max = size_for(s);
        struct archive *a;
        int r;

        if (max > SEED_SIZE_MAX)
                return -EFBIG;
        r = load_library();
        if (r < 0)
                return r;
        buffer = malloc(max);
        a = la.archive_write_new();
        if (!buffer || !a)
                r = -ENOMEM;
        if (r >= 0)
                r = write_image(a, s, buffer, max, &size);
        if (a)
                (void) la.archive_write_free(a);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(buffer);
        *ret_size = size;
        return 0;
}
