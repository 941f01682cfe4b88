/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "fs.h"
#include "tests/tap.h"
#include "ubuntudrivers.h"

static char *describe(const char *line) {
        _cleanup_(ubuntu_drivers_done) UbuntuDrivers l = {};
        char *s = NULL;
        int r = ubuntu_drivers_add_line(&l, line);

        ASSERT(r == 0 || r == 1);
        ASSERT_EQ((int) l.n, r);
        if (r == 0)
                return strdup("nothing");
        ASSERT(str_printf(&s, "%u%s%s %s", l.items[0].branch, l.items[0].server ? " server" : "",
                          l.items[0].open ? " open" : "", l.items[0].modules ?: "none") >= 0);
        return s;
}

TEST(reads_what_it_prints) {
        static const struct {
                const char *line, *want;
        } rows[] = {
                { "nvidia-driver-580-server-open, (kernel modules provided by "
                  "linux-modules-nvidia-580-server-open-generic)",
                  "580 server open linux-modules-nvidia-580-server-open-generic" },
                { "nvidia-headless-no-dkms-535-server, (kernel modules provided by "
                  "linux-modules-nvidia-535-server-generic-hwe-24.04)",
                  "535 server linux-modules-nvidia-535-server-generic-hwe-24.04" },
                { "nvidia-driver-580, (kernel modules provided by linux-modules-nvidia-580-aws)",
                  "580 linux-modules-nvidia-580-aws" },
                /* Nothing ready made, in each of the ways in which it says so. */
                { "nvidia-driver-545, (kernel modules provided by nvidia-dkms-545)", "545 none" },
                { "nvidia-driver-418-server, (kernel modules provided by None)", "418 server none" },
                { "nvidia-driver-580-open", "580 open none" },
                /* Modules that would not go with the libraries. */
                { "nvidia-driver-580, (kernel modules provided by linux-modules-nvidia-580-open-generic)",
                  "580 none" },
                { "nvidia-driver-580-server, (kernel modules provided by linux-modules-nvidia-580-generic)",
                  "580 server none" },
                { "nvidia-driver-580, (kernel modules provided by linux-modules-nvidia-595-generic)",
                  "580 none" },
                { "nvidia-driver-580, (kernel modules provided by linux-modules-nvidia-580-)", "580 none" },
                /* Arguments of apt-get come from here. */
                { "nvidia-driver-580, (kernel modules provided by linux-modules-nvidia-580-x --remove)",
                  "580 none" },
                { "nvidia-driver-580, (kernel modules provided by linux-modules-nvidia-580-generic",
                  "580 none" },
                { "nvidia-driver-580-server-openness, (x)", "nothing" },
                { "nvidia-driver-5800", "nothing" },
                { "nvidia-driver-58", "nothing" },
                { "nvidia-driver-assistant", "nothing" },
                { "nvidia-headless-580", "nothing" },
                { "ERROR:root:aplay command not found", "nothing" },
                { "xserver-xorg-video-nouveau", "nothing" },
                { "backport-iwlwifi-dkms, (kernel modules provided by backport-iwlwifi-dkms)", "nothing" },
                { "", "nothing" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_free_ char *got = describe(rows[i].line);

                if (!streq(got, rows[i].want))
                        tap_stop(EXIT_FAILURE, __LINE__, "%s: %s, not %s", rows[i].line, got, rows[i].want);
        }
}

TEST(collects_lines) {
        _cleanup_(ubuntu_drivers_done) UbuntuDrivers l = {};

        ASSERT_EQ(ubuntu_drivers_add_line(&l, "nvidia-driver-580"), 1);
        ASSERT_EQ(ubuntu_drivers_add_line(&l, "udevadm hwdb is deprecated."), 0);
        ASSERT_EQ(ubuntu_drivers_add_line(&l, "nvidia-driver-535-server"), 1);
        ASSERT_EQ((int) l.n, 2);
        ASSERT(l.items[1].branch == 535 && l.items[1].server && !l.items[0].server);
}
