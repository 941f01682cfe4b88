/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tests/libvirt.h"
#include "virtverdict.h"
#include "virtvm.h"

TEST(as_long_as_the_machine_runs) {
        _cleanup_(virt_closep) Virt *v = connect_to_test();
        _cleanup_(verdict_done) Verdict first = {}, second = {};
        _cleanup_free_ char *xml = NULL;
        Verdict none;

        ASSERT_EQ(virtverdict_get(v, "test", &none), 0);
        ASSERT_EQ(virtverdict_set(v, "test", "fail", "<it> & \"that\""), 0);
        ASSERT_EQ(virtverdict_get(v, "test", &first), 1);
        ASSERT_STREQ(first.level, "fail");
        ASSERT_STREQ(first.text, "<it> & \"that\"");
        ASSERT_EQ(strlen(first.when), strlen("2026-01-01T00:00:00Z"));
        ASSERT_EQ(virtverdict_set(v, "test", "ok", "well"), 0);
        ASSERT_EQ(virtverdict_get(v, "test", &second), 1);
        ASSERT_STREQ(second.text, "well");
        ASSERT_EQ(virtvm_xml(v, "test", &xml), 0);
        ASSERT(!strstr(xml, "verdict"));
        ASSERT_EQ(virtvm_destroy(v, "test"), 0);
        ASSERT_EQ(virtverdict_get(v, "test", &none), 0);
        ASSERT(virtverdict_set(v, "test", "ok", "well") < 0);
        ASSERT_EQ(virtvm_start(v, "test"), 0);
        ASSERT_EQ(virtverdict_get(v, "test", &none), 0);
        ASSERT_EQ(virtverdict_get(v, "none", &none), -ENOENT);
}

TEST(what_is_no_verdict) {
        static const char *const bad[] = { "", "<verdict/>", "<verdict level='ok'/>",
                                           "<vm level='a' when='b'/>" };
        Verdict v;

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                int r = verdict_parse(bad[i], &v);

                if (r == -ENOPKG)
                        SKIP("libxml2 is not installed");
                ASSERT_EQ(r, -EBADMSG);
        }
}
