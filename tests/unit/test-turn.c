/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Turn: who may work beside whom, that the other is named, and that its children do not count. */

#include <signal.h>
#include <sys/wait.h>

#include "tests/tree.h"
#include "turn.h"

/* A process that has taken its turn; with a child of its own, if asked for, that outlives it. */
static pid_t holder(int root, bool alone, pid_t *ret_child) {
        int fds[2];
        pid_t pid, child = 0, other;

        ASSERT_EQ(pipe(fds), 0);
        pid = fork();
        if (pid == 0) {
                if (turn_take(root, alone, 0, &other) < 0)
                        _exit(1);
                if (ret_child)
                        child = fork();
                if (child > 0 || !ret_child)
                        (void) !write(fds[1], &child, sizeof(child));
                (void) pause();
                _exit(0);
        }
        ASSERT_EQ(read(fds[0], &child, sizeof(child)), (ssize_t) sizeof(child));
        (void) close(fds[0]);
        (void) close(fds[1]);
        if (ret_child)
                *ret_child = child;
        return pid;
}

static void end(pid_t pid) {
        (void) kill(pid, SIGKILL);
        (void) waitpid(pid, NULL, 0);
}

TEST(phases_work_together) {
        int root = tree_new();
        pid_t pid = holder(root, false, NULL), other = 0;

        ASSERT_EQ(turn_take(root, true, 0, &other), -EBUSY);
        ASSERT_EQ(other, pid);
        ASSERT_EQ(turn_take(root, false, 0, &other), 0);
        end(pid);
}

TEST(undo_works_alone) {
        int root = tree_new();
        pid_t pid = holder(root, true, NULL), other = 0;

        ASSERT_EQ(turn_take(root, false, 0, &other), -EBUSY);
        ASSERT_EQ(other, pid);
        ASSERT_EQ(turn_take(root, true, 200 * 1000, &other), -EBUSY);
        end(pid);
        ASSERT_EQ(turn_take(root, true, 0, &other), 0);
}

TEST(a_child_that_is_left_holds_nothing) {
        int root = tree_new();
        pid_t child, pid = holder(root, false, &child), other = 0;

        end(pid);
        ASSERT_EQ(kill(child, 0), 0);
        ASSERT_EQ(turn_take(root, true, 0, &other), 0);
        (void) kill(child, SIGKILL);
}
