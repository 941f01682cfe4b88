/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <signal.h>
#include <sys/stat.h>
#include <time.h>

#include "child.h"
#include "tests/tree.h"

#define SH(script)                                                                            \
        {                                                                                     \
                .argv = (const char *const[]){ "/bin/sh", "-c", script, NULL }, .root = root, \
                .timeout_usec = 10 * USEC_PER_SEC,                                            \
        }

TEST(gives_the_exit_status) {
        _cleanup_close_ int root = fs_open_root(NULL);
        Child ok = SH("exit 0"), three = SH("exit 3"), killed = SH("kill -9 $$");

        ASSERT_EQ(child_run(&ok), 0);
        ASSERT_EQ(child_run(&three), 3);
        ASSERT_EQ(child_run(&killed), 128 + SIGKILL);
}

TEST(collects_output) {
        _cleanup_close_ int root = fs_open_root(NULL);
        Child c = SH("echo one; printf two"), big = SH("yes | head -c 10000");
        _cleanup_free_ char *out = NULL;

        ASSERT_EQ(child_output(&c, 100, &out), 0);
        ASSERT_STREQ(out, "one\ntwo\n");
        ASSERT_EQ(child_output(&big, 100, &out), -EFBIG);
}

/* As programs write JSON. */
TEST(collects_a_line_of_any_length) {
        _cleanup_close_ int root = fs_open_root(NULL);
        Child c = SH("head -c 20000 /dev/zero | tr '\\0' x; echo y");
        _cleanup_free_ char *out = NULL;

        ASSERT_EQ(child_output(&c, 100000, &out), 0);
        ASSERT_EQ(strspn(out, "x"), 20000);
        ASSERT_STREQ(out + 20000, "y\n");
}

TEST(environment_is_made_from_scratch) {
        _cleanup_close_ int root = fs_open_root(NULL);
        Child c = SH("echo \"$SECRET-$GIVEN-$LC_ALL\"; ls /proc/self/fd | wc -l; read x; echo \"eof $?\"");
        _cleanup_free_ char *out = NULL;

        ASSERT_EQ(setenv("SECRET", "leaks", true), 0);
        c.environment = (const char *const[]){ "GIVEN=given", NULL };
        ASSERT(dup2(STDERR_FILENO, 20) == 20);
        ASSERT_EQ(child_output(&c, 100, &out), 0);
        /* 0, 1, 2 and the directory that ls reads; with the pipe's number for ls itself. */
        ASSERT_STREQ(out, "-given-C.UTF-8\n4\neof 1\n");
}

TEST(kills_the_whole_session_at_the_deadline) {
        _cleanup_close_ int root = fs_open_root(NULL);
        Child c = SH("sleep 100 & sleep 100");
        time_t before = time(NULL);

        c.timeout_usec = 300 * USEC_PER_MSEC;
        ASSERT_EQ(child_run(&c), -ETIMEDOUT);
        ASSERT(time(NULL) - before < 5);
}

TEST(a_grandchild_with_the_pipe_does_not_hold_us) {
        _cleanup_close_ int root = fs_open_root(NULL);
        Child c = SH("sleep 20 2>/dev/null & echo here");
        _cleanup_free_ char *out = NULL;
        time_t before = time(NULL);

        ASSERT_EQ(child_output(&c, 100, &out), 0);
        ASSERT_STREQ(out, "here\n");
        ASSERT(time(NULL) - before < 5);
}

/* Most of what a phase runs on the machine itself are scripts: grub-mkconfig, mkinitramfs. */
TEST(runs_a_script_of_the_host) {
        _cleanup_close_ int root = fs_open_root(NULL);
        char path[] = "/tmp/test-child-XXXXXX";
        Child c = SH("");
        int fd = mkstemp(path);

        ASSERT(fd >= 0);
        ASSERT_EQ(write_all(fd, "#!/bin/sh\nexit 7\n", 17), 0);
        ASSERT_EQ(fchmod(fd, 0700), 0);
        (void) close(fd);
        c.argv = (const char *const[]){ path, NULL };
        ASSERT_EQ(child_run(&c), 7);
        (void) unlink(path);
}

TEST(runs_the_stub_of_a_recorded_tree) {
        int root = tree_new();
        Child c = { .argv = (const char *const[]){ "/usr/sbin/tool", "arg", NULL },
                    .timeout_usec = 10 * USEC_PER_SEC };
        _cleanup_free_ char *out = NULL;
        static const char stub[] = "#!/bin/sh\necho \"$1 $GPUVM_ROOT\"\n";

        ASSERT_EQ(fs_write_atomic(root, "/usr/sbin/tool", stub, strlen(stub), 0755), 0);
        c.root = root;
        c.root_path = tree_path;
        ASSERT_EQ(child_output(&c, 100, &out), 0);
        ASSERT(startswith(out, "arg /tmp/gpuvm-test-"));
        c.argv = (const char *const[]){ "/usr/sbin/missing", NULL };
        ASSERT_EQ(child_run(&c), -ENOENT);
}
