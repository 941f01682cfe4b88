/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "json.h"
#include "strv.h"
#include "talos.h"
#include "tests/tap.h"

static TalosVersion version(const char *s) {
        TalosVersion v = {};

        ASSERT_EQ(talos_version_parse(s, &v), 0);
        return v;
}

TEST(versions_are_parsed_strictly) {
        static const char *const bad[] = { "",          "v",        "1.13",    "v1.13.",
                                           "v1.13.9.1", "v1..9",    ".1.13.9", "v1.13.x",
                                           "v-1.1.1",   "v1.13.9-", "vv1.1.1", "v1.4294967296.0" };
        TalosVersion v;
        char buf[TALOS_VERSION_MAX];

        ASSERT_STREQ(talos_version_format(version("1.13.9"), buf), "v1.13.9");
        ASSERT(version("v1.14.0-rc.1").pre);
        ASSERT(!version("v1.14.0").pre);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                ASSERT_EQ(talos_version_parse(bad[i], &v), -EINVAL);
}

TEST(versions_have_an_order) {
        static const char *const sorted[] = { "v0.14.3", "v1.9.6",        "v1.10.0-beta.0", "v1.10.0",
                                              "v1.10.1", "v1.10.12-rc.0", "v2.0.0" };

        for (size_t i = 0; i < ELEMENTSOF(sorted); i++)
                for (size_t k = 0; k < ELEMENTSOF(sorted); k++) {
                        int r = talos_version_compare(version(sorted[i]), version(sorted[k]));

                        ASSERT_EQ(r < 0 ? -1 : r > 0, i < k ? -1 : i > k);
                }
}

TEST(the_latest_is_a_release_that_is_not_broken) {
        TalosVersion v;
        char buf[TALOS_VERSION_MAX];

        ASSERT_EQ(talos_version_latest(
                                  "[\"v1.9.0\",\"v1.13.10\",\"v1.14.0-rc.1\",\"v1.13.9\",\"main\",7,null]",
                                  NULL, &v),
                  0);
        ASSERT_STREQ(talos_version_format(v, buf), "v1.13.10");
        ASSERT_EQ(talos_version_latest("[\"v1.13.10\",\"v1.13.9\"]", "[\"v1.13.10\"]", &v), 0);
        ASSERT_STREQ(talos_version_format(v, buf), "v1.13.9");
        ASSERT_EQ(talos_version_latest("[\"v1.14.0-rc.1\"]", NULL, &v), -ENOENT);
        ASSERT_EQ(talos_version_latest("[]", NULL, &v), -ENOENT);
        ASSERT_EQ(talos_version_latest("<html>", NULL, &v), -EBADMSG);
        ASSERT_EQ(talos_version_latest("{}", NULL, &v), -EBADMSG);
        ASSERT_EQ(talos_version_latest("[\"v1.13.9\"]", "oops", &v), -EBADMSG);
}

static const struct {
        const char *version;
        GpuArch archs[3];
        const char *want; /* names without their prefix; NULL: refused */
} rows[] = {
        { "v1.13.9", {}, "qemu-guest-agent" },
        { "v1.13.9",
          { GPU_ARCH_ADA },
          "nvidia-open-gpu-kernel-modules-lts nvidia-container-toolkit-lts qemu-guest-agent" },
        { "v1.13.9",
          { GPU_ARCH_TURING, GPU_ARCH_HOPPER },
          "nvidia-open-gpu-kernel-modules-lts nvidia-container-toolkit-lts qemu-guest-agent" },
        { "v1.13.9",
          { GPU_ARCH_PASCAL },
          "nonfree-kmod-nvidia-lts nvidia-container-toolkit-lts qemu-guest-agent" },
        { "v1.13.9",
          { GPU_ARCH_MAXWELL, GPU_ARCH_VOLTA },
          "nonfree-kmod-nvidia-lts nvidia-container-toolkit-lts qemu-guest-agent" },
        /* The proprietary modules know Turing to Ada as well. */
        { "v1.13.9",
          { GPU_ARCH_PASCAL, GPU_ARCH_AMPERE },
          "nonfree-kmod-nvidia-lts nvidia-container-toolkit-lts qemu-guest-agent" },
        { "v1.13.9",
          { GPU_ARCH_BLACKWELL },
          "nvidia-open-gpu-kernel-modules-lts nvidia-container-toolkit-lts qemu-guest-agent" },
        { "v1.12.0",
          { GPU_ARCH_BLACKWELL },
          "nvidia-open-gpu-kernel-modules-lts nvidia-container-toolkit-lts qemu-guest-agent" },
        { "v1.11.0",
          { GPU_ARCH_BLACKWELL },
          "nvidia-open-gpu-kernel-modules-production nvidia-container-toolkit-production qemu-guest-agent" },
        { "v1.10.0",
          { GPU_ARCH_BLACKWELL, GPU_ARCH_ADA },
          "nvidia-open-gpu-kernel-modules-production nvidia-container-toolkit-production qemu-guest-agent" },
        { "v1.9.5", { GPU_ARCH_BLACKWELL }, NULL },
        { "v1.11.0", { GPU_ARCH_BLACKWELL, GPU_ARCH_PASCAL }, NULL },
        /* Open modules alone drive Blackwell, and those before Turing only by the other ones. */
        { "v1.13.9", { GPU_ARCH_BLACKWELL, GPU_ARCH_PASCAL }, NULL },
        { "v1.7.6",
          { GPU_ARCH_ADA },
          "nvidia-open-gpu-kernel-modules nvidia-container-toolkit qemu-guest-agent" },
        { "v1.7.6", { GPU_ARCH_VOLTA }, "nonfree-kmod-nvidia nvidia-container-toolkit qemu-guest-agent" },
        { "v1.13.9", { GPU_ARCH_OLDER }, NULL },
        { "v2.0.0",
          { GPU_ARCH_ADA },
          "nvidia-open-gpu-kernel-modules-lts nvidia-container-toolkit-lts qemu-guest-agent" },
};

TEST(extensions_by_version_and_gpu) {
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_strv_ char **l = NULL;
                _cleanup_free_ char *joined = NULL;
                const char *reason = NULL;
                size_t n = 0;
                int r;

                while (n < ELEMENTSOF(rows[i].archs) && rows[i].archs[n] != GPU_ARCH_UNKNOWN)
                        n++;
                r = talos_extensions(version(rows[i].version), rows[i].archs, n, &l, &reason);
                ASSERT_EQ(r, rows[i].want ? 0 : -EOPNOTSUPP);
                ASSERT_EQ(!reason, !!rows[i].want);
                STRV_FOREACH(name, l) {
                        ASSERT(startswith(*name, "siderolabs/"));
                        (void) memmove(*name, *name + strlen("siderolabs/"),
                                       strlen(*name) - strlen("siderolabs/") + 1);
                }
                joined = strv_join(l, " ");
                if (rows[i].want)
                        ASSERT_STREQ(joined, rows[i].want);
        }
}

TEST(an_unknown_gpu_is_refused) {
        static const GpuArch unknown[] = { GPU_ARCH_UNKNOWN };
        _cleanup_strv_ char **l = NULL;
        const char *reason = NULL;

        ASSERT_EQ(talos_extensions(version("v1.13.9"), unknown, 1, &l, &reason), -EOPNOTSUPP);
        ASSERT(strstr(reason, "--schematic"));
}

TEST(extensions_are_checked_against_the_factory) {
        char *const names[] = { (char *) "siderolabs/a", (char *) "siderolabs/b", NULL };
        const char *missing = NULL;

        ASSERT_EQ(talos_extensions_check(
                                  "[{\"name\":\"siderolabs/b\",\"ref\":\"x\"},{\"name\":\"siderolabs/a\"}]",
                                  names, &missing),
                  0);
        ASSERT_EQ(talos_extensions_check("[{\"name\":\"siderolabs/a\"},{}]", names, &missing), -ENOENT);
        ASSERT_STREQ(missing, "siderolabs/b");
        ASSERT_EQ(talos_extensions_check("[\"siderolabs/a\"]", names, &missing), -EBADMSG);
        ASSERT_EQ(talos_extensions_check("not found", names, &missing), -EBADMSG);
}

TEST(the_schematic_is_what_the_factory_takes) {
        char *const names[] = { (char *) "siderolabs/x", (char *) "siderolabs/y", NULL };
        _cleanup_free_ char *text = NULL;

        ASSERT_EQ(talos_schematic(names, &text), 0);
        ASSERT_STREQ(text,
                     "{\"customization\":{\"systemExtensions\":{\"officialExtensions\":[\"siderolabs/x\",\"siderolabs/y\"]}}}");
}

TEST(a_gpu_wants_its_modules_loaded) {
        const char *patch = talos_gpu_patch(NULL), *old = talos_gpu_patch("v1.12.4");

        ASSERT_STREQ(patch,
                     "{\"machine\":{\"kernel\":{\"modules\":[{\"name\":\"nvidia\"},{\"name\":\"nvidia_uvm\"},"
                     "{\"name\":\"nvidia_drm\"},{\"name\":\"nvidia_modeset\"}]}}}");
        ASSERT_STREQ(talos_gpu_patch("1.13.0-rc.1"), patch);
        ASSERT_STREQ(talos_gpu_patch("1.13.0"), patch);
        ASSERT(strstr(old, "\"nvidia_modeset\"}]},\"sysctls\":{\"net.core.bpf_jit_harden\":\"1\"}}}"));
        ASSERT(talos_config_has_gpu(patch));
        ASSERT(talos_config_has_gpu("machine:\n  kernel:\n    modules:\n      - name: nvidia_uvm\n"));
        ASSERT(!talos_config_has_gpu("machine:\n  type: worker\n"));
}

TEST(the_commands_are_whole) {
        _cleanup_free_ char *known = NULL, *unknown = NULL;

        ASSERT_EQ(talos_commands("talos-01", "192.0.2.7", "{}", &known), 0);
        ASSERT_STREQ(known,
                     "  talosctl gen config talos-01 https://192.0.2.7:6443 --install-disk /dev/vda\n"
                     "  talosctl apply-config --insecure --nodes 192.0.2.7 --file controlplane.yaml --config-patch '{}'\n"
                     "  talosctl bootstrap --nodes 192.0.2.7 --endpoints 192.0.2.7 --talosconfig talosconfig\n");
        ASSERT_EQ(talos_commands("talos-01", NULL, NULL, &unknown), 0);
        ASSERT_STREQ(unknown,
                     "  talosctl gen config talos-01 https://ADDRESS:6443 --install-disk /dev/vda\n"
                     "  talosctl apply-config --insecure --nodes ADDRESS --file controlplane.yaml\n"
                     "  talosctl bootstrap --nodes ADDRESS --endpoints ADDRESS --talosconfig talosconfig\n");
}

TEST(only_a_hash_is_an_id) {
        _cleanup_free_ char *id = NULL, *other = NULL, *url = NULL;

        ASSERT_EQ(talos_schematic_id("{\"id\":\"" TALOS_SCHEMATIC_EMPTY "\",\"schematic\":\"\"}", &id), 0);
        ASSERT_STREQ(id, TALOS_SCHEMATIC_EMPTY);
        ASSERT_EQ(talos_schematic_id("{\"id\":\"../../etc\"}", &other), -EBADMSG);
        ASSERT_EQ(talos_schematic_id("{\"id\":\"" TALOS_SCHEMATIC_EMPTY "0\"}", &other), -EBADMSG);
        ASSERT_EQ(talos_schematic_id("{\"id\":null}", &other), -EBADMSG);
        ASSERT_EQ(talos_schematic_id("[]", &other), -EBADMSG);
        ASSERT_EQ(talos_image_url(TALOS_FACTORY, id, version("v1.13.9"), "arm64", &url), 0);
        ASSERT_STREQ(url, TALOS_FACTORY "/image/" TALOS_SCHEMATIC_EMPTY "/v1.13.9/nocloud-arm64.raw.xz");
}
