/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Iommu: sees to it that this machine has IOMMU groups, by the kernel command line if that is what is
 * missing.
 *
 * Nothing is written when there are groups. Nothing is written, and no restart asked for, when a command line
 * cannot help: no DMAR or IVRS table, or the words are there already and the kernel still made no groups;
 * that is a switch in the firmware. What exclusive GPUs need in the initramfs goes along, so that one restart
 * does for both. */

#include "boot.h"
#include "bootfile.h"
#include "cmdline.h"
#include "conf.h"
#include "early.h"
#include "fs.h"
#include "grubcfg.h"
#include "initramfs.h"
#include "iommu.h"
#include "phase.h"
#include "reboot.h"

/* There are groups: this boot is a good one, so what was kept for a bad one may go. */
static int settle(Phase *p) {
        int r;

        r = bootfile_is_proven(p->root);
        if (r < 0)
                return phase_fail(p, r, "Remove it and try again", "Cannot read /var/lib/gpuvm/unproven");
        if (r > 0) {
                r = phase_change(p, "remove", "/boot",
                                 "the *" BOOTFILE_OLD " files: this machine has started well without them");
                if (r > 0)
                        r = bootfile_forget(p->root);
        }
        if (r >= 0 && !p->dry_run)
                r = reboot_withdraw(p->root, p->name);
        return r < 0 ? phase_fail(p, r, "Make /boot and /run writable", "Cannot tidy up after the restart")
                     : 0;
}

/* Which file has the word that keeps the IOMMU off, for the message. */
static const char *find_word(int root, const char *word) {
        static const char *const files[] = {
                "/etc/default/grub",
                "/etc/kernel/cmdline",
                "/boot/grub/grub.cfg",
        };

        for (size_t i = 0; i < ELEMENTSOF(files); i++) {
                _cleanup_free_ char *text = NULL;

                if (fs_read(root, files[i], FS_FILE_MAX, &text, NULL) >= 0 && strstr(text, word))
                        return files[i];
        }
        return "the configuration of the boot loader";
}

/* Returns 0 if another command line can help; else it has been told why not. */
static int can_help(Phase *p, const Conf *conf, const char *firmware, char *const *words) {
        const char *off = cmdline_iommu_off(words, firmware);
        bool intel = streq(firmware, "intel");

        if (off && !conf->override_iommu_off)
                return phase_fail(
                                p, 0,
                                "If that is not wanted any more, take it out, or set OverrideIommuOff=yes in "
                                "[Bootstrap] of /etc/gpuvm.conf; nothing was changed",
                                "An administrator keeps the IOMMU off: '%s' is on the kernel command line, from %s",
                                off, find_word(p->root, off));
        if (off || !cmdline_iommu_on(words, firmware))
                return 0;
        return phase_fail(
                        p, 0,
                        intel ? "Turn on VT-d (Intel Virtualization Technology for Directed I/O) in the firmware "
                                "setup, then start gpuvm-bootstrap.target again; another restart alone would not "
                                "help, and nothing was changed"
                              : "Turn on IOMMU or AMD-Vi (SVM is something else) in the firmware setup, then start "
                                "gpuvm-bootstrap.target again; another restart alone would not help, and nothing "
                                "was changed",
                        "The kernel made no IOMMU groups although %s",
                        intel ? "'intel_iommu=on' is on its command line"
                              : "nothing on its command line keeps AMD's IOMMU off");
}

static int find_firmware(Phase *p, const char **ret) {
        const char *firmware = NULL;
        int r;

        r = iommu_firmware(p->root, &firmware);
        if (r < 0)
                return phase_fail(p, r, "Look at /sys/firmware/acpi/tables",
                                  "Cannot read the firmware's tables");
        if (!firmware)
                return phase_fail(
                                p, 0,
                                "Turn on VT-d (Intel) or IOMMU, AMD-Vi (AMD) in the firmware setup, then start "
                                "gpuvm-bootstrap.target again. In a virtual machine the host has to give it an "
                                "IOMMU. Nothing was changed",
                                "The firmware offers no IOMMU: there is neither an ACPI DMAR nor an IVRS table");
        if (!streq(firmware, "intel") && !streq(firmware, "amd"))
                return phase_fail(
                                p, 0, "Look at the kernel's log for 'iommu'; nothing was changed",
                                "The kernel made no IOMMU groups, and no parameter is known that helps (%s)",
                                firmware);
        *ret = firmware;
        return 0;
}

/* What exclusive GPUs need in the initramfs; also finishes what a run before this one could not. It belongs
 * to step vfio, whoever is first: that is where it is taken back, with or without the IOMMU. */
static int early(Phase *p, const Conf *conf) {
        _cleanup_(pci_bus_done) PciBus bus = {};
        _cleanup_(undo_freep) Undo *u = NULL;
        int r, stale;

        if (!conf->vfio)
                return 0;
        r = pci_scan(p->root, &bus);
        if (r < 0)
                return phase_fail(p, r, "Look at /sys/bus/pci", "Cannot list the PCI devices");
        r = undo_open(p->root, "vfio", &u);
        if (r < 0)
                return phase_fail(p, r, "Try again", "Cannot open the undo ledger");
        r = early_apply(p, u, conf, &bus);
        if (r < 0)
                return r;
        stale = initramfs_is_stale(p->root);
        if (stale < 0)
                return phase_fail(p, stale, "Look at /var/lib/gpuvm",
                                  "Cannot tell what the initramfs was built with");
        if (r == 0 && stale == 0)
                return 0;
        r = initramfs_update(p, u, "takes the early rule and vfio-pci along");
        return r < 0 ? r : 0;
}

static int ask_for_reboot(Phase *p, const char *firmware, char *const *words) {
        int r;

        r = phase_change(p, "request", "reboot", "the kernel command line takes effect then");
        if (r <= 0)
                return r;
        /* With a word to wait for, a reboot that cannot help is never made. Where an off is overridden the
         * word may be there already. */
        if (streq(firmware, "intel") && !cmdline_iommu_off(words, firmware))
                r = reboot_request_word(p->root, p->name,
                                        "The IOMMU comes up with the new kernel command line",
                                        "intel_iommu=on");
        else
                r = reboot_request(p->root, p->name, "The IOMMU comes up with the new kernel command line");
        return r < 0 ? phase_fail(p, r, "Restart the machine yourself", "Cannot ask for a restart") : 0;
}

static int run(Phase *p, int argc, char *argv[]) {
        _cleanup_(conf_done) Conf conf = {};
        _cleanup_(undo_freep) Undo *u = NULL;
        _cleanup_strv_ char **words = NULL;
        const char *firmware = NULL;
        size_t groups = 0;
        int r;

        if (argc > 0) {
                log_error("Unexpected argument '%s'", argv[0]);
                return PHASE_USAGE;
        }
        r = conf_load_and_warn(p->root, &conf);
        if (r < 0)
                return phase_fail(p, r, "Try again", "Cannot read the configuration");
        r = iommu_count_groups(p->root, &groups);
        if (r < 0)
                return phase_fail(p, r, "Look at /sys/kernel/iommu_groups", "Cannot count the IOMMU groups");
        if (groups > 0)
                return settle(p);

        r = find_firmware(p, &firmware);
        if (r < 0)
                return r;
        r = cmdline_read(p->root, &words);
        if (r < 0)
                return phase_fail(p, r, "Mount /proc", "Cannot read the kernel command line");
        r = can_help(p, &conf, firmware, words);
        if (r < 0)
                return r;
        r = undo_open(p->root, p->name, &u);
        if (r < 0)
                return phase_fail(p, r, "Try again", "Cannot open the undo ledger");
        r = boot_iommu(p, u, firmware, conf.override_iommu_off, words);
        if (r < 0)
                return r;
        if (r == 0)
                phase_note(p, "The boot loader asks for the IOMMU already; only the restart is missing");
        r = early(p, &conf);
        if (r < 0)
                return r;
        return ask_for_reboot(p, firmware, words);
}

static const Helper helper = {
        .name = "gpuvm-iommu",
        .summary = "Put the IOMMU on the kernel command line, if this machine has no IOMMU groups.",
        .run = run,
};

DEFINE_HELPER(helper)
