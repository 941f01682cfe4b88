/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tests/libvirt.h"
#include "virtpulse.h"
#include "virtvm.h"

/* With a daemon elsewhere: tests/container/ssh.sh. */
TEST(a_driver_in_this_process_has_no_pulse) {
        _cleanup_(virt_closep) Virt *v = connect_to_test();

        ASSERT_EQ(virtpulse_prepare(), 0);
        ASSERT_EQ(virtpulse_start(v, "test:///default"), 0);
        ASSERT(!v->pulse);
        virtpulse_hand_over(v);
        virtpulse_end(v);
}

TEST(after_a_silence_that_is_what_is_said) {
        _cleanup_(virt_closep) Virt *v = connect_to_test();
        VmState state;

        ASSERT_EQ(virtvm_state(v, "none", &state), -ENOENT);
        ASSERT(strstr(virt_message(v), "not found"));
        v->silence = "it is silent";
        ASSERT_EQ(virtvm_state(v, "none", &state), -ENOENT);
        ASSERT_STREQ(virt_message(v), "it is silent");
}
