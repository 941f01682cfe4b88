/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Boot: what words do to the IOMMU, which grub.cfg would start a machine, or did. */

#include "boot.h"
#include "bootentry.h"
#include "grubcfg.h"
#include "grubmenu.h"
#include "strv.h"
#include "tests/tree.h"

static void put(int root, const char *path, const char *text) {
        ASSERT_EQ(fs_write_atomic(root, path, text, strlen(text), 0644), 0);
}

static const char *off(const char *line, const char *firmware) {
        static char kept[64];
        _cleanup_strv_ char **words = NULL;
        const char *w;

        ASSERT_EQ(strv_split(line, " ", &words), 0);
        w = cmdline_iommu_off(words, firmware);
        (void) snprintf(kept, sizeof(kept), "%s", w ?: "-");
        return kept;
}

static bool on(const char *line, const char *firmware) {
        _cleanup_strv_ char **words = NULL;

        ASSERT_EQ(strv_split(line, " ", &words), 0);
        return cmdline_iommu_on(words, firmware);
}

TEST(off_words) {
        ASSERT_STREQ(off("quiet", "intel"), "-");
        ASSERT_STREQ(off("intel_iommu=off quiet", "intel"), "intel_iommu=off");
        ASSERT_STREQ(off("intel_iommu=off intel_iommu=on", "intel"), "-");
        ASSERT_STREQ(off("intel_iommu=on intel_iommu=off", "intel"), "intel_iommu=off");
        ASSERT_STREQ(off("intel_iommu=igfx_off", "intel"), "-");
        ASSERT_STREQ(off("intel_iommu=sm_off,strict", "intel"), "-");
        ASSERT_STREQ(off("iommu=off intel_iommu=on iommu=pt", "intel"), "iommu=off");
        ASSERT_STREQ(off("iommu=soft,off", "intel"), "iommu=soft,off");
        ASSERT_STREQ(off("intel_iommu=off", "amd"), "-");
        ASSERT_STREQ(off("amd_iommu=fullflush,off iommu=pt", "amd"), "amd_iommu=fullflush,off");
        ASSERT_STREQ(off("amd_iommu=off", "intel"), "-");
}

TEST(on_words) {
        ASSERT(!on("quiet", "intel"));
        ASSERT(!on("iommu=pt", "intel"));
        ASSERT(on("intel_iommu=on", "intel"));
        ASSERT(on("intel_iommu=on,igfx_off", "intel"));
        ASSERT(!on("intel_iommu=on iommu=off", "intel"));
        ASSERT(on("", "amd"));
        ASSERT(!on("iommu=off", "amd"));
}

/* Names with "absent" in them are not there. */
static int there(const char *path, void *userdata) {
        return strstr(path, "absent") ? 0 : 1;
}

static char problem_text[256];

static int check(const char *text, const char *firmware) {
        _cleanup_free_ char *problem = NULL;
        int r = grubcfg_check(text, firmware, there, NULL, &problem);

        (void) snprintf(problem_text, sizeof(problem_text), "%s", strempty(problem));
        return r;
}

#define ENTRY(title, kernel, words, initrd)                                 \
        "menuentry '" title "' --class debian $menuentry_id_option 'x' {\n" \
        "\tinsmod ext2\n"                                                   \
        "\tlinux\t/boot/" kernel " root=UUID=1 ro " words "\n"              \
        "\tinitrd\t/boot/" initrd "\n}\n"

TEST(grubcfg_good) {
        ASSERT_EQ(check("### BEGIN /etc/grub.d/10_linux ###\n" ENTRY("Debian", "vmlinuz-6.1",
                                                                     "quiet intel_iommu=on", "initrd.img-6.1")
                                        ENTRY("Debian (recovery mode)", "vmlinuz-6.1", "single",
                                              "initrd.img-6.1") "### END /etc/grub.d/10_linux ###\n"
                                                                "### BEGIN /etc/grub.d/30_os-prober ###\n" ENTRY(
                                                                                "Other", "vmlinuz-5",
                                                                                "intel_iommu=off",
                                                                                "initrd.img-5") "### END /etc/grub.d/30_os-prober ###\n",
                        "intel"),
                  0);
        ASSERT_EQ(check(ENTRY("A", "vmlinuz-1", "", "initrd-1"), "amd"), 0);
        ASSERT_EQ(check(ENTRY("A", "vmlinuz-1", "", "initrd-1"), NULL), 0);
        ASSERT_EQ(check(ENTRY("Old", "vmlinuz-absent", "", "initrd-1")
                                        ENTRY("A", "vmlinuz-1", "", "initrd-1"),
                        NULL),
                  0);
}

TEST(grubcfg_bad) {
        ASSERT_EQ(check("", NULL), 1);
        ASSERT_EQ(check("# nothing\nset timeout=5\n", NULL), 1);
        ASSERT_STREQ(problem_text, "it has no menu entry");
        ASSERT_EQ(check(ENTRY("A", "vmlinuz-absent", "", "initrd-1"), NULL), 1);
        ASSERT_EQ(check(ENTRY("A", "vmlinuz-1", "", "initrd-absent"), NULL), 1);
        ASSERT_EQ(check("menuentry 'x' {\n initrd /boot/initrd-1\n}\n", NULL), 1);
        ASSERT_EQ(check(ENTRY("A", "vmlinuz-1", "intel_iommu=on", "initrd-1")
                                        ENTRY("B", "vmlinuz-1", "quiet", "initrd-1"),
                        "intel"),
                  1);
        ASSERT_STREQ(problem_text, "entry 'B' does not ask for the IOMMU");
        ASSERT_EQ(check(ENTRY("A", "vmlinuz-1", "intel_iommu=on intel_iommu=off", "initrd-1"), "intel"), 1);
        ASSERT_STREQ(problem_text, "entry 'A' has 'intel_iommu=off', which keeps the IOMMU off");
        ASSERT_EQ(check(ENTRY("A (recovery mode)", "vmlinuz-1", "single iommu=off", "initrd-1"), "amd"), 1);
        ASSERT_EQ(check("### BEGIN /etc/grub.d/40_custom ###\n" ENTRY("A", "vmlinuz-1", "", "initrd-1"),
                        "intel"),
                  1);
        ASSERT_STREQ(problem_text, "it has no entry for a kernel of this system");
        ASSERT_EQ(check(ENTRY("A (recovery mode)", "vmlinuz-1", "single", "initrd-1"), "intel"), 1);
        ASSERT_STREQ(problem_text, "it has no entry for a kernel of this system");
        ASSERT_EQ(check("menuentry 'x' {\n linux\n}\n", "intel"), 1);
}

TEST(dropin_is_shell_that_does_it) {
        _cleanup_free_ char *text = NULL, *script = NULL, *got = NULL;
        FILE *f;
        char line[256];

        ASSERT_EQ(boot_grub_dropin("amd", false, NULL, &text), 0);
        ASSERT(strstr(text, "GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX iommu=pt\"\n"));
        ASSERT(!strstr(text, "OverrideIommuOff"));
        free(TAKE_PTR(text));
        ASSERT_EQ(boot_grub_dropin("intel", true, "iommu=soft,off", &text), 0);
        ASSERT_EQ(str_printf(&script,
                             "set -e\nGRUB_CMDLINE_LINUX='a iommu=off b=\"c  d\"'\n"
                             "GRUB_CMDLINE_LINUX_DEFAULT='quiet intel_iommu=off * iommu=soft,off'\n%s"
                             "echo \"$GRUB_CMDLINE_LINUX|$GRUB_CMDLINE_LINUX_DEFAULT\"\n",
                             text),
                  0);
        ASSERT_EQ(setenv("SCRIPT", script, 1), 0);
        f = popen("sh -c \"$SCRIPT\"", "r");
        ASSERT(f && fgets(line, sizeof(line), f));
        ASSERT_EQ(pclose(f), 0);
        ASSERT_STREQ(line, "a b=\"c d\" intel_iommu=on iommu=pt|quiet *\n");
        ASSERT_EQ(boot_grub_dropin("intel", true, "iommu=off$(reboot)", &got), -EINVAL);
}

TEST(entry_edit) {
        _cleanup_free_ char *a = NULL, *b = NULL, *c = NULL, *d = NULL;

        ASSERT_EQ(bootentry_edit("title Debian\noptions root=UUID=1 ro quiet\nlinux /x\n", "intel", false,
                                 &a),
                  1);
        ASSERT_STREQ(a, "title Debian\noptions root=UUID=1 ro quiet intel_iommu=on iommu=pt\nlinux /x\n");
        ASSERT_EQ(bootentry_edit(a, "intel", false, &b), 0);
        ASSERT_EQ(bootentry_edit("options ro intel_iommu=off", "intel", true, &b), 1);
        ASSERT_STREQ(b, "options ro intel_iommu=on iommu=pt");
        /* intel_iommu=on behind it wins; iommu=off has no opposite. */
        ASSERT_EQ(bootentry_edit("options iommu=off ro", "amd", false, &c), -EPERM);
        ASSERT_EQ(bootentry_edit("options iommu=off ro", "amd", true, &c), 1);
        ASSERT_STREQ(c, "options ro iommu=pt");
        ASSERT_EQ(bootentry_edit("title x\nlinux /x\n", "amd", true, &d), -EBADMSG);
        ASSERT_EQ(bootentry_edit("optionsx ro\n", "amd", true, &d), -EBADMSG);
        ASSERT_EQ(bootentry_edit("options\nlinux /x\n", "amd", true, &d), -EBADMSG);
}

TEST(detect) {
        int root = tree_new();
        _cleanup_(boot_done) Boot b = {};

        ASSERT_EQ(boot_detect(root, &b), 0);
        ASSERT_EQ(b.loader, BOOT_LOADER_OTHER);
        put(root, "/etc/machine-id", "0123456789abcdef0123456789abcdef\n");
        put(root, "/boot/efi/loader/entries/0123456789abcdef0123456789abcdef-6.1.conf", "options x\n");
        ASSERT_EQ(boot_detect(root, &b), 0);
        ASSERT_EQ(b.loader, BOOT_LOADER_SYSTEMD);
        ASSERT_STREQ(b.partition, "/boot/efi");
        boot_done(&b);
        put(root, GRUBMENU_CFG, "x");
        put(root, "/proc/cmdline", "initrd=\\x root=UUID=1 ro\n");
        ASSERT_EQ(boot_detect(root, &b), 0);
        ASSERT_EQ(b.loader, BOOT_LOADER_SYSTEMD);
        boot_done(&b);
        put(root, "/proc/cmdline", "BOOT_IMAGE=/vmlinuz root=UUID=1 ro\n");
        ASSERT_EQ(boot_detect(root, &b), 0);
        ASSERT_EQ(b.loader, BOOT_LOADER_GRUB);
        ASSERT_EQ(fs_write_atomic(root,
                                  "/sys/firmware/efi/efivars/LoaderInfo-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f",
                                  "\6\0\0\0s\0y\0s\0t\0e\0m\0d\0-\0b\0o\0o\0t\0 \0", 30, 0644),
                  0);
        ASSERT_EQ(boot_detect(root, &b), 0);
        ASSERT_EQ(b.loader, BOOT_LOADER_SYSTEMD);
        boot_done(&b);
        put(root, "/etc/kernel/proxmox-boot-uuids", "AAAA-BBBB\n");
        ASSERT_EQ(boot_detect(root, &b), 0);
        ASSERT_EQ(b.loader, BOOT_LOADER_OTHER);
}

static bool started(const char *line) {
        static const char menu[] = "set default=0\n"
                                   "menuentry 'Debian' {\n"
                                   "\tlinux\t/boot/vmlinuz-6.1 root=UUID=1 ro  quiet $vt_handoff\n"
                                   "\tinitrd\t/boot/initrd.img-6.1\n"
                                   "}\n"
                                   "menuentry 'Other' {\n"
                                   "  linux ($root)/vmlinuz-6.9 ro $extra splash 'dyndbg=file a.c +p'\n"
                                   "}\n"
                                   "linux\n";

        return grubcfg_has_start(menu, line);
}

TEST(the_menu_that_this_is_a_start_of) {
        ASSERT(started("BOOT_IMAGE=/boot/vmlinuz-6.1 root=UUID=1 ro quiet\n"));
        ASSERT(started("BOOT_IMAGE=/boot/vmlinuz-6.1 root=UUID=1 ro quiet vt.handoff=7\n"));
        ASSERT(!started("BOOT_IMAGE=/boot/vmlinuz-6.1 root=UUID=1 ro quiet vt.handoff=7 more\n"));
        ASSERT(!started("BOOT_IMAGE=/boot/vmlinuz-6.1 root=UUID=1 ro\n"));
        ASSERT(!started("BOOT_IMAGE=/boot/vmlinuz-6.1 root=UUID=1 ro quiet intel_iommu=on iommu=pt\n"));
        ASSERT(!started("BOOT_IMAGE=/boot/vmlinuz-6.9-old root=UUID=1 ro quiet\n"));
        ASSERT(!started("root=UUID=1 ro quiet\n"));
        ASSERT(!started(""));
        ASSERT(started("BOOT_IMAGE=(hd0,gpt2)/vmlinuz-6.9 ro splash \"dyndbg=file a.c +p\"\n"));
        ASSERT(started("BOOT_IMAGE=(hd0,gpt2)/vmlinuz-6.9 ro one splash \"dyndbg=file a.c +p\"\n"));
        ASSERT(!started("BOOT_IMAGE=(hd0,gpt2)/vmlinuz-6.9 ro one two splash \"dyndbg=file a.c +p\"\n"));
        ASSERT(!started("BOOT_IMAGE=(hd0,gpt2)/vmlinuz-6.9 rw splash \"dyndbg=file a.c +p\"\n"));
}
