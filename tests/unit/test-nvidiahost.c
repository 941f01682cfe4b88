/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Whose driver is here, from what dpkg has. */

#include "fs.h"
#include "nvidiahost.h"
#include "tests/tree.h"

/* "NAME VERSION" each; a "-" in front: half installed. */
static void find(const char *const *packages, bool from_repository, NvidiaHost *h) {
        _cleanup_(dpkg_done) DpkgStatus s = {};
        _cleanup_free_ char *text = strdup("");

        for (; *packages; packages++) {
                _cleanup_free_ char *old = text, *name = strdup(*packages);
                char *version = strchr(name, ' ');

                *version++ = '\0';
                ASSERT(str_printf(&text, "%sPackage: %s\nStatus: install ok %s\nVersion: %s\n\n", old,
                                  name + (*name == '-'), *name == '-' ? "half-configured" : "installed",
                                  version) >= 0);
        }
        ASSERT_EQ(dpkg_parse(text, strlen(text), &s), 0);
        nvidia_find_installed(&s, from_repository, h);
}

TEST(finds_the_family) {
        static const struct {
                const char *packages[4];
                bool from_repository;
                const char *want;
        } rows[] = {
                { { "bash 5.2" }, false, "auto 0" },
                { { "libnvidia-container1 1.17.8-1", "nvidia-container-toolkit 1.17.8-1" }, false, "auto 0" },
                /* Debian */
                { { "nvidia-kernel-dkms 535.261.03-1", "nvidia-smi 535.261.03-1" },
                  false,
                  "distro 535 proprietary here" },
                { { "nvidia-open-kernel-dkms 550.163.01-2" }, true, "distro 550 open here" },
                { { "nvidia-kernel-dkms 580.95.05-1", "nvidia-driver-cuda 580.95.05-1" },
                  false,
                  "nvidia 580 proprietary here" },
                { { "nvidia-kernel-dkms 580.95.05-1" }, true, "nvidia 580 proprietary here" },
                { { "nvidia-kernel-open-dkms 595.58.03-1" }, false, "nvidia 595 open here" },
                { { "-nvidia-kernel-open-dkms 595.58.03-1" }, false, "nvidia 0" },
                /* Ubuntu */
                { { "nvidia-dkms-580-server-open 580.95.05-0ubuntu0.24.04.1" },
                  true,
                  "distro 580 open here" },
                { { "nvidia-dkms-580 580.95.05-1ubuntu1", "cuda-keyring 1.1-1" },
                  false,
                  "nvidia 580 proprietary here" },
                { { "nvidia-dkms-580-open 580.95.05-1ubuntu1" }, true, "nvidia 580 open here" },
                { { "nvidia-dkms-535 535.161.07-0ubuntu3" }, false, "distro 535 proprietary here" },
                { { "nvidia-dkms-open 610.43.02-1ubuntu1" }, false, "nvidia 610 open here" },
                { { "nvidia-dkms 590.48.01-1ubuntu1" }, false, "nvidia 590 proprietary here" },
                { { "linux-modules-nvidia-580-server-open-generic 6.8.0-50.51" },
                  false,
                  "distro 580 open signed" },
                { { "linux-modules-nvidia-580-server-generic 6.8.0-50.51" },
                  false,
                  "distro 580 proprietary signed" },
                { { "linux-modules-nvidia-535-open-6.8.0-50-generic 6.8.0-50.51" },
                  false,
                  "distro 535 open signed" },
                { { "linux-modules-nvidia-535-aws 6.8.0-50.51" }, false, "distro 535 proprietary signed" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_free_ char *got = NULL;
                NvidiaHost h = {};

                find(rows[i].packages, rows[i].from_repository, &h);
                ASSERT(str_printf(&got, "%s %u%s%s", nvidia_source_to_string(h.family), h.branch,
                                  !h.branch                ? ""
                                                  : h.open ? " open"
                                                           : " proprietary",
                                  !h.branch                      ? ""
                                                  : h.built_here ? " here"
                                                                 : " signed") >= 0);
                if (!streq(got, rows[i].want))
                        tap_stop(EXIT_FAILURE, __LINE__, "row %zu: %s, not %s", i, got, rows[i].want);
        }
}

TEST(finds_the_module) {
        static const struct {
                const char *text;
                int want;
        } rows[] = {
                { "updates/dkms/nvidia.ko:\n", 1 },
                { "kernel/a.ko: kernel/b.ko\nupdates/dkms/nvidia-current.ko.xz: kernel/b.ko\n", 1 },
                { "kernel/nvidia-580/nvidia.ko.zst:\n", 1 },
                { "updates/dkms/nvidia-uvm.ko: \nkernel/nvidiafb.ko:\nnot-nvidia.ko:\n", 0 },
                { "", 0 },
        };

        tree_new();
        ASSERT_EQ(nvidia_kernel_has_module(tree_root, "6.1.0"), 0);
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                tree_put("/lib/modules/6.1.0/modules.dep", rows[i].text);
                ASSERT_EQ(nvidia_kernel_has_module(tree_root, "6.1.0"), rows[i].want);
        }
}
