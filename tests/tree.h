/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Tree: a small machine of a test's own, below a temporary directory that goes when the test passes.
 *
 * Each test runs in a child of its own (tap.h), so one tree at a time is enough. */

#include <errno.h>
#include <ftw.h>
#include <sys/stat.h>

#include "fs.h"
#include "tests/tap.h"

static char tree_path[] = "/tmp/gpuvm-test-XXXXXX";
static int tree_root = -1;

static inline int tree_remove(const char *path, const struct stat *st, int type, struct FTW *ftw) {
        return remove(path);
}

static inline void tree_end(void) {
        (void) close(tree_root);
        (void) nftw(tree_path, tree_remove, 16, FTW_DEPTH | FTW_PHYS);
}

/* Returns the root, see fs.h. */
static inline int tree_new(void) {
        ASSERT(mkdtemp(tree_path));
        (void) atexit(tree_end);
        tree_root = fs_open_root(tree_path);
        ASSERT(tree_root >= 0);
        return tree_root;
}

static inline void tree_put(const char *path, const char *text) {
        ASSERT_EQ(fs_write_atomic(tree_root, path, text, strlen(text), 0644), 0);
}

static inline void tree_link(const char *path, const char *target) {
        char *dir = strdup(path);

        *strrchr(dir, '/') = '\0';
        ASSERT_EQ(fs_mkdir_p(tree_root, dir, 0755), 0);
        free(dir);
        ASSERT_EQ(symlinkat(target, tree_root, path + 1), 0);
}
