/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Grouplock: one at a time for each group. */

#include "fs.h"
#include "grouplock.h"
#include "tests/tap.h"
#include "tests/tree.h"

TEST(one_at_a_time) {
        int root = tree_new(), first = grouplock_try(root, 7), other;

        ASSERT(first >= 0);
        ASSERT_EQ(grouplock_try(root, 7), -EWOULDBLOCK);
        other = grouplock_try(root, 8);
        ASSERT(other >= 0);
        (void) safe_close(first);
        first = grouplock_try(root, 7);
        ASSERT(first >= 0);
        (void) safe_close(first);
        (void) safe_close(other);
}

/* No child keeps it by accident. */
TEST(not_for_children) {
        int root = tree_new(), fd = grouplock_try(root, 7);

        ASSERT(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        (void) safe_close(fd);
}
