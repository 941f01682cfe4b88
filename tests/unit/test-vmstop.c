/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Stopping, on libvirt's test driver, whose guests are good and whose QEMU always ends: what they do not do
 * is put in place of the library's functions. */

#include "tests/libvirt.h"
#include "virtlib.h"
#include "virtvm.h"
#include "vmstop.h"

static unsigned asked, pressed, pulled;

static int not_shut_down(virDomainPtr d) {
        (void) d;
        asked++;
        return 0;
}

static int not_pressed(virDomainPtr d, unsigned flags) {
        (void) d;
        (void) flags;
        pressed++;
        return 0;
}

static int not_destroyed(virDomainPtr d) {
        (void) d;
        pulled++;
        return -1;
}

static bool is_on(Virt *v) {
        VmState state;

        ASSERT_EQ(virtvm_state(v, "test", &state), 0);
        return vm_state_is_on(state);
}

TEST(one_that_hears) {
        _cleanup_(virt_closep) Virt *v = connect_to_test();
        VmStop s = {};

        vmstop_begin(&s, 180 * USEC_PER_SEC);
        ASSERT_EQ(vmstop_go_on(&s, v, "test"), VMSTOP_ASKED);
        ASSERT(!is_on(v));
        ASSERT_EQ(vmstop_go_on(&s, v, "test"), VMSTOP_NOTHING);
}

/* Asked once in a while, by its button where the agent could keep libvirt for too long; then its plug is
 * pulled. */
TEST(one_that_is_deaf) {
        _cleanup_(virt_closep) Virt *v = connect_to_test();
        VmStop s = {};

        lv.virDomainShutdown = not_shut_down;
        lv.virDomainShutdownFlags = not_pressed;
        vmstop_begin(&s, 180 * USEC_PER_SEC);
        ASSERT(s.plug_usec > monotonic_usec() + 159 * USEC_PER_SEC);
        ASSERT(s.plug_usec <= monotonic_usec() + 160 * USEC_PER_SEC);
        ASSERT_EQ(vmstop_go_on(&s, v, "test"), VMSTOP_ASKED);
        ASSERT_EQ(vmstop_go_on(&s, v, "test"), VMSTOP_NOTHING);
        s.ask_usec = 0;
        s.plug_usec = monotonic_usec() + 60 * USEC_PER_SEC;
        ASSERT_EQ(vmstop_go_on(&s, v, "test"), VMSTOP_ASKED);
        ASSERT_EQ(asked, 1);
        ASSERT_EQ(pressed, 1);
        ASSERT(is_on(v));
        s.plug_usec = 0;
        ASSERT_EQ(vmstop_go_on(&s, v, "test"), VMSTOP_PULLED);
        ASSERT(!is_on(v));
}

TEST(a_qemu_that_cannot_be_killed) {
        _cleanup_(virt_closep) Virt *v = connect_to_test();
        VmStop s = {};

        lv.virDomainDestroy = not_destroyed;
        vmstop_begin(&s, 0);
        for (unsigned i = 0; i < 2; i++) {
                ASSERT_EQ(vmstop_go_on(&s, v, "test"), VMSTOP_NOT_PULLED);
                ASSERT(s.plug_usec > monotonic_usec()); /* not all at once */
                s.plug_usec = 0;
        }
        ASSERT_EQ(vmstop_go_on(&s, v, "test"), -EBUSY);
        ASSERT_EQ(pulled, 3);
}

TEST(without_libvirt) {
        VmStop s = {};

        vmstop_begin(&s, 180 * USEC_PER_SEC);
        ASSERT_EQ(vmstop_go_on(&s, NULL, "test"), VMSTOP_NOTHING);
        s.plug_usec = 0;
        ASSERT_EQ(vmstop_go_on(&s, NULL, "test"), -EHOSTDOWN);
}

TEST(the_first_word_stands) {
        uint64_t now = monotonic_usec();
        VmStop s = {};

        vmstop_begin(&s, 6 * USEC_PER_SEC); /* less than twice the margin: half of it */
        ASSERT(s.plug_usec >= now + 3 * USEC_PER_SEC && s.plug_usec < now + 4 * USEC_PER_SEC);
        vmstop_begin(&s, UINT64_MAX);
        ASSERT(s.plug_usec < now + 4 * USEC_PER_SEC);
        s = (VmStop){};
        vmstop_begin(&s, UINT64_MAX);
        ASSERT_EQ(s.plug_usec, UINT64_MAX);
}
