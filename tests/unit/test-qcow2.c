/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "fs.h"
#include "imagefile.h"
#include "qcow2.h"
#include "qemuimg.h"
#include "tests/tree.h"

#define QEMU_IMG "/usr/bin/qemu-img"
#define MIB      (UINT64_C(1) << 20)
#define GIB      (UINT64_C(1) << 30)
#define TIB      (UINT64_C(1) << 40)

static int host;

static void qemu_img_create(const char *base, const char *format, const char *path, uint64_t size) {
        char bytes[32];

        (void) snprintf(bytes, sizeof(bytes), "%llu", (unsigned long long) size);
        ASSERT_EQ(child_run(&(const Child){ .argv = (const char *const[]){ QEMU_IMG, "create", "-q", "-f",
                                                                           "qcow2", "-b", base, "-F", format,
                                                                           path, bytes, NULL },
                                            .root = host,
                                            .timeout_usec = 60 * USEC_PER_SEC }),
                  0);
}

/* What there is at that path below the tree. */
static char *in_tree(const char *path) {
        char *s;

        ASSERT(str_printf(&s, "%s%s", tree_path, path) >= 0);
        return s;
}

static void compare(int root, const char *base, const char *format, uint64_t size) {
        _cleanup_free_ char *theirs = in_tree("/theirs.qcow2"), *ours = in_tree("/ours.qcow2"), *below = NULL,
                            *want = NULL, *got = NULL;
        size_t n_want = 0, n_got = 0;
        struct stat st;

        qemu_img_create(base, format, theirs, size);
        ASSERT_EQ(imagefile_overlay(root, base, format, "/ours.qcow2", size), 0);
        ASSERT_EQ(fs_read(root, "/theirs.qcow2", 64 * MIB, &want, &n_want), 0);
        ASSERT_EQ(fs_read(root, "/ours.qcow2", 64 * MIB, &got, &n_got), 0);
        ASSERT_EQ(n_got, n_want);
        ASSERT_EQ(memcmp(got, want, n_want), 0);
        ASSERT_EQ(fs_stat(root, "/ours.qcow2", &st), 0);
        ASSERT_EQ(st.st_mode & 07777, 0600);
        ASSERT_EQ(qcow2_backing(got, n_got, &below), 0);
        ASSERT_STREQ(below, base);
        ASSERT_EQ(qemuimg_check(&(const QemuImg){ .root = host }, ours), 0);
}

TEST(an_overlay_is_what_qemu_img_makes) {
        static const uint64_t sizes[] = { 512,      1000,    MIB,           512 * MIB, 512 * MIB + 1, 2 * GIB,
                                          50 * GIB, 4 * TIB, 4 * TIB + GIB, 9 * TIB,   2 * 1024 * TIB };
        _cleanup_free_ char *raw = NULL, *base = NULL;
        int root;

        if (access(QEMU_IMG, X_OK) < 0)
                SKIP("qemu-utils is not installed");
        host = fs_open_root(NULL);
        root = tree_new();
        raw = in_tree("/a disk, \xc3\xa4.raw");
        base = in_tree("/base.qcow2");
        tree_put("/a disk, \xc3\xa4.raw", "");
        ASSERT_EQ(truncate(raw, 1024 * 1024), 0);
        qemu_img_create(raw, "raw", base, GIB);
        for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
                compare(root, base, "qcow2", sizes[i]);
                compare(root, raw, "raw", sizes[i]);
        }
}

TEST(what_no_overlay_can_be) {
        _cleanup_free_ void *image = NULL;
        char base[1025] = "/";
        size_t n;

        memset(base + 1, 'x', 1023);
        ASSERT_EQ(qcow2_overlay(base, "raw", GIB, &image, &n), -ENAMETOOLONG);
        ASSERT_EQ(qcow2_overlay("/base", "a format of a long name", GIB, &image, &n), -ENAMETOOLONG);
        ASSERT_EQ(qcow2_overlay("/base", "raw", 2 * 1024 * TIB + 1, &image, &n), -EFBIG);
        ASSERT_EQ(qcow2_overlay("/base", "raw", UINT64_MAX, &image, &n), -EFBIG);
        ASSERT_EQ(qcow2_overlay("/base", "raw", 0, &image, &n), -EINVAL);
        ASSERT_EQ(qcow2_overlay("", "raw", GIB, &image, &n), -EINVAL);
        ASSERT(!image);
}

TEST(the_longest_name_comes_back) {
        _cleanup_free_ void *image = NULL;
        _cleanup_free_ char *below = NULL;
        char base[1024] = "/";
        const char *reason;
        size_t n;
        Qcow2 q;

        memset(base + 1, 'x', 1022);
        ASSERT_EQ(qcow2_overlay(base, "qcow2", 50 * GIB, &image, &n), 0);
        ASSERT(n < 200 * 1024);
        ASSERT_EQ(qcow2_backing(image, n, &below), 0);
        ASSERT_STREQ(below, base);
        ASSERT_EQ(qcow2_check(image, n, 50 * GIB, &q, &reason), -EBADMSG);
        ASSERT_STREQ(reason, "names a backing file");
}
