/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "strv.h"
#include "tests/tree.h"

TEST(reads_back_what_it_wrote) {
        int root = tree_new();
        _cleanup_free_ char *text = NULL;
        size_t n = 0;

        ASSERT_EQ(fs_write_atomic(root, "/a/b/c", "x\0y", 3, 0640), 0);
        ASSERT_EQ(fs_read(root, "/a/b/c", 100, &text, &n), 0);
        ASSERT_EQ(n, 3);
        ASSERT_EQ(memcmp(text, "x\0y", 4), 0);
        ASSERT_EQ(fs_write_if_changed(root, "/a/b/c", "x\0y", 3, 0640), 0);
        ASSERT_EQ(fs_write_if_changed(root, "/a/b/c", "x\0y", 3, 0600), 1);
        ASSERT_EQ(fs_remove(root, "/a/b/c"), 1);
        ASSERT_EQ(fs_remove(root, "/a/b/c"), 0);
        ASSERT_EQ(fs_remove(root, "/no/such/dir/c"), 0);
}

TEST(removes_what_a_cut_left_beside) {
        int root = tree_new();

        tree_put("/d/a.iso", "whole");
        tree_put("/d/.a.iso.gpuvm-new", "ha");
        ASSERT_EQ(fs_remove_written(root, "/d/a.iso"), 1);
        ASSERT_EQ(fs_exists(root, "/d/a.iso"), 0);
        ASSERT_EQ(fs_exists(root, "/d/.a.iso.gpuvm-new"), 0);
        tree_put("/d/.b.gpuvm-new", "ha");
        ASSERT_EQ(fs_remove_written(root, "/d/b"), 0);
        ASSERT_EQ(fs_exists(root, "/d/.b.gpuvm-new"), 0);
        ASSERT_EQ(fs_remove_written(root, "/no/such/dir/c"), 0);
        ASSERT_EQ(fs_remove_written(root, "c"), -EINVAL);
}

TEST(never_leaves_the_root) {
        int root = tree_new();
        _cleanup_free_ char *text = NULL;

        ASSERT_EQ(symlinkat("/etc/passwd", root, "out"), 0);
        ASSERT_EQ(symlinkat("../../../../etc/passwd", root, "up"), 0);
        ASSERT_EQ(fs_read(root, "/out", 100000, &text, NULL), -ENOENT);
        ASSERT_EQ(fs_read(root, "/up", 100000, &text, NULL), -ENOENT);
        ASSERT_EQ(fs_read(root, "/../../../etc/passwd", 100000, &text, NULL), -ENOENT);
        ASSERT_EQ(fs_write_atomic(root, "/d/../../../x", "", 0, 0600), 0);
        ASSERT_EQ(fs_exists(root, "/x"), 1);
}

/* As a unit's DevicePolicy=closed answers access(2) of a device node, whatever is asked. */
static int forbid_access(void) {
        struct sock_filter code[] = {
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_faccessat, 1, 0),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_faccessat2, 0, 1),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        struct sock_fprog program = { ELEMENTSOF(code), code };

        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return -errno;
        return RET_NERRNO(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
}

TEST(what_may_not_be_used_is_there_all_the_same) {
        int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

        ASSERT(root >= 0);
        ASSERT_EQ(forbid_access(), 0);
        ASSERT_EQ(fs_exists(root, "/dev/null"), 1);
        ASSERT_EQ(fs_exists(root, "/dev/no-such-node"), 0);
        ASSERT_EQ(fs_exists(root, "/dev/null/below"), 0);
        (void) close(root);
}

TEST(refuses_what_is_not_a_file) {
        int root = tree_new();
        _cleanup_free_ char *text = NULL;

        ASSERT_EQ(mkfifoat(root, "fifo", 0600), 0);
        ASSERT_EQ(fs_read(root, "/fifo", 10, &text, NULL), -ENOTSUP);
        ASSERT_EQ(fs_read(root, "/", 10, &text, NULL), -EISDIR);
        ASSERT_EQ(fs_write_atomic(root, "/big", "12345", 5, 0600), 0);
        ASSERT_EQ(fs_read(root, "/big", 4, &text, NULL), -EFBIG);
        ASSERT_EQ(fs_read(root, "/big", 5, &text, NULL), 0);
}

TEST(reads_attributes) {
        int root = tree_new();
        _cleanup_free_ char *line = NULL, *name = NULL;
        uint64_t v = 0;

        ASSERT_EQ(fs_write_atomic(root, "/class", "0x030000\n", 9, 0644), 0);
        ASSERT_EQ(fs_read_hex(root, "/class", &v), 0);
        ASSERT_EQ(v, 0x030000);
        ASSERT_EQ(fs_read_line(root, "/class", &line), 0);
        ASSERT_STREQ(line, "0x030000");
        ASSERT_EQ(fs_read_u64(root, "/class", &v), -EINVAL);
        ASSERT_EQ(symlinkat("../../drivers/vfio-pci", root, "driver"), 0);
        ASSERT_EQ(fs_readlink_name(root, "/driver", &name), 0);
        ASSERT_STREQ(name, "vfio-pci");
}

TEST(lists_sorted) {
        int root = tree_new();
        _cleanup_strv_ char **l = NULL;

        ASSERT_EQ(fs_mkdir_p(root, "/d/b", 0755), 0);
        ASSERT_EQ(fs_mkdir_p(root, "/d/a", 0755), 0);
        ASSERT_EQ(fs_mkdir_p(root, "/d/a", 0755), 0);
        ASSERT_EQ(fs_list(root, "/d", &l), 0);
        ASSERT_EQ(strv_length(l), 2);
        ASSERT_STREQ(l[0], "a");
        ASSERT_EQ(fs_list(root, "/none", &l), -ENOENT);
}

TEST(reads_by_name_in_a_directory) {
        _cleanup_free_ char *line = NULL, *target = NULL;
        _cleanup_close_ int dir = -EBADF;
        _cleanup_strv_ char **names = NULL, **again = NULL;
        int root = tree_new();

        tree_put("/d/a", "  x \ny \n");
        tree_link("/d/link", "/elsewhere/a");
        dir = fs_open(root, "/d", O_RDONLY | O_DIRECTORY, 0);
        ASSERT_EQ(fs_read_attr_at(dir, "a", &line), 0);
        ASSERT_STREQ(line, "x \ny");
        ASSERT_EQ(fs_readlink_name_at(dir, "link", &target), 0);
        ASSERT_STREQ(target, "a");
        /* In a recorded tree it could lead out of it. */
        ASSERT_EQ(fs_read_attr_at(dir, "link", &line), -ELOOP);
        ASSERT_EQ(fs_read_attr_at(dir, "b", &line), -ENOENT);
        ASSERT_EQ(fs_readlink_name_at(dir, "a", &target), -EINVAL);
        ASSERT_EQ(fs_list_fd(dir, &names), 0);
        ASSERT_EQ(strv_length(names), 2);
        tree_put("/d/b", "");
        ASSERT_EQ(lseek(dir, 0, SEEK_SET), 0);
        ASSERT_EQ(fs_list_fd(dir, &again), 0);
        ASSERT_EQ(strv_length(again), 3);
}

TEST(reads_the_first_line_alone) {
        _cleanup_free_ char *line = NULL, *big = malloc(2 * FS_ATTR_MAX);
        int root = tree_new();

        memset(big, 'x', 2 * FS_ATTR_MAX);
        big[2 * FS_ATTR_MAX - 1] = '\0';
        tree_put("/endless", big);
        ASSERT_EQ(fs_read_line(root, "/endless", &line), -EFBIG);
        big[1] = '\n';
        tree_put("/long", big);
        ASSERT_EQ(fs_read_line(root, "/long", &line), 0);
        ASSERT_STREQ(line, "x");
}
