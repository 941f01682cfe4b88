/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Stands in for libFuzzer where a fuzz target is built as a test: every file of the corpus directories given
 * as arguments, each also cut short at every length up to a limit, because that is where parsers read too
 * far. */

#include <limits.h>

#include "fs.h"
#include "strv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CUTS_MAX = 512 };

/* In memory of its exact size, so that the sanitizer sees a byte read behind it. */
static void feed(const char *data, size_t size) {
        _cleanup_free_ uint8_t *copy = malloc(MAX(size, (size_t) 1));

        if (!copy)
                abort();
        memcpy(copy, data, size);
        if (LLVMFuzzerTestOneInput(copy, size) != 0)
                abort();
}

static int feed_file(int root, const char *path) {
        _cleanup_free_ char *data = NULL;
        size_t size;
        int r;

        r = fs_read(root, path, FS_FILE_MAX, &data, &size);
        if (r < 0)
                return r;
        feed(data, size);
        for (size_t n = 0; n < MIN(size, (size_t) CUTS_MAX); n++)
                feed(data, n);
        return 0;
}

static int feed_directory(const char *directory) {
        _cleanup_close_ int root = fs_open_root(directory);
        _cleanup_strv_ char **names = NULL;
        int r;

        r = root < 0 ? root : fs_list(root, "/", &names);
        STRV_FOREACH(n, names)
                if (r >= 0)
                        r = feed_file(root, *n);
        if (r < 0)
                fprintf(stderr, "%s: %s\n", directory, strerror(-r));
        else
                printf("%s: %zu inputs\n", directory, strv_length(names));
        return r < 0 || !names ? -EINVAL : 0;
}

int main(int argc, char *argv[]) {
        if (argc < 2)
                return 2;
        for (int i = 1; i < argc; i++)
                if (feed_directory(argv[i]) < 0)
                        return EXIT_FAILURE;
        return EXIT_SUCCESS;
}
