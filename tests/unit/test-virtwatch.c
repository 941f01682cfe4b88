/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tests/tap.h"
#include "virtvm.h"
#include "virtwatch.h"

static VirtWatch *watch(void) {
        VirtWatch *w = NULL;
        int r = virtwatch_new(&w);

        if (r == -ENOPKG)
                SKIP("libvirt's library is not installed");
        ASSERT_EQ(r, 0);
        return w;
}

TEST(news_of_a_machine) {
        _cleanup_(virtwatch_freep) VirtWatch *w = watch();
        _cleanup_(virt_closep) Virt *v = NULL;
        VmLook look;

        ASSERT_EQ(virt_open("test:///default", &v, NULL), 0);
        ASSERT_EQ(virtwatch_join(w, v, "none"), -ENOENT);
        ASSERT_EQ(virtwatch_join(w, v, "test"), 0);
        ASSERT_EQ(virtwatch_look(v, "test", &look), 0);
        ASSERT(look.on);
        ASSERT_STREQ(look.text, "running");
        ASSERT_EQ(virtwatch_wait(w, 1000), 0);
        ASSERT_EQ(virtvm_shutdown(v, "test"), 0);
        ASSERT_EQ(virtwatch_wait(w, 10 * USEC_PER_SEC), VIRTWATCH_MACHINE);
        ASSERT_EQ(virtwatch_look(v, "test", &look), 0);
        ASSERT(!look.on);
        ASSERT_EQ(look.end, VM_END_SHUTDOWN);
        ASSERT_EQ(virtvm_start(v, "test"), 0);
        for (unsigned i = 0; i < 10; i++)
                virtwatch_answer(w);
        ASSERT_EQ(virtwatch_wait(w, 0), VIRTWATCH_MACHINE);
        ASSERT_EQ(virtvm_destroy(v, "test"), 0);
        ASSERT_EQ(virtwatch_look(v, "test", &look), 0);
        ASSERT_EQ(look.end, VM_END_DESTROYED);
        ASSERT_EQ(virtwatch_look(v, "none", &look), -ENOENT);
        virtwatch_leave(w);
        ASSERT_EQ(virtvm_start(v, "test"), 0);
        ASSERT_EQ(virtwatch_wait(w, 1000), 0);
}

TEST(files_and_time) {
        _cleanup_(virtwatch_freep) VirtWatch *w = watch();
        uint64_t before = monotonic_usec();
        int fds[2];

        ASSERT_EQ(pipe(fds), 0);
        ASSERT_EQ(virtwatch_add_file(w, fds[0]), 0);
        ASSERT_EQ(virtwatch_wait(w, 50 * USEC_PER_MSEC), 0);
        ASSERT(monotonic_usec() - before >= 40 * USEC_PER_MSEC);
        ASSERT_EQ(write(fds[1], "x", 1), 1);
        ASSERT_EQ(virtwatch_wait(w, 10 * USEC_PER_SEC), VIRTWATCH_FILE);
        ASSERT_EQ(virtwatch_wait(w, 0), VIRTWATCH_FILE);
        ASSERT_EQ(virtwatch_add_file(w, fds[1]), 0);
        ASSERT_EQ(virtwatch_add_file(w, fds[1]), -ENOSPC);
        (void) close(fds[0]);
        (void) close(fds[1]);
}
