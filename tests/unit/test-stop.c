/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <poll.h>
#include <signal.h>

#include "stop.h"
#include "tests/tree.h"

TEST(a_signal_is_remembered) {
        ASSERT(!stop_asked());
        stop_catch();
        ASSERT(!stop_asked());
        ASSERT_EQ(raise(SIGTERM), 0);
        ASSERT(stop_asked());
        ASSERT_EQ(raise(SIGHUP), 0);
        ASSERT_EQ(raise(SIGINT), 0);
}

TEST(a_wait_ends_at_it) {
        struct timespec now = {}, before = {};
        pid_t self = getpid(), child;

        stop_catch();
        ASSERT_EQ(clock_gettime(CLOCK_MONOTONIC, &before), 0);
        child = fork();
        if (child == 0) {
                (void) usleep(200000);
                _exit(kill(self, SIGTERM));
        }
        ASSERT_EQ(poll(NULL, 0, 60000), -1);
        ASSERT_EQ(clock_gettime(CLOCK_MONOTONIC, &now), 0);
        ASSERT(now.tv_sec - before.tv_sec < 30);
        ASSERT(stop_asked());
}

TEST(a_recorded_machine_never_goes_down) {
        int root = tree_new();

        tree_put("/proc/1/comm", "systemd-shutdow\n");
        ASSERT(!stop_is_shutdown(root));
}
