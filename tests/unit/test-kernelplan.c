/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Kernels: what they lack, where they are in the boot menu, and how another becomes its default. */

#include "grubplace.h"
#include "grubtrial.h"
#include "kernelplan.h"
#include "tests/tree.h"

#define GENERIC "CONFIG_VFIO_PCI=m\nCONFIG_INTEL_IOMMU=y\nCONFIG_AMD_IOMMU=y\n"
#define CLOUD   "CONFIG_VFIO_PCI=m\nCONFIG_INTEL_IOMMU=y\n# CONFIG_AMD_IOMMU is not set\n"

TEST(what_kernels_lack) {
        static const struct {
                const char *config, *firmware, *lacks;
        } table[] = {
                { GENERIC, "intel", NULL },
                { GENERIC, "amd", NULL },
                { CLOUD, "intel", NULL },
                { CLOUD, "amd", "CONFIG_AMD_IOMMU" },
                { CLOUD, NULL, NULL },
                { CLOUD, "arm-smmu", "CONFIG_ARM_SMMU_V3" },
                { "CONFIG_VFIO_PCI=y\nCONFIG_ARM_SMMU=y\n", "arm-smmu", NULL },
                { "CONFIG_VFIO_PCI=y\nCONFIG_ARM_SMMU_V3=m\n", "arm-smmu", NULL },
                { "CONFIG_AMD_IOMMU=y\n", "amd", "CONFIG_VFIO_PCI" },
                { "CONFIG_AMD_IOMMU=y\nCONFIG_VFIO_PCI_CORE=m\n# CONFIG_VFIO_PCI=m\n", NULL,
                  "CONFIG_VFIO_PCI" },
                { "CONFIG_VFIO_PCI=m\nCONFIG_AMD_IOMMU_V2=m\n", "amd", "CONFIG_AMD_IOMMU" },
        };
        int root = tree_new();

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                const char *lacks;
                Kernel k = {};

                tree_put("/boot/config-6.1", table[i].config);
                ASSERT_EQ(kernel_read(root, "6.1", &k), 0);
                lacks = kernel_lacks(&k, table[i].firmware);
                ASSERT(streq_ptr(lacks, table[i].lacks));
        }
}

TEST(without_a_configuration) {
        int root = tree_new();
        Kernel k = {};

        ASSERT_EQ(kernel_read(root, "6.1", &k), 0);
        ASSERT_EQ(k.vfio_pci, KERNEL_UNKNOWN);
        ASSERT(!kernel_lacks(&k, "amd"));
        tree_put("/lib/modules/6.1/modules.dep", "kernel/drivers/vfio/pci/vfio-pci-core.ko.zst:\n");
        ASSERT_EQ(kernel_read(root, "6.1", &k), 0);
        ASSERT_EQ(k.vfio_pci, KERNEL_UNKNOWN); /* it may be built in */
        tree_put("/lib/modules/6.1/modules.builtin", "kernel/drivers/vfio/vfio.ko\n");
        ASSERT_EQ(kernel_read(root, "6.1", &k), 0);
        ASSERT_STREQ(kernel_lacks(&k, NULL), "CONFIG_VFIO_PCI");
        tree_put("/lib/modules/6.1/modules.builtin", "kernel/drivers/vfio/pci/vfio-pci.ko\n");
        ASSERT_EQ(kernel_read(root, "6.1", &k), 0);
        ASSERT_EQ(k.vfio_pci, KERNEL_BUILTIN);
        ASSERT_EQ(kernel_read(root, "../6.1", &k), -EINVAL);
}

TEST(the_newest_that_will_do) {
        _cleanup_free_ char *none = NULL, *found = NULL;
        int root = tree_new();

        ASSERT_EQ(kernel_find(root, "amd", &none), 0);
        tree_put("/boot/vmlinuz-6.1.0-9-amd64", "k");
        tree_put("/boot/initrd.img-6.1.0-9-amd64", "i");
        ASSERT_EQ(kernel_find(root, "amd", &none), 0); /* nothing is known of it */
        tree_put("/boot/config-6.1.0-9-amd64", GENERIC);
        tree_put("/boot/vmlinuz-6.1.0-56-amd64", "k");
        tree_put("/boot/initrd.img-6.1.0-56-amd64", "i");
        tree_put("/boot/config-6.1.0-56-amd64", GENERIC);
        tree_put("/boot/vmlinuz-6.1.0-57-amd64", "k");
        tree_put("/boot/initrd.img-6.1.0-57-amd64", ""); /* cut off */
        tree_put("/boot/config-6.1.0-57-amd64", GENERIC);
        tree_put("/boot/vmlinuz-6.1.0-58-cloud-amd64", "k");
        tree_put("/boot/initrd.img-6.1.0-58-cloud-amd64", "i");
        tree_put("/boot/config-6.1.0-58-cloud-amd64", CLOUD);
        ASSERT_EQ(kernel_find(root, "amd", &found), 1);
        ASSERT_STREQ(found, "6.1.0-56-amd64");
}

/* As grub-mkconfig of grub-common 2.06 and 2.12 writes it. */
#define HEADER(value)                                                                           \
        "### BEGIN /etc/grub.d/00_header ###\nif [ \"${next_entry}\" ] ; then\n   set default=" \
        "\"${next_entry}\"\n   set next_entry=\n   save_env next_entry\nelse\n   set default"   \
        "=\"" value "\"\nfi\nfunction savedefault {\n  if x\n}\n### END /etc/grub.d/00_header ###\n"
#define ENTRY(in, title, id, kernel)                                                                       \
        in "menuentry '" title "' --class debian $menuentry_id_option '" id "' {\n" in "\tload_video\n" in \
           "\tif [ x$grub_platform = xxen ]; then insmod xzio; fi\n" in "\tlinux\t/boot/vmlinuz-" kernel   \
           " root=UUID=1 ro quiet\n" in "\tinitrd\t/boot/initrd.img-" kernel "\n" in "}\n"
#define NEWER "6.1.0-56-cloud-amd64"
#define OLDER "6.1.0-56-amd64"
#define PLACE "gnulinux-advanced-UU>gnulinux-" OLDER "-advanced-UU"
#define MENU(value)                                                                                           \
        HEADER(value)                                                                                         \
        "### BEGIN /etc/grub.d/10_linux ###\nfunction gfxmode {\n\tset gfxpayload=\"${1}\"\n}\n" ENTRY(       \
                        "", "Debian", "gnulinux-simple-UU",                                                   \
                        NEWER) "submenu 'It'\\''s $menuentry_id_option "                                      \
                               "'\\''x' $menuentry_id_option "                                                \
                               "'gnulinux-advanced-UU' {\n" ENTRY("\t", "Debian",                             \
                                                                  "gnulinux-" NEWER "-advanced-UU",           \
                                                                  NEWER) ENTRY("\t", "Debian (Rettung)",      \
                                                                               "gnulinux-" OLDER              \
                                                                               "-recovery-UU",                \
                                                                               OLDER)                         \
                                               ENTRY("\t", "Debian", "gnulinux-" OLDER "-advanced-UU",        \
                                                     OLDER) "}\n### END /etc/grub.d/10_linux ###\n"           \
                                                            "### BEGIN /etc/grub.d/30_os-prober ###\n" ENTRY( \
                                                                            "", "Other",                      \
                                                                            "gnulinux-6.9-advanced-XX",       \
                                                                            "6.9")

TEST(places) {
        _cleanup_free_ char *place = NULL, *kernel = NULL, *flat = NULL, *none = NULL;

        ASSERT_EQ(grubplace_find(MENU("0"), OLDER, &place), 0);
        ASSERT_STREQ(place, PLACE);
        ASSERT_EQ(grubplace_kernel(MENU("0"), PLACE, &kernel), 0);
        ASSERT_STREQ(kernel, OLDER);
        free(TAKE_PTR(kernel));
        ASSERT_EQ(grubplace_kernel(MENU("0"), "gnulinux-simple-UU", &kernel), 0);
        ASSERT_STREQ(kernel, NEWER);
        ASSERT_EQ(grubplace_find(MENU("0"), "6.1.0-56", &none), -ENOENT);
        ASSERT_EQ(grubplace_find(MENU("0"), "6.9", &none), -ENOENT); /* of another system */
        ASSERT_EQ(grubplace_kernel(MENU("0"), "0", &none), -ENOENT);
        ASSERT_EQ(grubplace_kernel(MENU("0"), "gnulinux-" OLDER "-advanced-UU", &none), -ENOENT);
        /* GRUB_DISABLE_SUBMENU=y */
        ASSERT_EQ(grubplace_find("### BEGIN /etc/grub.d/10_linux ###\n" ENTRY("", "A",
                                                                              "gnulinux-6.2-advanced-UU",
                                                                              "6.2"),
                                 "6.2", &flat),
                  0);
        ASSERT_STREQ(flat, "gnulinux-6.2-advanced-UU");
}

TEST(defaults) {
        _cleanup_free_ char *a = NULL, *b = NULL, *c = NULL, *none = NULL;

        ASSERT_EQ(grubplace_default(MENU("0"), &a), 0);
        ASSERT_STREQ(a, "0");
        ASSERT_EQ(grubplace_default(MENU(PLACE), &b), 0);
        ASSERT_STREQ(b, PLACE);
        ASSERT_EQ(grubplace_default(HEADER("${saved_entry}"), &c), 0);
        ASSERT_STREQ(c, "saved");
        ASSERT_EQ(grubplace_default("set default\n", &none), -ENOENT);
}

TEST(an_entry_for_this_kernel) {
        const TrialWish wish = { .kernel = OLDER }, absent = { .kernel = "6.1.0-57-amd64" };
        _cleanup_(grubtrial_done) GrubTrial t = {};
        _cleanup_free_ char *reason = NULL, *menu = NULL;

        ASSERT_EQ(str_printf(&menu, "load_env\n%ssource $prefix/custom.cfg\n", MENU("0")), 0);
        ASSERT_EQ(grubtrial_make(menu, &wish, "", &t, &reason), 0);
        ASSERT_STREQ(t.kernel, OLDER);
        ASSERT(strstr(t.block, "vmlinuz-" OLDER " root=UUID=1 ro quiet panic=10\n"));
        ASSERT(strstr(t.block, "initrd.img-" OLDER "\n") && !strstr(t.block, "iommu"));
        ASSERT_EQ(grubtrial_make(menu, &absent, "", &t, &reason), 1);
        ASSERT_STREQ(reason, "the boot menu has no entry for it");
}

TEST(what_is_run_by_a_shell_is_plain) {
        _cleanup_free_ char *text = NULL;

        ASSERT_EQ(kernelplan_hold(PLACE, &text), 0);
        ASSERT(strstr(text, "\nGRUB_DEFAULT='" PLACE "'\n"));
        ASSERT_EQ(kernelplan_hold("a'; reboot; '", &text), -EINVAL);
        ASSERT_EQ(kernelplan_choose("x>$(reboot)-6.1-y", "6.1", "amd", &text), -EINVAL);
        ASSERT_EQ(kernelplan_choose(PLACE, "6.2", "amd", &text), -EINVAL);
}

/* Runs the drop-in as grub-mkconfig does, over the kernels of a tree. */
static void newest(const char *firmware, const char *expected) {
        _cleanup_free_ char *text = NULL;
        char line[256] = "";
        FILE *f;

        ASSERT_EQ(kernelplan_choose(PLACE, OLDER, firmware, &text), 0);
        ASSERT_EQ(setenv("SCRIPT", text, 1), 0);
        ASSERT_EQ(setenv("TREE", tree_path, 1), 0);
        f = popen("sh -c 'set -e; GRUB_DEFAULT=0; eval \"$(echo \"$SCRIPT\" | sed \"s|/boot/|$TREE/boot/|g\")\"; "
                  "echo \"$GRUB_DEFAULT\"'",
                  "r");
        ASSERT(f && fgets(line, sizeof(line), f));
        ASSERT_EQ(pclose(f), 0);
        line[strcspn(line, "\n")] = '\0';
        ASSERT_STREQ(line, expected);
}

TEST(the_default_is_found_anew) {
        (void) tree_new();
        newest("amd", "0");
        tree_put("/boot/vmlinuz-6.1.0-9-amd64", "k");
        tree_put("/boot/config-6.1.0-9-amd64", GENERIC);
        tree_put("/boot/vmlinuz-6.1.0-56-amd64", "k");
        tree_put("/boot/config-6.1.0-56-amd64", GENERIC);
        tree_put("/boot/vmlinuz-6.1.0-57-cloud-amd64", "k");
        tree_put("/boot/config-6.1.0-57-cloud-amd64", CLOUD);
        tree_put("/boot/vmlinuz-6.1.0-58-own", "k");
        newest("amd", PLACE);
        newest("intel", "gnulinux-advanced-UU>gnulinux-6.1.0-57-cloud-amd64-advanced-UU");
        newest(NULL, "gnulinux-advanced-UU>gnulinux-6.1.0-57-cloud-amd64-advanced-UU");
}
