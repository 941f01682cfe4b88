/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tests/guest.h"
#include "virtverdict.h"
#include "virtvm.h"
#include "vmprobe.h"

/* "" for none. */
static char *verdict(Virt *v) {
        _cleanup_(verdict_done) Verdict x = {};

        return strdup(virtverdict_get(v, "test", &x) > 0 ? x.level : "");
}

TEST(a_guest_that_starts_again_is_not_what_it_was) {
        _cleanup_(virt_closep) Virt *v = connect_to_guest();
        _cleanup_free_ char *none = NULL, *ok = NULL;
        _cleanup_(vmprobe_done) VmProbe p = {};

        ASSERT_EQ(vmprobe_init(&p, tree_root, "test"), 0);
        vmprobe_begin(&p);
        ASSERT_EQ(vmprobe_look(&p, v), VMHEALTH_READY);
        none = verdict(v);
        ASSERT_STREQ(none, ""); /* that it runs is no verdict */
        ASSERT_EQ(virtverdict_set(v, "test", "fail", "has no agent"), 0);
        vmprobe_begin(&p);
        ASSERT_EQ(vmprobe_look(&p, v), VMHEALTH_READY);
        ok = verdict(v);
        ASSERT_STREQ(ok, "ok");
}
