/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "preflight.h"
#include "gpucheck.h"
#include "strv.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

/* What QEMU, libvirt and firmware images unpack to on a minimal system is 900 MiB; apt keeps the packages
 * beside them while it works. Below the first number apt fails half way, below the second a VM has no room.
 */
#define SPACE_TO_INSTALL (UINT64_C(1536) * MIB)
#define SPACE_TO_WORK    (8 * GIB)
#define SPACE_BOOT       (160 * MIB) /* an initramfs of 70 MiB, beside the one it replaces */
#define MEMORY_TO_WORK   (4 * GIB)

static bool has_word(const char *list, const char *word) {
        _cleanup_strv_ char **words = NULL;

        return list && strv_split(list, " ", &words) >= 0 && words && strv_contains(words, word);
}

static bool is_supported(const Facts *f) {
        static const char *const releases[][2] = { { "debian", "12" },
                                                   { "debian", "13" },
                                                   { "ubuntu", "24.04" } };

        for (size_t i = 0; i < ELEMENTSOF(releases); i++)
                if (streq_ptr(f->os_id, releases[i][0]) && streq_ptr(f->os_version, releases[i][1]))
                        return true;
        return false;
}

static int judge_distribution(const Facts *f, const Conf *c, Findings *l) {
        static const char remedy[] = "Use Debian 12, Debian 13 or Ubuntu 24.04.";
        static const char *const dnf[] = { "fedora", "rhel", "centos", "rocky", "almalinux", "ol", "amzn" };
        const char *name = f->os_name ?: f->os_id ?: "This system";

        for (size_t i = 0; i < ELEMENTSOF(dnf); i++)
                if (streq_ptr(f->os_id, dnf[i]) || has_word(f->os_like, dnf[i]))
                        return findings_add(l, FINDING_FAIL, "distribution", NULL, remedy,
                                            "%s installs packages with dnf, which gpuvm does not do", name);
        if (f->proxmox)
                return findings_add(l, FINDING_FAIL, "distribution", NULL,
                                    "Use Proxmox's own PCI passthrough, or gpuvm on plain Debian.",
                                    "Proxmox VE is installed: its QEMU and libvirt's exclude each other");
        if (!is_supported(f))
                return findings_add(l, FINDING_FAIL, "distribution", NULL, remedy, "%s is not supported",
                                    name);
        return findings_add(l, FINDING_OK, "distribution", NULL, NULL, "%s", name);
}

static int judge_architecture(const Facts *f, const Conf *c, Findings *l) {
        if (streq_ptr(f->machine, "x86_64") || streq_ptr(f->machine, "aarch64"))
                return findings_add(l, FINDING_OK, "architecture", NULL, NULL, "%s", f->machine);
        return findings_add(l, FINDING_FAIL, "architecture", NULL, "Use a machine of amd64 or arm64.",
                            "The processor architecture %s is not supported", strna(f->machine));
}

static int judge_surroundings(const Facts *f, const Conf *c, Findings *l) {
        if (f->container)
                return findings_add(l, FINDING_WARN, "machine", NULL,
                                    "Run gpuvm on the host; a container is good for trying it out.",
                                    "This is a container (%s): kernel, boot loader and GPUs are the host's",
                                    f->container);
        if (f->xen_dom0)
                return findings_add(l, c->kvm ? FINDING_FAIL : FINDING_WARN, "machine", NULL,
                                    "Start the plain kernel instead of Xen.",
                                    "Xen runs this machine: KVM cannot use its processor");
        if (f->virtual_machine)
                return findings_add(l, FINDING_WARN, "machine", NULL,
                                    "Its hypervisor has to give it a virtual IOMMU, the GPU and nested "
                                    "virtualisation.",
                                    "This machine is virtual itself (%s%s%s)",
                                    f->vendor ?: "of an unnamed hypervisor", f->product ? " " : "",
                                    strempty(f->product));
        return findings_add(l, FINDING_OK, "machine", NULL, NULL, "%s%s%s", f->vendor ?: "physical machine",
                            f->product ? " " : "", strempty(f->product));
}

/* On an overlay or in memory, whatever is installed is gone after the reboot. */
static int judge_root(const Facts *f, const Conf *c, Findings *l) {
        static const char *const passing[] = { "overlay", "overlayfs", "aufs", "tmpfs", "ramfs", "squashfs" };

        for (size_t i = 0; i < ELEMENTSOF(passing); i++)
                if (streq_ptr(f->root_type, passing[i]))
                        return findings_add(
                                        l, f->container ? FINDING_WARN : FINDING_FAIL, "root", "/",
                                        "Install the system to a disk, or turn overlayroot off.",
                                        "The root file system is %s: what is installed would be lost with the "
                                        "next boot",
                                        passing[i]);
        return 0;
}

static int judge_kvm(const Facts *f, const Conf *c, Findings *l) {
        bool x86 = streq_ptr(f->machine, "x86_64"), amd = streq_ptr(f->cpu_vendor, "AuthenticAMD");

        if (f->kvm_device)
                return findings_add(l, FINDING_OK, "kvm", "/dev/kvm", NULL, "KVM is there%s",
                                    f->svm                   ? " (AMD-V)"
                                                    : f->vmx ? " (VT-x)"
                                                             : "");
        if (f->container)
                return findings_add(l, FINDING_WARN, "kvm", "/dev/kvm", "Give the container the device.",
                                    "There is no KVM in here, so VMs will be slow");
        if (x86 && !f->vmx && !f->svm) {
                if (f->virtual_machine)
                        return findings_add(
                                        l, FINDING_WARN, "kvm", NULL,
                                        "Turn nested virtualisation on in its hypervisor.",
                                        "This virtual machine has no virtualisation of its own, so VMs will "
                                        "be slow");
                return findings_add(
                                l, FINDING_FAIL, "kvm", NULL,
                                amd ? "Turn SVM Mode (AMD-V) on in the firmware setup."
                                    : "Turn Intel Virtualization Technology (VT-x) on in the firmware setup.",
                                "The processor offers no virtualisation (no %s among its flags)",
                                amd ? "svm" : "vmx");
        }
        return findings_add(
                        l, FINDING_WARN, "kvm", "/dev/kvm",
                        x86 ? "Nothing, if the kvm phase can load the module; else look for VT-x or SVM in the "
                              "firmware setup."
                            : "Nothing, if the kvm phase can load the module; else start the kernel at EL2.",
                        "KVM is not loaded");
}

static int judge_hypervisor(const Facts *f, const Conf *c, Findings *l) {
        const char *name;

        if (!f->other_hypervisor)
                return 0;
        name = streq(f->other_hypervisor, "vboxdrv") ? "VirtualBox" : "VMware";
        return findings_add(
                        l, FINDING_WARN, "hypervisor", NULL,
                        "Shut its VMs down before those of gpuvm are started, or remove it.",
                        "%s's module %s is loaded: while one of its VMs runs, KVM has no use of the processor",
                        name, f->other_hypervisor);
}

static int judge_memory(const Facts *f, const Conf *c, Findings *l) {
        unsigned long long mib = f->memory / MIB;

        if (f->memory == 0)
                return 0;
        if (f->memory < MEMORY_TO_WORK)
                return findings_add(l, FINDING_WARN, "memory", NULL,
                                    "Add memory: a VM with a GPU holds all of its own, all the time.",
                                    "%llu MiB are little for a host of VMs", mib);
        return findings_add(l, FINDING_OK, "memory", NULL, NULL, "%llu MiB", mib);
}

/* Only the root file system and /var take packages; what the initramfs needs is checked again, to the byte,
 * by the phase that writes it. */
static int judge_disk(const FactsDisk *d, bool to_install, Findings *l) {
        bool boot = streq(d->path, "/boot");
        unsigned long long mib = d->free / MIB;

        if (d->total == 0 || (!d->own && !streq(d->path, "/")))
                return 0;
        if (boot && d->free < SPACE_BOOT)
                return findings_add(l, FINDING_WARN, "disk", d->path,
                                    "Remove old kernels, for instance by 'apt autoremove --purge'.",
                                    "%llu MiB are free: a new initramfs may not fit beside the old one", mib);
        if (!boot && to_install && d->free < SPACE_TO_INSTALL)
                return findings_add(l, FINDING_FAIL, "disk", d->path,
                                    "Free 2 GiB, for instance by 'apt clean' and 'apt autoremove --purge'.",
                                    "%llu MiB are free, too little to install QEMU and libvirt", mib);
        if (!boot && d->free < SPACE_TO_WORK)
                return findings_add(l, FINDING_WARN, "disk", d->path,
                                    "Make room, or set PoolPath= to another disk, before VMs are created.",
                                    "%llu MiB are free: little for the disks of VMs", mib);
        return findings_add(l, FINDING_OK, "disk", d->path, NULL, "%llu MiB free", mib);
}

static int judge_disks(const Facts *f, const Conf *c, Findings *l) {
        int r = 0;

        for (size_t i = 0; i < FACTS_DISKS && r >= 0; i++)
                r = judge_disk(&f->disks[i], c->kvm && !f->qemu, l);
        return r;
}

static int judge_packages(const Facts *f, const Conf *c, Findings *l) {
        _cleanup_free_ char *broken = strv_join(f->dpkg_broken, " ");

        if (!broken)
                return -ENOMEM;
        if (!f->has_dpkg)
                return findings_add(l, FINDING_WARN, "packages", NULL,
                                    "Restore /var/lib/dpkg/status; a copy is in /var/backups.",
                                    "There is no list of installed packages: none can be installed");
        if (f->dpkg_busy == FACTS_SOMEBODY)
                return findings_add(l, FINDING_WARN, "packages", NULL, NULL,
                                    "Another package manager is at work; the phases wait for it");
        if (f->dpkg_busy > 0)
                return findings_add(l, FINDING_WARN, "packages", NULL, NULL,
                                    "Another package manager is at work (process %u); the phases wait for it",
                                    f->dpkg_busy);
        if (*broken || f->dpkg_interrupted)
                return findings_add(l, FINDING_WARN, "packages", NULL,
                                    "Run 'dpkg --configure -a' and 'apt -f install'.",
                                    "dpkg was interrupted%s%s", *broken ? "; half installed: " : "", broken);
        return findings_add(l, FINDING_OK, "packages", NULL, NULL,
                            "dpkg is idle, and no package is half installed");
}

static int judge_programs(const Facts *f, const Conf *c, Findings *l) {
        const char *later = c->kvm ? "not installed yet; the kvm phase does that"
                                   : "not installed, as Kvm=no asks for";
        int r;

        r = findings_add(l, FINDING_OK, "qemu", NULL, NULL, "%s", f->qemu ? "QEMU is installed" : later);
        if (r >= 0)
                r = findings_add(l, FINDING_OK, "uefi", NULL, NULL, "%s",
                                 f->ovmf ? "UEFI images for VMs are installed" : later);
        if (r >= 0)
                r = findings_add(
                                l, FINDING_OK, "iso", NULL, NULL, "%s",
                                f->iso_tool ? "a program that writes ISO images is installed"
                                            : "no program that writes ISO images is installed, and none is needed");
        return r;
}

static int judge_network(const Facts *f, const Conf *c, Findings *l) {
        _cleanup_free_ char *managers = strv_join(f->network_managers, ", "),
                            *uplinks = strv_join(f->uplinks, ", ");

        if (!managers || !uplinks)
                return -ENOMEM;
        if (f->overlay_network)
                return findings_add(
                                l, c->bridge ? FINDING_FAIL : FINDING_WARN, "network", f->overlay_network,
                                "Set Bridge=no in /etc/gpuvm.conf, or let the default route leave by a network "
                                "card.",
                                "The default route leaves by an overlay network; gpuvm bridges network cards only");
        if (!*uplinks)
                return findings_add(l, FINDING_WARN, "network", NULL,
                                    "Packages that are missing need a network, or a local mirror.",
                                    "There is no default route");
        return findings_add(l, FINDING_OK, "network", NULL, NULL, "default route by %s%s%s", uplinks,
                            *managers ? ", run by " : "", managers);
}

static int judge_secure_boot(const Facts *f, const Conf *c, Findings *l) {
        if (!f->efi)
                return findings_add(l, FINDING_OK, "secure-boot", NULL, NULL, "not started by EFI");
        if (f->secure_boot < 0)
                return findings_add(l, FINDING_OK, "secure-boot", NULL, NULL, "the firmware does not say");
        return findings_add(l, FINDING_OK, "secure-boot", NULL, NULL, "%s",
                            f->secure_boot > 0 ? "on" : "off");
}

/* For the user's eyes: no configuration gives these away. */
static int tell_kept(const Facts *f, const Conf *c, Findings *l) {
        int r = 0;

        for (size_t i = 0; i < f->keep.n && r >= 0; i++) {
                char address[BDF_STRING_MAX];

                r = findings_add(l, FINDING_OK, "kept", bdf_format(f->keep.items[i].bdf, address), NULL,
                                 "stays with the host: %s", f->keep.items[i].why);
        }
        return r;
}

int preflight_judge(const Facts *f, const Conf *c, Findings *ret) {
        static int (*const judges[])(const Facts *f, const Conf *c, Findings *l) = {
                judge_distribution, judge_architecture, judge_surroundings, judge_root,     judge_kvm,
                judge_hypervisor,   judge_memory,       judge_disks,        judge_packages, judge_programs,
                judge_network,      judge_secure_boot,  gpucheck_judge,     tell_kept,
        };
        int r = 0;

        for (size_t i = 0; i < ELEMENTSOF(judges) && r >= 0; i++) {
                if ((judges[i] == judge_kvm || judges[i] == judge_hypervisor) && !c->kvm)
                        continue;
                r = judges[i](f, c, ret);
        }
        return r;
}
