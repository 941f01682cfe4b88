/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>

#include "settings.h"
#include "tests/tap.h"

static void count(const char *file, unsigned line, const char *text, void *userdata) {
        ++*(unsigned *) userdata;
}

TEST(says_what_the_options_say) {
        const Settings s = { .skip_nvidia = true,
                             .skip_bridge = true,
                             .bridge_name = "br1",
                             .gpu_mode = "exclusive" };
        _cleanup_(conf_done) Conf c = {};
        _cleanup_free_ char *text = NULL;
        unsigned n = 0;

        ASSERT_EQ(settings_to_dropin(&s, "alice", count, &n, &text), 0);
        ASSERT_EQ(conf_init(&c), 0);
        ASSERT_EQ(conf_parse("x", text, strlen(text), count, &n, &c), 0);
        ASSERT_EQ(n, 0);
        ASSERT(!c.nvidia && c.kvm && c.vfio && !c.bridge);
        ASSERT_STREQ(c.user, "alice");
        ASSERT_STREQ(c.bridge_name, "br1");
        ASSERT_EQ(c.gpu_mode, GPU_EXCLUSIVE);
        ASSERT(!c.subnet);
}

TEST(knows_when_nothing_was_said) {
        ASSERT(settings_is_empty(&(Settings){}));
        ASSERT(!settings_is_empty(&(Settings){ .skip_kvm = true }));
        ASSERT(!settings_is_empty(&(Settings){ .bridge_subnet = "" }));
}

TEST(refuses_what_the_configuration_would_shrug_off) {
        static const Settings bad[] = {
                { .gpu_mode = "some" },
                { .gpu_mode = "" },
                { .bridge_subnet = "10.0.0.0/33" },
                { .bridge_name = "a-name-that-is-too-long" },
                { .bridge_name = "br0\nSubnet=10.0.0.0/8" },
                { .bridge_name = "br0\\" },
                { .bridge_name = "\"br0\"" },
        };

        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                char *text = NULL;
                unsigned n = 0;

                ASSERT_EQ(settings_to_dropin(&bad[i], NULL, count, &n, &text), -EINVAL);
                ASSERT_EQ(n, 1);
                ASSERT(!text);
        }
}
