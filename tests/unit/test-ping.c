/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Who answers an echo request. */

#include <sched.h>

#include "ping.h"
#include "tests/tap.h"

enum { SOON = 300000 };

TEST(what_is_no_address) {
        ASSERT_EQ(ping_once("localhost", SOON), -EINVAL);
        ASSERT_EQ(ping_once("", SOON), -EINVAL);
}

TEST(this_host_answers) {
        int r = ping_once("127.0.0.1", USEC_PER_SEC * 5);

        ASSERT(r == 1 || r == -EACCES);
        r = ping_once("::1", USEC_PER_SEC * 5);
        ASSERT(r == 1 || r == -EACCES || r == 0 || r == -EADDRNOTAVAIL || r == -EAFNOSUPPORT);
}

/* In a network of its own, where nothing is up. */
TEST(nobody_answers) {
        uint64_t begin = monotonic_usec();

        if (geteuid() != 0 || unshare(CLONE_NEWNET) < 0)
                return;
        ASSERT_EQ(ping_once("127.0.0.1", SOON), 0);
        ASSERT_EQ(ping_once("192.0.2.1", SOON), 0);
        ASSERT(monotonic_usec() - begin < 5 * USEC_PER_SEC);
}
