/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <sys/stat.h>

#include "tests/guest.h"
#include "virtagent.h"
#include "virtvm.h"

static void program(const char *path, const char *text) {
        tree_put(path, text);
        ASSERT(fchmodat(tree_root, path + 1, 0755, 0) >= 0);
}

static char *asked(void) {
        char *text = NULL;

        ASSERT_EQ(fs_read(tree_root, "/asked", FS_FILE_MAX, &text, NULL), 0);
        return text;
}

TEST(there_or_not) {
        _cleanup_(virt_closep) Virt *v = connect_to_guest();

        ASSERT(virtagent_ping(v, "test") < 0);
        tree_put("/agent", "");
        ASSERT_EQ(virtagent_ping(v, "test"), 0);
        ASSERT_EQ(virtagent_ping(v, "none"), -ENOENT);
}

TEST(a_file) {
        _cleanup_(virt_closep) Virt *v = connect_to_guest();
        _cleanup_free_ char *text = NULL, *calls = NULL;

        tree_put("/agent", "");
        tree_put("/proc/bus/pci/devices", "0000\t80860000\t0\n\033[2m");
        ASSERT_EQ(virtagent_read(v, "test", "/proc/bus/pci/devices", &text), 0);
        ASSERT_STREQ(text, "0000\t80860000\t0\n?[2m");
        calls = asked();
        ASSERT(strstr(calls, "guest-file-close"));
        ASSERT(strstr(calls, "\"handle\":1000"));
        ASSERT_EQ(virtagent_read(v, "test", "/none", &text), -EIO);
}

/* The file is closed all the same. */
TEST(nonsense_in_place_of_a_file) {
        _cleanup_(virt_closep) Virt *v = connect_to_guest();
        _cleanup_free_ char *calls = NULL;
        char *text = NULL;

        tree_put("/agent", "guest-file-read {\"return\":7}\n");
        tree_put("/a", "");
        ASSERT_EQ(virtagent_read(v, "test", "/a", &text), -EBADMSG);
        ASSERT(!text);
        calls = asked();
        ASSERT(strstr(calls, "guest-file-close"));
}

TEST(a_program_and_its_end) {
        static const char *const argv[] = { "nvidia-smi", "-L", NULL }, *const none[] = { "none", NULL };
        _cleanup_(virt_closep) Virt *v = connect_to_guest();
        _cleanup_free_ char *text = NULL, *calls = NULL;

        tree_put("/agent", "");
        program("/bin/nvidia-smi", "#!/bin/sh\nsleep 0.2\necho GPU 0\nexit 9\n");
        ASSERT_EQ(virtagent_run(v, "test", argv, 20 * USEC_PER_SEC, &text), 9);
        ASSERT_STREQ(text, "GPU 0\n");
        calls = asked();
        ASSERT(strstr(calls, "\"arg\":[\"-L\"],\"capture-output\":true"));
        ASSERT_EQ(virtagent_run(v, "test", none, USEC_PER_SEC, &text), -EIO);
}

TEST(a_program_that_does_not_end) {
        static const char *const argv[] = { "hang", NULL };
        _cleanup_(virt_closep) Virt *v = connect_to_guest();
        uint64_t before = monotonic_usec();
        char *text = NULL;

        tree_put("/agent",
                 "guest-exec-status {\"return\":{\"exited\":false}}\nguest-exec\" {\"return\":{\"pid\":1}}\n");
        ASSERT_EQ(virtagent_run(v, "test", argv, USEC_PER_SEC / 2, &text), -ETIMEDOUT);
        ASSERT(monotonic_usec() - before < 10 * USEC_PER_SEC);
        ASSERT(!text);
}

/* A guest that goes down ends its agent; one that hangs does not. */
TEST(who_has_closed_the_channel) {
        static const char before[] = "<domain><devices><channel type='spicevmc'/>"
                                     "<channel type='unix'><target type='virtio' name='",
                          after[] = "/></channel></devices></domain>";
        static const struct {
                const char *target;
                int expected;
        } all[] = {
                { "org.qemu.guest_agent.0' state='disconnected'", 1 },
                { "org.qemu.guest_agent.0' state='connected'", 0 },
                { "org.qemu.guest_agent.0'", 0 },
                { "com.redhat.spice.0' state='disconnected'", 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(all); i++) {
                _cleanup_free_ char *xml = NULL;
                int r;

                ASSERT(asprintf(&xml, "%s%s%s", before, all[i].target, after) > 0);
                r = virtagent_has_left_in(xml);
                if (r == -ENOPKG)
                        SKIP("libxml2 is not installed");
                ASSERT_EQ(r, all[i].expected);
        }
        ASSERT_EQ(virtagent_has_left_in("<domain/>"), 0);
        ASSERT_EQ(virtagent_has_left_in("no"), -EBADMSG);
}
