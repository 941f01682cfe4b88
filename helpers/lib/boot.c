/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "boot.h"
#include "bootentry.h"
#include "cmdline.h"
#include "fs.h"
#include "grubcfg.h"
#include "grubmenu.h"
#include "strv.h"

void boot_done(Boot *b) {
        free(b->partition);
        *b = (Boot){};
}

/* With both installed: what the firmware says, where that can be seen. Else GRUB leaves its mark on the
 * command line. */
static bool systemd_boot_started_it(int root) {
        _cleanup_strv_ char **words = NULL;

        if (bootentry_started_by(root, "systemd-boot"))
                return true;
        return !bootentry_started_by(root, "GRUB") && cmdline_read(root, &words) >= 0 && words &&
                        !cmdline_get(words, "BOOT_IMAGE");
}

int boot_detect(int root, Boot *ret) {
        _cleanup_free_ char *partition = NULL;
        int r, grub;

        r = fs_exists(root, "/etc/kernel/proxmox-boot-uuids");
        if (r > 0) /* copies grub.cfg and images to partitions that it mounts itself */
                *ret = (Boot){};
        if (r != 0)
                return r < 0 ? r : 0;
        grub = fs_exists(root, GRUBMENU_CFG);
        if (grub < 0)
                return grub;
        r = bootentry_partition(root, &partition);
        if (r < 0 && r != -ENOENT)
                return r;
        if (partition && (grub == 0 || systemd_boot_started_it(root)))
                *ret = (Boot){ .loader = BOOT_LOADER_SYSTEMD, .partition = TAKE_PTR(partition) };
        else
                *ret = (Boot){ .loader = grub > 0 ? BOOT_LOADER_GRUB : BOOT_LOADER_OTHER };
        return 0;
}

const char *boot_iommu_words(const char *firmware) {
        return streq(firmware, "intel") ? "intel_iommu=on iommu=pt" : "iommu=pt";
}

static bool is_plain(const char *word) {
        return word[strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_=,.-")] ==
                        '\0';
}

int boot_grub_dropin(const char *firmware, bool override, const char *off, char **ret) {
        _cleanup_free_ char *filter = NULL;
        const char *own = streq(firmware, "intel") ? "intel_iommu=off" : "amd_iommu=off";
        bool more = off && !streq(off, own) && !streq(off, "iommu=off");

        if (off && !is_plain(off))
                return -EINVAL;
        if (override &&
            str_printf(&filter,
                       "# OverrideIommuOff=yes: these words would keep the IOMMU off whatever follows them.\n"
                       "gpuvm_without_off() {\n"
                       "        kept=\n"
                       "        for word in $1; do\n"
                       "                case $word in\n"
                       "                %s | iommu=off%s%s) ;;\n"
                       "                *) kept=\"$kept${kept:+ }$word\" ;;\n"
                       "                esac\n"
                       "        done\n"
                       "        echo \"$kept\"\n"
                       "}\n"
                       "GRUB_CMDLINE_LINUX=$(set -f; gpuvm_without_off \"$GRUB_CMDLINE_LINUX\")\n"
                       "GRUB_CMDLINE_LINUX_DEFAULT=$(set -f; gpuvm_without_off \"$GRUB_CMDLINE_LINUX_DEFAULT\")\n",
                       own, more ? " | " : "", more ? off : "") < 0)
                return -ENOMEM;
        return str_printf(ret,
                          "# Written by gpuvm-iommu; 'gpuvm-undo iommu' takes it back.\n"
                          "%sGRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX %s\"\n",
                          strempty(filter), boot_iommu_words(firmware));
}

int boot_refresh(Phase *p, Undo *u, const char *firmware) {
        _cleanup_(boot_done) Boot b = {};
        int r;

        r = boot_detect(p->root, &b);
        if (r < 0)
                return phase_fail(p, r, "Look at /boot", "Cannot tell what starts this machine");
        if (b.loader != BOOT_LOADER_GRUB)
                return 0;
        r = grubmenu_refresh(p, u, firmware);
        grubmenu_tidy(p->root);
        return r;
}

/* After a failure: the drop-in would otherwise take effect with the next kernel update. */
static void dropin_back(Phase *p, const char *before) {
        int r = before ? fs_write_if_changed(p->root, GRUBMENU_DROPIN, before, strlen(before), 0644)
                       : fs_remove(p->root, GRUBMENU_DROPIN);

        if (r < 0)
                phase_note(p, "Could not take back " GRUBMENU_DROPIN "; remove it by hand");
}

static int write_dropin(Phase *p, Undo *u, const char *text) {
        int r;

        r = undo_record_refresh(u, "bootloader");
        if (r < 0)
                return phase_fail(p, r, "Make /var/lib/gpuvm writable, with some room; nothing was changed",
                                  "Cannot record the change");
        r = undo_write_file(u, GRUBMENU_DROPIN, text, strlen(text), 0644);
        if (r < 0)
                return phase_fail(p, r, "Make it writable, with some room; nothing was changed",
                                  "Cannot write " GRUBMENU_DROPIN);
        return 0;
}

static int make_dropin(Phase *p, const char *firmware, bool override, char *const *words, char **ret) {
        const char *off = cmdline_iommu_off(words, firmware);
        int r = boot_grub_dropin(firmware, override, override ? off : NULL, ret);

        return r < 0 ? phase_fail(p, r, "Take it out yourself", "Cannot override '%s'", strna(off)) : 0;
}

static int iommu_grub(Phase *p, Undo *u, const char *firmware, bool override, char *const *words) {
        _cleanup_free_ char *text = NULL, *before = NULL;
        int r;

        r = grubmenu_is_ready(p->root, firmware);
        if (r < 0)
                return phase_fail(p, r, "Look at it", "Cannot check " GRUBMENU_CFG);
        if (r > 0)
                return 0;
        r = make_dropin(p, firmware, override, words, &text);
        if (r < 0)
                return r;
        r = phase_change(p, "write", GRUBMENU_DROPIN, "kernel command line: %s%s", boot_iommu_words(firmware),
                         override ? ", and without the words that keep the IOMMU off" : "");
        if (r >= 0)
                r = phase_change(p, "write", GRUBMENU_CFG, "made beside, checked, then renamed");
        if (r <= 0)
                return r < 0 ? phase_fail(p, r, "Try again", "Cannot go on") : 1;
        r = grubmenu_room(p);
        if (r < 0)
                return r;
        (void) !fs_read(p->root, GRUBMENU_DROPIN, FS_FILE_MAX, &before, NULL);
        r = write_dropin(p, u, text);
        if (r < 0)
                return r;
        r = grubmenu_refresh(p, u, firmware);
        grubmenu_tidy(p->root);
        if (r < 0)
                dropin_back(p, before);
        return r < 0 ? r : 1;
}

int boot_rehearse(Phase *p, Undo *u, const char *firmware, bool override, char *const *words) {
        _cleanup_free_ char *text = NULL, *before = NULL, *menu = NULL;
        _cleanup_(boot_done) Boot b = {};
        size_t size;
        int r;

        r = boot_detect(p->root, &b);
        if (r < 0)
                return phase_fail(p, r, "Look at /boot", "Cannot tell what starts this machine");
        if (b.loader != BOOT_LOADER_GRUB)
                return 0;
        r = make_dropin(p, firmware, override, words, &text);
        if (r >= 0)
                r = grubmenu_room(p);
        if (r < 0)
                return r;
        r = phase_change(p, "write", GRUBMENU_DROPIN,
                         "a boot menu made with it is checked, then it goes again");
        if (r <= 0)
                return r < 0 ? phase_fail(p, r, "Try again", "Cannot go on") : 0;
        (void) !fs_read(p->root, GRUBMENU_DROPIN, FS_FILE_MAX, &before, NULL);
        /* Should the machine stop here, the next update-grub of anybody takes the words over. */
        r = undo_record_refresh(u, "bootloader");
        if (r >= 0)
                r = undo_write_file(u, GRUBMENU_DROPIN, text, strlen(text), 0644);
        if (r < 0)
                return phase_fail(p, r, "Make it writable, with some room; nothing was changed",
                                  "Cannot write " GRUBMENU_DROPIN);
        r = grubmenu_make(p, firmware, &menu, &size);
        grubmenu_tidy(p->root);
        /* One like ours is what a run that was cut has left. */
        dropin_back(p, before && streq(before, text) ? NULL : before);
        return r;
}

int boot_iommu(Phase *p, Undo *u, const char *firmware, bool override, char *const *words) {
        _cleanup_(boot_done) Boot b = {};
        int r;

        r = boot_detect(p->root, &b);
        if (r < 0)
                return phase_fail(p, r, "Look at /boot", "Cannot tell what starts this machine");
        switch (b.loader) {
        case BOOT_LOADER_GRUB:
                return iommu_grub(p, u, firmware, override, words);
        case BOOT_LOADER_SYSTEMD:
                return bootentry_iommu(p, u, b.partition, firmware, override);
        default:
                return phase_fail(
                                p, -EOPNOTSUPP,
                                "It is neither GRUB nor systemd-boot with loader entries, so this is yours: add "
                                "the words to the kernel command line, restart, and start "
                                "gpuvm-bootstrap.target again. Nothing was changed",
                                "Cannot add '%s' to the command line of this machine's boot loader",
                                boot_iommu_words(firmware));
        }
}
