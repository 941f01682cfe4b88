/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "iommucheck.h"
#include "cmdline.h"
#include "fs.h"
#include "grubcfg.h"
#include "iommu.h"

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

int iommucheck_useful(Phase *p, bool override, const char *firmware, char *const *words) {
        const char *off = cmdline_iommu_off(words, firmware);
        bool intel = streq(firmware, "intel");

        if (off && !override)
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

int iommucheck_firmware(Phase *p, const char **ret) {
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
