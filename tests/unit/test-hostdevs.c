/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "hostdevs.h"
#include "strv.h"
#include "tests/tap.h"

TEST(all_pci_functions_and_nothing_else) {
        _cleanup_strv_ char **l = NULL;
        int r = hostdevs_parse(
                        "<domain><devices><hostdev mode='subsystem' type='pci'><source><address domain='0x0000' bus='0x0a' "
                        "slot='0x1f' function='0x7'/></source><address type='pci' domain='0x0000' bus='0x06' slot='0x00' "
                        "function='0x0'/></hostdev><hostdev type='usb'><source><address bus='1' device='2'/></source></hostdev>"
                        "<hostdev type='pci'><source><address bus='3' slot='0' function='1'/></source></hostdev>"
                        "<hostdev type='pci'><source><address bus='0x100' slot='0' function='1'/></source></hostdev>"
                        "<hostdev type='pci'/></devices></domain>",
                        &l);

        if (r == -ENOPKG)
                SKIP("libxml2 is not installed");
        ASSERT_EQ(r, 0);
        ASSERT_EQ(strv_length(l), 2);
        ASSERT_STREQ(l[0], "0000:0a:1f.7");
        ASSERT_STREQ(l[1], "0000:03:00.1");
}

TEST(a_machine_without_any) {
        _cleanup_strv_ char **l = NULL;
        int r = hostdevs_parse("<domain/>", &l);

        if (r == -ENOPKG)
                SKIP("libxml2 is not installed");
        ASSERT_EQ(r, 0);
        ASSERT_EQ(strv_length(l), 0);
        ASSERT_EQ(hostdevs_parse("<network/>", &l), -EBADMSG);
        ASSERT_EQ(hostdevs_parse("<domain>", &l), -EBADMSG);
}
