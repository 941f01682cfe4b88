/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Queue: one at a time, patience that ends where one hangs and not where it moves. */

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/wait.h>

#include "fs.h"
#include "queue.h"
#include "tests/tree.h"

#define PATH "/run/lock"

enum { STEP_USEC = 200 * 1000 };

/* One who has it that often after another, each for a step. */
static pid_t holders(int root, unsigned n) {
        int fds[2];
        pid_t pid;
        char c;

        ASSERT_EQ(pipe(fds), 0);
        pid = fork();
        if (pid == 0) {
                int fd = queue_enter(root, PATH, 1, 0, NULL);

                (void) !write(fds[1], "x", fd >= 0);
                for (; fd >= 0 && n > 0; n--) {
                        (void) usleep(STEP_USEC);
                        (void) !pwrite(fd, "x", 1, 0);
                }
                _exit(0);
        }
        (void) close(fds[1]);
        ASSERT_EQ(read(fds[0], &c, 1), 1);
        (void) close(fds[0]);
        return pid;
}

TEST(one_at_a_time) {
        int root = tree_new(), first, second;

        ASSERT_EQ(fs_mkdir_p(root, "/run", 0755), 0);
        first = queue_enter(root, PATH, 1, 0, NULL);
        ASSERT(first >= 0);
        ASSERT_EQ(queue_enter(root, PATH, 1, 1000, NULL), -ETIMEDOUT);
        (void) close(first);
        second = queue_enter(root, PATH, 1, 0, NULL);
        ASSERT(second >= 0);
        (void) close(second);
}

TEST(some_at_a_time) {
        int root = tree_new(), first, second, third;

        ASSERT_EQ(fs_mkdir_p(root, "/run", 0755), 0);
        first = queue_enter(root, PATH, 2, 0, NULL);
        second = queue_enter(root, PATH, 2, 0, NULL);
        ASSERT(first >= 0 && second >= 0);
        ASSERT_EQ(queue_enter(root, PATH, 2, 1000, NULL), -ETIMEDOUT);
        (void) close(second);
        third = queue_enter(root, PATH, 2, 0, NULL);
        ASSERT(third >= 0);
        (void) close(first);
        (void) close(third);
}

TEST(one_who_hangs_costs_patience) {
        int root = tree_new();
        uint64_t start = monotonic_usec();
        pid_t pid;

        ASSERT_EQ(fs_mkdir_p(root, "/run", 0755), 0);
        pid = holders(root, 100);
        (void) kill(pid, SIGSTOP);
        ASSERT_EQ(queue_enter(root, PATH, 1, STEP_USEC, NULL), -ETIMEDOUT);
        ASSERT(monotonic_usec() - start >= STEP_USEC);
        (void) kill(pid, SIGKILL);
        (void) waitpid(pid, NULL, 0);
}

/* Longer in all than patience lasts. */
TEST(a_queue_that_moves_is_waited_for) {
        int root = tree_new(), fd;
        uint64_t start = monotonic_usec();
        pid_t pid;

        ASSERT_EQ(fs_mkdir_p(root, "/run", 0755), 0);
        pid = holders(root, 20);
        fd = queue_enter(root, PATH, 1, 15 * STEP_USEC, NULL);
        ASSERT(fd >= 0);
        ASSERT(monotonic_usec() - start >= 19 * STEP_USEC);
        (void) close(fd);
        (void) waitpid(pid, NULL, 0);
}

static bool yes(void) {
        return true;
}

TEST(who_waits_can_be_stopped) {
        int root = tree_new(), first, second;

        ASSERT_EQ(fs_mkdir_p(root, "/run", 0755), 0);
        first = queue_enter(root, PATH, 1, 0, yes);
        ASSERT(first >= 0);
        second = queue_enter(root, PATH, 1, UINT64_C(60) * USEC_PER_SEC, yes);
        ASSERT_EQ(second, -EINTR);
        (void) close(first);
}
