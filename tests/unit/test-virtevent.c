/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "strv.h"
#include "tests/tap.h"
#include "virtevent.h"
#include "virtvm.h"
#include "virtwatch.h"

static char **told;

static void note(const VirtEvent *e, void *userdata) {
        ASSERT_EQ(strv_extendf(userdata, "%s %s %s", e->machine, e->what, e->detail), 0);
}

TEST(what_becomes_of_machines) {
        _cleanup_(virtwatch_freep) VirtWatch *w = NULL;
        _cleanup_(virt_closep) Virt *v = NULL;
        VirtEvents *e = NULL;
        int r = virtwatch_new(&w);

        if (r == -ENOPKG)
                SKIP("libvirt's library is not installed");
        ASSERT_EQ(r, 0);
        ASSERT_EQ(virt_open("test:///default", &v, NULL), 0);
        ASSERT_EQ(virtwatch_join_all(w, v), 0);
        ASSERT_EQ(virtevents_subscribe(v, note, &told, &e), 0);
        ASSERT_EQ(virtvm_destroy(v, "test"), 0);
        ASSERT_EQ(virtvm_start(v, "test"), 0);
        ASSERT_EQ(virtvm_shutdown(v, "test"), 0);
        ASSERT_EQ(virtwatch_wait(w, 1000), 0);
        ASSERT_EQ(strv_length(told), 3);
        ASSERT_STREQ(told[0], "test stopped as if its plug were pulled");
        ASSERT_STREQ(told[1], "test started ");
        ASSERT_STREQ(told[2], "test stopped shut down");
        virtevents_free(e);
        ASSERT_EQ(virtvm_start(v, "test"), 0);
        ASSERT_EQ(virtwatch_wait(w, 1000), 0);
        ASSERT_EQ(strv_length(told), 3);
        strv_free(told);
        virtwatch_leave(w);
}
