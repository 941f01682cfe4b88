/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <signal.h>
#include <sys/wait.h>

#include "gpulease.h"
#include "tests/tap.h"
#include "tests/tree.h"

#define GPU "0000:01:00.0"

TEST(one_holder) {
        _cleanup_free_ char *holder = NULL, *seen = NULL, *none = NULL;
        int root = tree_new(), first, second;

        ASSERT_EQ(gpulease_find(root, GPU, &none), 0);
        first = gpulease_take(root, GPU, "talos-01", &holder);
        ASSERT(first >= 0);
        ASSERT_EQ(gpulease_find(root, GPU, &seen), 1);
        ASSERT_STREQ(seen, "talos-01");
        ASSERT_EQ(gpulease_take(root, GPU, "talos-02", &holder), -EBUSY);
        ASSERT_STREQ(holder, "talos-01");
        second = gpulease_take(root, "0000:02:00.0", "talos-02", &holder);
        ASSERT(second >= 0);
        ASSERT_EQ(safe_close(first), -EBADF);
        ASSERT_EQ(gpulease_find(root, GPU, &none), 0);
        first = gpulease_take(root, GPU, "x", &holder);
        ASSERT(first >= 0);
        free(TAKE_PTR(seen));
        ASSERT_EQ(gpulease_find(root, GPU, &seen), 1);
        ASSERT_STREQ(seen, "x"); /* nothing of the name before it */
}

TEST(it_ends_with_its_holder) {
        _cleanup_free_ char *holder = NULL;
        int root = tree_new(), status;
        pid_t pid = fork();

        ASSERT(pid >= 0);
        if (pid == 0)
                _exit(gpulease_take(root, GPU, "talos-01", &holder) >= 0 ? 0 : 1);
        ASSERT_EQ(waitpid(pid, &status, 0), pid);
        ASSERT_EQ(status, 0);
        ASSERT(gpulease_take(root, GPU, "talos-02", &holder) >= 0);
}

/* One has the lock, and the name in the file is still that of who had it before. */
TEST(who_has_just_come_is_named) {
        _cleanup_free_ char *holder = NULL, *seen = NULL;
        int root = tree_new(), ready[2], fd;
        pid_t pid;

        fd = gpulease_take(root, GPU, "before", &holder);
        ASSERT(fd >= 0);
        ASSERT_EQ(safe_close(fd), -EBADF);
        ASSERT_EQ(pipe(ready), 0);
        pid = fork();
        ASSERT(pid >= 0);
        if (pid == 0) {
                struct flock all = { .l_type = F_WRLCK },
                             second = { .l_type = F_UNLCK, .l_start = 1, .l_len = 1 };

                fd = fs_open(root, GPULEASE_DIR "/" GPU, O_RDWR, 0);
                if (fcntl(fd, F_OFD_SETLK, &all) < 0 || write(ready[1], "x", 1) != 1)
                        _exit(1);
                usleep(100 * 1000);
                if (ftruncate(fd, 0) < 0 || write(fd, "talos-01", 8) != 8 ||
                    fcntl(fd, F_OFD_SETLK, &second) < 0)
                        _exit(1);
                sleep(5); /* a parent that fails does not end it */
                _exit(0);
        }
        ASSERT_EQ(read(ready[0], &(char){ 0 }, 1), 1);
        ASSERT_EQ(gpulease_take(root, GPU, "talos-02", &holder), -EBUSY);
        ASSERT_STREQ(holder, "talos-01");
        ASSERT_EQ(gpulease_find(root, GPU, &seen), 1);
        ASSERT_STREQ(seen, "talos-01");
        ASSERT_EQ(kill(pid, SIGKILL), 0);
        ASSERT_EQ(waitpid(pid, NULL, 0), pid);
}

TEST(a_name_and_no_path) {
        _cleanup_free_ char *holder = NULL;
        int root = tree_new();

        ASSERT_EQ(gpulease_take(root, "../vm.lock", "talos-01", &holder), -EINVAL);
        ASSERT_EQ(gpulease_find(root, "a/b", &holder), -EINVAL);
        tree_put("/etc/shadow", "x");
        ASSERT(gpulease_take(root, "talos-01", "talos-01", &holder) >= 0);
}
