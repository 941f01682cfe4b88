/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <sys/statvfs.h>
#include <sys/utsname.h>

#include "cmdline.h"
#include "dpkg.h"
#include "facts.h"
#include "fs.h"
#include "kernelplan.h"
#include "osrelease.h"
#include "parse.h"
#include "proc.h"
#include "strv.h"
#include "trial.h"
#include "uplink.h"

#define SECURE_BOOT_VARIABLE "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"

void facts_done(Facts *f) {
        char **strings[] = { &f->os_id,      &f->os_like,          &f->os_version, &f->os_name,
                             &f->machine,    &f->container,        &f->vendor,     &f->product,
                             &f->cpu_vendor, &f->other_hypervisor, &f->release,    &f->framebuffer,
                             &f->root_type,  &f->overlay_network };

        for (size_t i = 0; i < ELEMENTSOF(strings); i++)
                free(*strings[i]);
        strv_free(f->cmdline);
        strv_free(f->dpkg_broken);
        strv_free(f->network_managers);
        strv_free(f->uplinks);
        pci_bus_done(&f->bus);
        keep_done(&f->keep);
        claims_done(&f->claims);
        *f = (Facts){};
}

/* The first line, or NULL if there is none to read. */
static int read_word(int root, const char *path, char **ret) {
        int r = fs_read_line(root, path, ret);

        return r == -ENOMEM ? r : 0;
}

static int read_lines(int root, const char *path, size_t max, char ***ret) {
        _cleanup_free_ char *text = NULL;
        int r;

        r = fs_read(root, path, max, &text, NULL);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        return strv_split(text, "\n", ret);
}

static int read_distribution(int root, Facts *f) {
        const struct {
                const char *field;
                char **value;
        } fields[] = {
                { "ID", &f->os_id },
                { "ID_LIKE", &f->os_like },
                { "VERSION_ID", &f->os_version },
                { "PRETTY_NAME", &f->os_name },
        };

        for (size_t i = 0; i < ELEMENTSOF(fields); i++)
                if (osrelease_get(root, fields[i].field, fields[i].value) == -ENOMEM)
                        return -ENOMEM;
        return 0;
}

/* "KEY<blanks>: VALUE" of the first processor; all are alike as far as we ask. */
static const char *cpu_value(char *const *lines, const char *key) {
        STRV_FOREACH(l, lines) {
                const char *rest = startswith(*l, key);

                if (!rest)
                        continue;
                rest += strspn(rest, " \t");
                if (*rest == ':')
                        return rest + 1 + strspn(rest + 1, " \t");
        }
        return NULL;
}

static int read_processor(int root, Facts *f) {
        _cleanup_strv_ char **lines = NULL, **flags = NULL;
        const char *vendor;
        int r;

        r = read_lines(root, "/proc/cpuinfo", FS_FILE_MAX, &lines);
        if (r < 0)
                return r;
        vendor = cpu_value(lines, "vendor_id");
        r = strv_split(strempty(cpu_value(lines, "flags")), " ", &flags);
        if (r < 0 || (vendor && !(f->cpu_vendor = strdup(vendor))))
                return -ENOMEM;
        f->vmx = flags && strv_contains(flags, "vmx");
        f->svm = flags && strv_contains(flags, "svm");
        f->virtual_machine = flags && strv_contains(flags, "hypervisor");

        r = read_word(root, "/proc/sys/kernel/arch", &f->machine);
        if (r < 0 || f->machine)
                return r;
        if (fs_is_host(root)) {
                struct utsname u;

                f->machine = uname(&u) >= 0 ? strdup(u.machine) : NULL;
        } else
                f->machine = strdup(vendor ? "x86_64" : cpu_value(lines, "CPU implementer") ? "aarch64" : "");
        return f->machine ? 0 : -ENOMEM;
}

/* A container, a virtual machine, or Xen's first domain. */
static int read_surroundings(int root, Facts *f) {
        static const struct {
                const char *path, *name;
        } marks[] = {
                { "/run/systemd/container", NULL },
                { "/run/host/container-manager", NULL },
                { "/.dockerenv", "docker" },
                { "/run/.containerenv", "podman" },
        };
        _cleanup_free_ char *xen = NULL;
        int r;

        for (size_t i = 0; i < ELEMENTSOF(marks) && !f->container; i++) {
                if (!marks[i].name)
                        r = read_word(root, marks[i].path, &f->container);
                else
                        r = fs_exists(root, marks[i].path) > 0 ? free_and_strdup(&f->container, marks[i].name)
                                                               : 0;
                if (r < 0)
                        return r;
        }
        r = read_word(root, "/sys/class/dmi/id/sys_vendor", &f->vendor);
        if (r >= 0)
                r = read_word(root, "/sys/class/dmi/id/product_name", &f->product);
        if (r >= 0)
                r = read_word(root, "/proc/xen/capabilities", &xen);
        if (r < 0)
                return r;
        f->xen_dom0 = xen && strstr(xen, "control_d");
        /* arm64 has no processor flag for it. */
        if (streq_ptr(f->machine, "aarch64") && f->vendor && streq(f->vendor, "QEMU"))
                f->virtual_machine = true;
        return 0;
}

static int read_kvm(int root, Facts *f) {
        static const char *const others[] = { "vboxdrv", "vmmon" };
        _cleanup_strv_ char **modules = NULL, **memory = NULL;
        const char *total;
        int r;

        f->kvm_device = fs_exists(root, "/dev/kvm") > 0;
        r = read_lines(root, "/proc/modules", FS_FILE_MAX, &modules);
        if (r < 0)
                return r;
        STRV_FOREACH(m, modules)
                for (size_t i = 0; i < ELEMENTSOF(others); i++) {
                        const char *rest = startswith(*m, others[i]);

                        if (rest && *rest == ' ' && free_and_strdup(&f->other_hypervisor, others[i]) < 0)
                                return -ENOMEM;
                }
        r = read_lines(root, "/proc/meminfo", FS_ATTR_MAX, &memory);
        total = r < 0 ? NULL : cpu_value(memory, "MemTotal");
        f->memory = total ? strtoull(total, NULL, 10) * 1024 : 0;
        return r;
}

/* One that cannot be read is the packages phase's to refuse. */
static bool is_trying_kernel(int root) {
        _cleanup_(trial_done) Trial t = {};

        return trial_load_from(root, TRIAL_KERNEL_PATH, &t) > 0 && t.stage >= TRIAL_STAGE_READY &&
                        t.stage < TRIAL_STAGE_LOST;
}

static int read_kernel(int root, Facts *f) {
        _cleanup_(kernelplan_done) KernelPlan plan = {};
        int r;

        r = read_word(root, "/proc/sys/kernel/osrelease", &f->release);
        if (r >= 0)
                r = cmdline_read(root, &f->cmdline);
        if (r == -ENOMEM)
                return r;
        r = f->release ? kernel_read(root, f->release, &f->kernel) : 0;
        if (r >= 0)
                r = kernelplan_read(root, &plan);
        if (r < 0)
                return r;
        f->kernel_swap = plan.lacks && !plan.obstacle;
        f->kernel_trial = is_trying_kernel(root);
        r = iommu_count_groups(root, &f->iommu_groups);
        return r < 0 ? r : iommu_firmware(root, &f->iommu_firmware);
}

/* An EFI variable is four bytes of attributes, then the value. */
static void read_secure_boot(int root, Facts *f) {
        _cleanup_free_ char *value = NULL;
        size_t size = 0;

        f->efi = fs_exists(root, "/sys/firmware/efi") > 0;
        f->secure_boot = f->efi ? -1 : 0;
        if (fs_read(root, SECURE_BOOT_VARIABLE, FS_ATTR_MAX, &value, &size) >= 0 && size == 5)
                f->secure_boot = value[4] == 1;
}

/* "0 EFI VGA": a number and the driver's name. Real GPU drivers end in "drmfb". */
static int read_framebuffer(int root, Facts *f) {
        static const char *const firmware[] = { "EFI VGA", "VESA VGA", "simple", "simpledrmdrmfb", "OFfb" };
        _cleanup_strv_ char **lines = NULL;
        int r;

        r = read_lines(root, "/proc/fb", FS_ATTR_MAX, &lines);
        STRV_FOREACH(l, lines) {
                const char *name = strchr(*l, ' ');

                for (size_t i = 0; name && i < ELEMENTSOF(firmware) && r >= 0; i++)
                        if (streq(name + 1, firmware[i]))
                                r = free_and_strdup(&f->framebuffer, name + 1);
        }
        return r;
}

/* The lock is taken by fcntl(2), so the kernel lists it: "1: POSIX ADVISORY WRITE PID MAJOR:MINOR:INODE 0
 * EOF". Asking the file itself would need root. */
static int read_dpkg_lock(int root, Facts *f) {
        _cleanup_strv_ char **locks = NULL;
        struct stat st;
        int r;

        if (fs_stat(root, "/var/lib/dpkg/lock-frontend", &st) < 0)
                return 0;
        r = read_lines(root, "/proc/locks", FS_FILE_MAX, &locks);
        STRV_FOREACH(l, locks) {
                _cleanup_strv_ char **words = NULL;
                const char *inode;
                uint64_t v;

                r = strv_split(*l, " ", &words);
                if (r < 0)
                        return r;
                inode = strv_length(words) >= 6 ? strrchr(words[5], ':') : NULL;
                if (!inode || parse_u64(inode + 1, &v) < 0 || v != st.st_ino)
                        continue;
                /* A process of another namespace shows as 0 or -1: somebody all the same. */
                if (parse_uint(words[4], INT32_MAX, &f->dpkg_busy) < 0 || f->dpkg_busy == 0)
                        f->dpkg_busy = FACTS_SOMEBODY;
        }
        return r;
}

static int read_packages(int root, Facts *f) {
        _cleanup_(dpkg_done) DpkgStatus status = {};
        int r;

        r = dpkg_read(root, &status);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        f->has_dpkg = true;
        f->dpkg_interrupted = status.interrupted;
        f->proxmox = dpkg_state(&status, "pve-manager") == PACKAGE_INSTALLED;
        for (size_t i = 0; i < status.n; i++)
                if (status.packages[i].state == PACKAGE_BROKEN) {
                        r = strv_extend(&f->dpkg_broken, status.packages[i].name);
                        if (r < 0)
                                return r;
                }
        return read_dpkg_lock(root, f);
}

static void read_programs(int root, Facts *f) {
        bool arm = streq_ptr(f->machine, "aarch64");

        f->qemu = fs_exists(root, arm ? "/usr/bin/qemu-system-aarch64" : "/usr/bin/qemu-system-x86_64") > 0;
        f->ovmf = arm ? fs_has_entry(root, "/usr/share/AAVMF", "AAVMF_CODE")
                      : fs_has_entry(root, "/usr/share/OVMF", "OVMF_CODE");
        f->iso_tool = fs_exists(root, "/usr/bin/genisoimage") > 0 ||
                        fs_exists(root, "/usr/bin/mkisofs") > 0 || fs_exists(root, "/usr/bin/xorriso") > 0;
}

/* How full disks are is not recorded: below --root=DIR it would be the disks of this machine. */
static int read_disks(int root, Facts *f) {
        static const char *const paths[FACTS_DISKS] = { "/", "/boot", "/var" };
        _cleanup_(proc_mounts_done) ProcMounts mounts = {};
        const ProcMount *top;
        int r;

        r = proc_mounts_read(root, &mounts);
        if (r < 0 && (r != -ENOENT || fs_is_host(root)))
                return r;
        top = proc_mounts_find(&mounts, "/");
        if (top && free_and_strdup(&f->root_type, top->type) < 0)
                return -ENOMEM;
        for (size_t i = 0; i < FACTS_DISKS; i++) {
                _cleanup_close_ int fd = -EBADF;
                struct statvfs v;

                f->disks[i] = (FactsDisk){ .path = paths[i], .own = proc_mounts_find(&mounts, paths[i]) };
                fd = fs_is_host(root) ? fs_open(root, paths[i], O_RDONLY | O_DIRECTORY, 0) : -EBADF;
                if (fd < 0 || fstatvfs(fd, &v) < 0)
                        continue;
                f->disks[i].total = (uint64_t) v.f_blocks * v.f_frsize;
                f->disks[i].free = (uint64_t) v.f_bavail * v.f_frsize;
        }
        return 0;
}

static int read_network(int root, Facts *f) {
        int r;

        r = uplink_managers(root, &f->network_managers);
        if (r >= 0)
                r = proc_default_interfaces(root, &f->uplinks);
        return r < 0 ? r : uplink_find_overlay(root, f->uplinks, &f->overlay_network);
}

int facts_read(int root, Facts *ret) {
        static int (*const readers[])(int root, Facts *f) = {
                read_distribution, read_processor, read_surroundings, read_kvm,     read_kernel,
                read_framebuffer,  read_packages,  read_disks,        read_network,
        };
        _cleanup_(facts_done) Facts f = {};
        int r = 0;

        for (size_t i = 0; i < ELEMENTSOF(readers) && r >= 0; i++)
                r = readers[i](root, &f);
        if (r < 0)
                return r;
        read_secure_boot(root, &f);
        read_programs(root, &f);
        r = pci_scan(root, &f.bus);
        if (r >= 0)
                r = keep_find(root, &f.bus, &f.keep);
        if (r >= 0)
                r = claims_read(root, f.cmdline, &f.claims);
        if (r < 0)
                return r;
        *ret = f;
        f = (Facts){};
        return 0;
}
