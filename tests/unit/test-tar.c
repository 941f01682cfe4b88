/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "strv.h"
#include "tar.h"
#include "tests/tree.h"

static void fill(Tar *t, bool backwards) {
        static const char *const paths[] = { "a/b/file", "a/link", "dir" };

        for (size_t i = 0; i < ELEMENTSOF(paths); i++) {
                size_t k = backwards ? ELEMENTSOF(paths) - 1 - i : i;

                ASSERT_EQ(tar_add(t, paths[k],
                                  k == 0                   ? TAR_FILE
                                                  : k == 1 ? TAR_LINK
                                                           : TAR_DIRECTORY,
                                  k < 2 ? "b/file" : NULL, k < 2 ? 6 : 0),
                          0);
        }
}

/* The archive, or the test is skipped. */
static void *pack(Tar *t, size_t *ret_size) {
        void *data = NULL;
        int r = tar_write(t, &data, ret_size);

        if (r == -ENOPKG)
                SKIP("libarchive's library is not installed");
        ASSERT_EQ(r, 0);
        return data;
}

TEST(names_that_stay_where_they_are_put) {
        static const char *const good[] = { "a", "a/b", "...", "a..b", ".a", "a/.b", "0000:01:00.0", "a b" };
        static const char *const bad[] = { "",     "/",    "/a",     "a/",    "a//b", ".",    "..",
                                           "../a", "a/..", "a/../b", "a/./b", "a\nb", "a\033" };
        char *longest = malloc(5000);

        for (size_t i = 0; i < ELEMENTSOF(good); i++)
                ASSERT(tar_path_is_valid(good[i]));
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                ASSERT(!tar_path_is_valid(bad[i]));
        memset(longest, 'a', 256);
        longest[256] = '\0';
        ASSERT(!tar_path_is_valid(longest));
        longest[255] = '\0';
        ASSERT(tar_path_is_valid(longest));
        for (size_t i = 0; i < 2 * TAR_DEPTH_MAX; i++)
                longest[i] = i % 2 == 0 ? 'a' : '/';
        longest[2 * TAR_DEPTH_MAX - 1] = '\0';
        ASSERT(tar_path_is_valid(longest));
        (void) snprintf(longest + 2 * TAR_DEPTH_MAX - 1, 3, "/a");
        ASSERT(!tar_path_is_valid(longest));
        free(longest);
}

TEST(the_same_tree_is_the_same_archive) {
        _cleanup_(tar_done) Tar a = {}, b = {};
        size_t n_a, n_b;
        _cleanup_free_ void *x = NULL, *y = NULL;

        fill(&a, false);
        fill(&b, true);
        ASSERT_EQ(tar_add(&b, "dir", TAR_FILE, "later", 5), 0); /* the first one stays */
        x = pack(&a, &n_a);
        y = pack(&b, &n_b);
        ASSERT_EQ(n_a, n_b);
        ASSERT_EQ(memcmp(x, y, n_a), 0);
}

TEST(there_and_back) {
        _cleanup_(tar_done) Tar a = {}, b = {};
        _cleanup_free_ char *text = NULL, *target = NULL;
        _cleanup_free_ void *data = NULL;
        int root = tree_new();
        struct stat st;
        size_t size;

        fill(&a, false);
        data = pack(&a, &size);
        ASSERT_EQ(tar_read(data, size, &b), 0);
        ASSERT_EQ(b.n, 3);
        ASSERT_EQ(tar_unpack(&b, root), 0);
        ASSERT_EQ(fs_read(root, "/a/link", FS_ATTR_MAX, &text, NULL), 0);
        ASSERT_STREQ(text, "b/file");
        ASSERT_EQ(fs_readlink(root, "/a/link", &target), 0);
        ASSERT_EQ(fs_stat(root, "/dir", &st), 0);
        ASSERT(S_ISDIR(st.st_mode));
}

/* What somebody made who means harm: unpacking stops, and nothing is outside. */
TEST(links_are_not_followed) {
        static const char *const targets[] = { "/tmp", "..", "../..", ".", "/proc/self/cwd" };
        int root = tree_new();

        for (size_t i = 0; i < ELEMENTSOF(targets); i++) {
                _cleanup_(tar_done) Tar t = {};
                char name[16], below[32];

                (void) snprintf(name, sizeof(name), "out%zu", i);
                (void) snprintf(below, sizeof(below), "out%zu/gpuvm-evil", i);
                ASSERT_EQ(tar_add(&t, name, TAR_LINK, targets[i], strlen(targets[i])), 0);
                ASSERT_EQ(tar_add(&t, below, TAR_FILE, "x", 1), 0);
                ASSERT(tar_unpack(&t, root) < 0);
        }
        ASSERT(access("/tmp/gpuvm-evil", F_OK) < 0);
        ASSERT_EQ(fs_exists(root, "/gpuvm-evil"), 0);
}

TEST(nothing_is_replaced) {
        _cleanup_(tar_done) Tar t = {};
        int root = tree_new();

        tree_put("/file", "mine");
        ASSERT_EQ(tar_add(&t, "file", TAR_FILE, "x", 1), 0);
        ASSERT_EQ(tar_unpack(&t, root), -EEXIST);
}

TEST(what_is_no_archive) {
        static const char *const texts[] = { "", "x", "\x1f\x8b\x08",
                                             "not a tar at all, but long enough to be looked at" };
        _cleanup_(tar_done) Tar t = {};

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                int r = tar_read(texts[i], strlen(texts[i]), &t);

                if (r == -ENOPKG)
                        SKIP("libarchive's library is not installed");
                ASSERT_EQ(r, -EBADMSG);
        }
        ASSERT_EQ(tar_add(&t, "../x", TAR_FILE, "", 0), -EINVAL);
}

/* The corpus of the fuzz target says by its names which archives are refused. */
TEST(what_is_refused) {
        const char *source = getenv("GPUVM_SOURCE");
        _cleanup_strv_ char **names = NULL;
        _cleanup_close_ int root = -EBADF;
        char dir[4096];
        size_t n = 0;

        (void) snprintf(dir, sizeof(dir), "%s/tests/fuzz/corpus/tar", source ?: ".");
        root = fs_open_root(dir);
        ASSERT_EQ(fs_list(root, "/", &names), 0);
        STRV_FOREACH(name, names) {
                _cleanup_(tar_done) Tar t = {};
                _cleanup_free_ char *data = NULL;
                size_t size;
                int r;

                ASSERT_EQ(fs_read(root, *name, FS_FILE_MAX, &data, &size), 0);
                r = tar_read(data, size, &t);
                if (r == -ENOPKG)
                        SKIP("libarchive's library is not installed");
                if ((r == -EBADMSG) != (strncmp(*name, "should-fail-", 12) == 0))
                        tap_stop(EXIT_FAILURE, __LINE__, "%s: %d", *name, r);
                n++;
        }
        ASSERT(n > 10);
}
