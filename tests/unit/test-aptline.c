/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "aptline.h"
#include "tests/tap.h"

TEST(understands_complaints) {
        static const struct {
                const char *line;
                AptTrouble want;
        } rows[] = {
                { "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 7250 (apt-get)",
                  APT_TROUBLE_LOCK },
                { "E: Unable to lock directory /var/lib/apt/lists/", APT_TROUBLE_LOCK },
                { "dpkg: error: dpkg frontend lock was locked by another process with pid 1",
                  APT_TROUBLE_LOCK },
                { "W: Failed to fetch http://deb.example/dists/x/InRelease  Temporary failure resolving "
                  "'deb.example'",
                  APT_TROUBLE_NETWORK },
                { "E: Failed to fetch http://deb.example/a.deb  404  Not Found [IP: 1.2.3.4 80]",
                  APT_TROUBLE_STALE },
                { "E: Unable to locate package swtpm", APT_TROUBLE_MISSING },
                { "E: Package 'ovmf' has no installation candidate", APT_TROUBLE_MISSING },
                { "E: You don't have enough free space in /var/cache/apt/archives/.", APT_TROUBLE_SPACE },
                { "dpkg: error processing archive a.deb (--unpack): cannot copy: No space left on device",
                  APT_TROUBLE_SPACE },
                { "W: GPG error: http://deb.example x InRelease: The following signatures couldn't be verified "
                  "because the public key is not available: NO_PUBKEY 0E98404D386FA1D9",
                  APT_TROUBLE_KEY },
                { "W: OpenPGP signature verification failed: https://deb.example  InRelease: Sub-process "
                  "/usr/bin/sqv returned an error code (1), error message is: Missing key 0E98404D386FA1D9",
                  APT_TROUBLE_KEY },
                { "Warning: OpenPGP signature verification failed: http://deb.example x InRelease: Signing key "
                  "on 0E98404D is not bound: because: SHA1 is not considered secure since 2026-02-01",
                  APT_TROUBLE_KEY },
                { "E: Release file for http://deb.example/dists/x/InRelease is expired (invalid since 9d 1h 2s). "
                  "Updates for this repository will not be applied.",
                  APT_TROUBLE_KEY },
                { "E: The repository 'http://deb.example x InRelease' is no longer signed.",
                  APT_TROUBLE_KEY },
                { "E: Failed to fetch http://deb.example/a.deb  407  Proxy Authentication Required [IP: 1.2.3.4 80]",
                  APT_TROUBLE_PROXY },
                { "W: Failed to fetch https://deb.example/x/InRelease  Invalid response from proxy: HTTP/1.1 403 "
                  "Forbidden",
                  APT_TROUBLE_PROXY },
                { "E: Failed to fetch https://deb.example/x  Certificate verification failed: The certificate is "
                  "NOT trusted.",
                  APT_TROUBLE_PROXY },
                { "E: Malformed stanza 1 in source list /etc/apt/sources.list.d/x.sources (type)",
                  APT_TROUBLE_SOURCES },
                { "E: Type 'dep' is not known on line 1 in source list /etc/apt/sources.list",
                  APT_TROUBLE_SOURCES },
                { "E: The repository 'http://deb.example x Release' does not have a Release file.",
                  APT_TROUBLE_SOURCES },
                { "E: Invalid record in the preferences file /etc/apt/preferences.d/x, no Package header",
                  APT_TROUBLE_SOURCES },
                { "E: Malformed entry 3 in list file /etc/apt/sources.list (Suite)", APT_TROUBLE_SOURCES },
                { "E: Conflicting values set for option Signed-By regarding source http://a",
                  APT_TROUBLE_SOURCES },
                { "E: Unable to correct problems, you have held broken packages.", APT_TROUBLE_BROKEN },
                { "E: Packages need to be removed but remove is disabled.", APT_TROUBLE_BROKEN },
                { "E: Sub-process /usr/bin/dpkg returned an error code (1)", APT_TROUBLE_BROKEN },
                { "Reading package lists...", APT_TROUBLE_NONE },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                if (apt_classify(rows[i].line) != rows[i].want)
                        tap_stop(EXIT_FAILURE, __LINE__, "row %zu: %s", i, rows[i].line);
}

TEST(every_trouble_has_a_remedy) {
        for (int t = -1; t <= _APT_TROUBLE_MAX; t++)
                ASSERT(apt_remedy((AptTrouble) t) && endswith(apt_remedy((AptTrouble) t), "."));
}

static void check_step(const char *line, AptStepKind kind, const char *package, const char *version,
                       bool security) {
        _cleanup_(apt_step_done) AptStep s = {};

        ASSERT_EQ(apt_parse_step(line, &s), 1);
        ASSERT_EQ(s.kind, kind);
        ASSERT_STREQ(s.package, package);
        if (version)
                ASSERT_STREQ(s.version, version);
        else
                ASSERT(!s.version);
        ASSERT_EQ(s.security, security);
}

TEST(reads_the_plan) {
        check_step("Inst dmidecode (3.4-1 Debian:12.15/oldstable [amd64])", APT_STEP_INSTALL, "dmidecode",
                   "3.4-1", false);
        check_step("Inst bash [5.2.15-2+b8] (5.2.15-2+b13 Debian:12.15/oldstable [amd64])", APT_STEP_UPGRADE,
                   "bash", "5.2.15-2+b13", false);
        check_step("Inst libgcrypt20-dev [1.10.1-3] (1.10.1-3+deb12u1 Debian:12.15/oldstable, "
                   "Debian-Security:12/oldstable-security [amd64]) []",
                   APT_STEP_UPGRADE, "libgcrypt20-dev", "1.10.1-3+deb12u1", true);
        check_step("Inst libc6:i386 (2.39-0ubuntu8.4 Ubuntu:24.04/noble-security [i386])", APT_STEP_INSTALL,
                   "libc6:i386", "2.39-0ubuntu8.4", true);
        check_step("Remv firewalld [1.3.3-1]", APT_STEP_REMOVE, "firewalld", NULL, false);
        check_step("Purg firewalld [1.3.3-1]", APT_STEP_REMOVE, "firewalld", NULL, false);
}

TEST(other_lines_are_no_steps) {
        static const char *const lines[] = { "Conf bash (5.2 Debian:12 [amd64])",
                                             "Inst",
                                             "Inst ",
                                             "Inst [x] (y)",
                                             "Inst a",
                                             "Inst a [1]",
                                             "Inst a [1] 2",
                                             "Inst a (",
                                             "Install a (1 b)",
                                             "Remv",
                                             "" };

        for (size_t i = 0; i < ELEMENTSOF(lines); i++) {
                AptStep s;

                if (apt_parse_step(lines[i], &s) != 0 || s.package)
                        tap_stop(EXIT_FAILURE, __LINE__, "'%s' passes for a step", lines[i]);
        }
}

TEST(a_package_named_security_is_none) {
        check_step("Inst x-security (1-security Debian:12/stable [all])", APT_STEP_INSTALL, "x-security",
                   "1-security", false);
}

TEST(reads_progress) {
        const char *text = NULL;
        unsigned percent = 0;

        ASSERT_EQ(apt_parse_progress("pmstatus:libvirt0:45.4545:Unpacking libvirt0 (amd64)", &text, &percent),
                  1);
        ASSERT_STREQ(text, "Unpacking libvirt0 (amd64)");
        ASSERT_EQ(percent, 45);
        ASSERT_EQ(apt_parse_progress("pmstatus:libc6:i386:100.0:Installed libc6:i386", &text, &percent), 1);
        ASSERT_STREQ(text, "Installed libc6:i386");
        ASSERT_EQ(percent, 100);
        ASSERT_EQ(apt_parse_progress("dlstatus:1:20.25:Retrieving file 1 of 5", &text, &percent), 1);
        ASSERT_EQ(percent, 20);
        ASSERT_EQ(apt_parse_progress("pmstatus:", &text, &percent), 0);
        ASSERT_EQ(apt_parse_progress("pmstatus:a:99999999999.0:x", &text, &percent), 0);
        ASSERT_EQ(apt_parse_progress("media-change: disc", &text, &percent), 0);
}
