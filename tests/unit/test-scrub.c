/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "scrub.h"
#include "tests/tap.h"

static void expect(Scrub *s, const char *text, const char *want) {
        _cleanup_free_ char *got = NULL;

        ASSERT_EQ(scrub_text(s, text, &got), 0);
        ASSERT_STREQ(got, want);
}

TEST(what_tells_a_machine_goes) {
        static const struct {
                const char *text, *want;
        } rows[] = {
                { "", "" },
                { "root=UUID=3ab1cd5e-0123-4567-89ab-0123456789ab ro",
                  "root=UUID=00000000-0000-0000-0000-000000000001 ro" },
                { "GPU-3AB1CD5E-0123-4567-89AB-0123456789AB", "GPU-00000000-0000-0000-0000-000000000001" },
                { "0f0e0d0c0b0a09080706050403020100", "00000000000000000000000000000002" },
                { "00000000000000000000000000000000 00", "00000000000000000000000000000000 00" },
                { "UUID=1A2B-3C4D /boot/efi", "UUID=0000-0000 /boot/efi" },
                { "mac 52:54:00:12:34:56.", "mac 02:00:00:00:00:01." },
                { "52:54:00:12:34:56", "02:00:00:00:00:01" },
                { "80:00:00:48:fe:80:00:00:00:00:00:00:f4:52:14:03:00:7b:cb:a1", "02:00:00:00:00:02" },
                { "enx525400123456 up", "enx020000000003 up" },
                { "from 10.1.2.3 to 10.1.0.0/16", "from 192.0.2.1 to 192.0.2.0/16" },
                { "proxy 10.1.2.3:3128, 10.1.2.3: no route", "proxy 192.0.2.1:3128, 192.0.2.1: no route" },
                { "0.0.0.0 127.0.0.1 255.255.255.0", "0.0.0.0 127.0.0.1 255.255.255.0" },
                { "fe80::5054:ff:fe12:3456 2a01:4f8::/32 ::1", "2001:db8::1 2001:db8::/32 ::1" },
                { "https://me:secret@mirror.example.com:8080/debian/dists", "https://host.invalid/hidden" },
                { "http://deb.debian.org/debian https://evildebian.org/x",
                  "http://deb.debian.org/debian https://host.invalid/hidden" },
                { "https://user:pw@developer.download.nvidia.com/c",
                  "https://developer.download.nvidia.com/c" },
                { "file:///home/alice/x qemu:///system", "file:///home/user/x qemu:///system" },
                { "tank-7 TANK-7.lab.example.com tank-70 xtank-7", "host host tank-70 xtank-7" },
                { "/dev/mapper/tank--7--vg-root", "/dev/mapper/host--vg-root" },
        };
        _cleanup_(scrub_freep) Scrub *s = NULL;

        ASSERT_EQ(scrub_new("tank-7.lab.example.com", &s), 0);
        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                expect(s, rows[i].text, rows[i].want);
}

TEST(what_a_verdict_stands_on_stays) {
        static const char *const texts[] = {
                "0000:01:00.0 10de:2684 pci-0000:00:01.0/00.0",
                "0x0000004000000000 0x00000047ffffffff 0x000000000014220c",
                "gpuvm-vfio@0000:01:00.0.service",
                "6.12.57+deb13-amd64 580.95.05 12:34:56 6.1.0-40",
                "pci:v000010DEd00002684sv00001458sd00004000bc03sc00i00",
                "vfio-pci.ids=10de:2684,10de:22ba intel_iommu=on,sm_on",
                "../../../devices/pci0000:00/0000:00:01.0/0000:01:00.0",
                "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c",
                "192.",
                "1.2.3",
                "::",
                "a:b",
                "://",
                "/home/",
                "enx",
                "UUID=",
                "-",
                "12345678-",
        };
        _cleanup_(scrub_freep) Scrub *s = NULL;

        ASSERT_EQ(scrub_new(NULL, &s), 0);
        for (size_t i = 0; i < ELEMENTSOF(texts); i++)
                expect(s, texts[i], texts[i]);
}

TEST(users_and_disks) {
        _cleanup_(scrub_freep) Scrub *s = NULL;

        ASSERT_EQ(scrub_new(NULL, &s), 0);
        ASSERT_EQ(scrub_hide_user(s, "alice"), 0);
        ASSERT_EQ(scrub_hide_user(s, "debian"), 0);
        expect(s, "add 'alice', alice-2 of malice and aliced on debian",
               "add 'user', user-2 of malice and aliced on debian");
        expect(s, "root=/dev/disk/by-id/ata-Samsung_SSD_S5Y1-part12 ro",
               "root=/dev/disk/by-id/disk-1-part12 ro");
        expect(s, "/dev/disk/by-id/wwn-0x5002538f \"/dev/disk/by-id/ata-Samsung_SSD_S5Y1\"",
               "/dev/disk/by-id/disk-2 \"/dev/disk/by-id/disk-1\"");
        expect(s, "/by-id/ /by-id/part1 /by-path/pci-0000:01:00.0",
               "/by-id/ /by-id/disk-3 /by-path/pci-0000:01:00.0");
}

TEST(what_is_behind_a_server) {
        _cleanup_(scrub_freep) Scrub *s = NULL;

        ASSERT_EQ(scrub_new(NULL, &s), 0);
        expect(s, "deb https://a:b@repo.example.net/customer/token trixie main",
               "deb https://host.invalid/hidden trixie main");
        expect(s, "http://repo.example.net/ http://repo.example.net:80 <http://repo.example.net/x>",
               "http://host.invalid http://host.invalid <http://host.invalid/hidden>");
        expect(s, "http://deb.debian.org/debian trixie", "http://deb.debian.org/debian trixie");
}

TEST(a_name_that_any_machine_has_tells_nothing) {
        static const char *const names[] = { "debian", "Ubuntu.example.com", "localhost", "pc", "" };

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                _cleanup_(scrub_freep) Scrub *s = NULL;

                ASSERT_EQ(scrub_new(names[i], &s), 0);
                expect(s, "ID=debian ubuntu localhost pc", "ID=debian ubuntu localhost pc");
        }
}
