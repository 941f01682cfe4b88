/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "kernelplan.h"
#include "boot.h"
#include "fs.h"
#include "grubmenu.h"
#include "grubplace.h"
#include "iommu.h"
#include "osrelease.h"
#include "strv.h"

void kernelplan_done(KernelPlan *plan) {
        free(plan->running);
        free(plan->kernel);
        free(plan->place);
        free(plan->obstacle);
        *plan = (KernelPlan){};
}

/* The packages that always bring the newest kernel for any machine. */
static int find_package(int root, const char **ret) {
        _cleanup_free_ char *id = NULL, *machine = NULL;
        int r;

        r = osrelease_get(root, "ID", &id);
        if (r >= 0)
                r = osrelease_machine(root, &machine);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        if (streq(id, "debian"))
                *ret = streq(machine, "aarch64") ? "linux-image-arm64" : "linux-image-amd64";
        if (streq(id, "ubuntu"))
                *ret = "linux-image-generic";
        return 0;
}

static int set_obstacle(KernelPlan *plan, const char *format, const char *value) {
        return str_printf(&plan->obstacle, format, value);
}

/* The default has to be ours to change: the first entry, as distributions have it, or what we wrote. */
static int look_at_menu(int root, KernelPlan *plan) {
        _cleanup_free_ char *menu = NULL, *value = NULL, *named = NULL;
        int r, ours;

        r = fs_read(root, GRUBMENU_CFG, FS_FILE_MAX, &menu, NULL);
        if (r < 0)
                return r == -ENOMEM ? r : set_obstacle(plan, "%s cannot be read", GRUBMENU_CFG);
        r = grubplace_find(menu, plan->running, &plan->place);
        if (r == -ENOENT)
                return set_obstacle(plan, "the boot menu has no entry of its own for %s", plan->running);
        if (r >= 0)
                r = grubplace_default(menu, &value);
        if (r < 0)
                return r == -ENOENT ? set_obstacle(plan, "%s names no default", GRUBMENU_CFG) : r;
        ours = fs_exists(root, KERNELPLAN_DROPIN);
        if (ours < 0)
                return ours;
        if (!streq(value, "0") && !ours)
                return set_obstacle(plan, "which kernel starts is set already (GRUB_DEFAULT is '%.100s')",
                                    value);
        r = grubplace_kernel(menu, value, &named);
        plan->chosen = r >= 0 && streq_ptr(named, plan->kernel);
        return r == -ENOENT ? 0 : r;
}

static int look_around(int root, KernelPlan *plan) {
        _cleanup_(boot_done) Boot b = {};
        int r;

        r = find_package(root, &plan->package);
        if (r >= 0)
                r = kernel_find(root, plan->firmware, &plan->kernel);
        if (r >= 0)
                r = boot_detect(root, &b);
        if (r < 0)
                return r;
        if (!plan->kernel && !plan->package)
                return set_obstacle(plan, "%s", "no package is known that brings one");
        return b.loader == BOOT_LOADER_GRUB ? look_at_menu(root, plan)
                                            : set_obstacle(plan, "%s", "GRUB does not start this machine");
}

int kernelplan_read(int root, KernelPlan *ret) {
        _cleanup_(kernelplan_done) KernelPlan plan = {};
        Kernel k = {};
        int r;

        r = fs_read_line(root, "/proc/sys/kernel/osrelease", &plan.running);
        if (r >= 0)
                r = iommu_firmware(root, &plan.firmware);
        if (r >= 0)
                r = kernel_read(root, plan.running, &k);
        if (r >= 0)
                plan.lacks = kernel_lacks(&k, plan.firmware);
        if (r >= 0 && plan.lacks)
                r = look_around(root, &plan);
        if (r < 0 && r != -ENOENT)
                return r;
        *ret = plan;
        plan = (KernelPlan){};
        return 0;
}

/* Both are read by a shell, as root. */
static bool is_plain(const char *s) {
        return s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_=,.:/+~>-")] ==
                        '\0';
}

int kernelplan_hold(const char *place, char **ret) {
        if (!is_plain(place))
                return -EINVAL;
        return str_printf(
                        ret,
                        "# Written by gpuvm-packages: the default stays the kernel that is known to start, until\n"
                        "# another has been tried. 'gpuvm-undo packages' takes it back.\n"
                        "GRUB_DEFAULT='%s'\n",
                        place);
}

/* GRUB's order is sort -V (version_sort() of its grub-mkconfig_lib). */
int kernelplan_choose(const char *place, const char *kernel, const char *firmware, char **ret) {
        const char *entry = strrchr(place, '>') ?: place, *release = strstr(entry, kernel),
                   *option = kernel_iommu_option(firmware);

        if (!release || !is_plain(place) || !is_plain(kernel))
                return -EINVAL;
        return str_printf(
                        ret,
                        "# Written by gpuvm-packages: the default is the newest kernel that VFIO works with.\n"
                        "# 'gpuvm-undo packages' takes it back.\n"
                        "gpuvm_newest_kernel() {\n"
                        "        newest=\n"
                        "        for kernel in $(printf '%%s\\n' /boot/vmlinuz-* | LC_ALL=C sort -V); do\n"
                        "                config=/boot/config-${kernel#/boot/vmlinuz-}\n"
                        "                if grep -qs '^CONFIG_VFIO_PCI=[ym]' \"$config\"%s%s%s; then\n"
                        "                        newest=${kernel#/boot/vmlinuz-}\n"
                        "                fi\n"
                        "        done\n"
                        "        echo \"$newest\"\n"
                        "}\n"
                        "gpuvm_kernel=$(gpuvm_newest_kernel)\n"
                        "if [ -n \"$gpuvm_kernel\" ]; then\n"
                        "        GRUB_DEFAULT=\"%.*s${gpuvm_kernel}%s\"\n"
                        "fi\n",
                        option ? " &&\n                        grep -qs '^" : "", strempty(option),
                        option ? "=[ym]' \"$config\"" : "", (int) (release - place), place,
                        release + strlen(kernel));
}
