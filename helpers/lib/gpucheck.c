/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gpucheck.h"
#include "fs.h"
#include "parse.h"
#include "strv.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

#define REMEDY_FIRMWARE                                                                                          \
        "Turn the IOMMU on in the firmware setup: VT-d on Intel, AMD-Vi (often just \"IOMMU\") on AMD, SMMU on " \
        "arm64. A virtual machine needs a virtual IOMMU from its hypervisor."

#define OTHER_KERNEL "; the packages phase tries the distribution's generic one, with one reboot"

static const char *kernel_remedy(const Facts *f) {
        bool arm = streq_ptr(f->machine, "aarch64");

        if (streq_ptr(f->os_id, "ubuntu"))
                return "Install linux-generic, have the boot loader start it, and restart.";
        return arm ? "Install linux-image-arm64, have the boot loader start it, and restart."
                   : "Install linux-image-amd64, have the boot loader start it, and restart.";
}

static int judge_kernel(const Facts *f, Findings *l) {
        if (f->kernel.vfio_pci == KERNEL_NO && f->kernel_swap)
                return findings_add(l, FINDING_OK, "kernel", f->release, NULL,
                                    "The kernel was built without VFIO (CONFIG_VFIO_PCI)" OTHER_KERNEL);
        if (f->kernel.vfio_pci == KERNEL_NO)
                return findings_add(l, FINDING_FAIL, "kernel", f->release, kernel_remedy(f),
                                    "The kernel was built without VFIO (CONFIG_VFIO_PCI)");
        if (f->release && strstr(f->release, "-cloud") && !f->kernel_swap)
                return findings_add(
                                l, FINDING_WARN, "kernel", f->release, kernel_remedy(f),
                                "This is the kernel for cloud guests: it has no AMD IOMMU and no graphics drivers");
        if (f->kernel.vfio_pci == KERNEL_UNKNOWN)
                return findings_add(l, FINDING_OK, "kernel", f->release, NULL,
                                    "its configuration is not in /boot; whether it has VFIO will show");
        return findings_add(l, FINDING_OK, "kernel", f->release, NULL, "has VFIO");
}

/* The word that keeps the IOMMU off, or NULL. As the kernel reads them: of several intel_iommu= the last on
 * or off counts; iommu=off and amd_iommu=off cannot be taken back by a later word. */
static const char *find_off(const Facts *f) {
        const char *off = NULL;

        STRV_FOREACH(w, f->cmdline) {
                _cleanup_strv_ char **values = NULL;
                const char *list = startswith(*w, "intel_iommu=");

                if (streq(*w, "iommu=off") || streq(*w, "amd_iommu=off"))
                        return *w;
                if (!list || strv_split(list, ",", &values) < 0 || !values)
                        continue;
                if (strv_contains(values, "off"))
                        off = *w;
                else if (strv_contains(values, "on"))
                        off = NULL;
        }
        return off;
}

static bool is_asked_for(const Facts *f) {
        STRV_FOREACH(w, f->cmdline) {
                _cleanup_strv_ char **values = NULL;
                const char *list = startswith(*w, "intel_iommu=");

                if (list && strv_split(list, ",", &values) >= 0 && values && strv_contains(values, "on"))
                        return true;
        }
        return false;
}

/* The firmware offers an IOMMU and there are no groups: who is to blame, and can the iommu phase help? */
static int judge_iommu_off(const Facts *f, const Conf *c, Findings *l) {
        bool intel = streq(f->iommu_firmware, "intel"), amd = streq(f->iommu_firmware, "amd");
        KernelOption driver = intel ? f->kernel.intel_iommu : amd ? f->kernel.amd_iommu : f->kernel.arm_smmu;
        const char *off = find_off(f);

        if (driver == KERNEL_NO && f->kernel_swap)
                return findings_add(
                                l, FINDING_OK, "iommu", NULL, NULL,
                                "The running kernel has no driver for this machine's IOMMU (%s)" OTHER_KERNEL,
                                kernel_iommu_option(f->iommu_firmware));
        if (driver == KERNEL_NO)
                return findings_add(l, FINDING_FAIL, "iommu", NULL, kernel_remedy(f),
                                    "The running kernel has no driver for this machine's IOMMU (%s)",
                                    kernel_iommu_option(f->iommu_firmware));
        if (off && !c->override_iommu_off)
                return findings_add(
                                l, FINDING_FAIL, "iommu", NULL,
                                "Take the word out of the boot configuration, or set OverrideIommuOff=yes in "
                                "/etc/gpuvm.conf.",
                                "The administrator turned the IOMMU off: '%s' is on the kernel command line",
                                off);
        if (off)
                return findings_add(l, FINDING_OK, "iommu", NULL, NULL,
                                    "off by '%s'; the iommu phase overrides that, with one reboot", off);
        /* What the kernel was told, or does by itself, did not help; telling it again will not either. */
        if ((intel && is_asked_for(f)) || (!intel && driver != KERNEL_UNKNOWN))
                return findings_add(
                                l, FINDING_FAIL, "iommu", NULL, REMEDY_FIRMWARE,
                                "The kernel found the firmware's IOMMU table and could not start the IOMMU "
                                "('journalctl -kg \"DMAR|AMD-Vi|smmu\"' may say why)");
        return findings_add(l, FINDING_OK, "iommu", NULL, NULL,
                            "off in the kernel; the iommu phase turns it on, with one reboot");
}

static int judge_iommu(const Facts *f, const Conf *c, Findings *l) {
        if (f->iommu_groups > 0)
                return findings_add(l, FINDING_OK, "iommu", NULL, NULL, "on, with %zu groups",
                                    f->iommu_groups);
        if (f->container)
                return findings_add(l, FINDING_WARN, "iommu", NULL, "Look on the host.",
                                    "No IOMMU groups are to be seen from in here");
        if (f->iommu_firmware)
                return judge_iommu_off(f, c, l);
        return findings_add(
                        l, FINDING_FAIL, "iommu", NULL, REMEDY_FIRMWARE,
                        "The firmware offers no IOMMU (no ACPI table DMAR, IVRS or IORT), so no GPU can be "
                        "passed on");
}

/* " with 0000:01:00.1, 0000:01:00.2": the others of the group that go along. */
static int format_companions(const IommuVerdict *v, const PciDevice *gpu, char **ret) {
        _cleanup_strv_ char **names = NULL;
        _cleanup_free_ char *joined = NULL;

        for (size_t i = 0; i < v->n_endpoints; i++)
                if (v->endpoints[i] != gpu && strv_extend(&names, v->endpoints[i]->name) < 0)
                        return -ENOMEM;
        joined = strv_join(names, ", ");
        if (!joined)
                return -ENOMEM;
        return str_printf(ret, "%s%s", *joined ? " with " : "", joined);
}

uint64_t gpucheck_largest_bar(const PciDevice *d) {
        uint64_t max = 0;

        for (size_t i = 0; i < ELEMENTSOF(d->bar_size); i++)
                max = MAX(max, d->bar_size[i]);
        return max;
}

/* A BAR that found no room keeps its size and has no address, or the kernel takes it out altogether
 * (reset_resource() of drivers/pci/setup-bus.c). NVIDIA's cards have the memory in BAR 1 and a third one in
 * BAR 3, or, where the registers take two, in 2 and 4: a third without the second has lost it. */
static bool lacks_room(const PciDevice *d) {
        return d->unplaced || d->n_placed < 2 || (d->bar_size[3] > 0 && d->bar_size[1] == 0) ||
                        (d->bar_size[4] > 0 && d->bar_size[2] == 0);
}

static int describe_gpu(const PciDevice *d, GpuMode mode, const char *group, Findings *l) {
        uint64_t bar = gpucheck_largest_bar(d);
        const char *arch = gpu_arch_to_string(gpu_arch_from_device_id(d->device));
        bool big = bar >= GIB;

        return findings_add(l, FINDING_OK, "gpu", d->name, NULL,
                            "NVIDIA 10de:%04x (%s), %s, driver %s, %s, largest BAR %llu %s",
                            (unsigned) d->device, arch, gpu_mode_to_string(mode), d->driver ?: "none", group,
                            (unsigned long long) (big ? bar / GIB : bar / MIB), big ? "GiB" : "MiB");
}

#define CONSENT_REMEDY                                                                                   \
        "If SSH is enough for you, name it in AcceptSiblings= of its section in gpuvm.conf; else add a " \
        "serial console (console=ttyS0) or another display."

/* Without groups yet: what would be in the way when they are there. */
static int judge_console(const Facts *f, const Conf *c, const PciDevice *d, GpuMode mode, Findings *l) {
        const IommuKeep *k = iommu_keep_find(f->keep.items, f->keep.n, d,
                                             conf_gpu_accept_siblings(c, d->name, d->path));

        if (!k || mode != GPU_EXCLUSIVE)
                return 0;
        return findings_add(l, FINDING_FAIL, "gpu", d->name, CONSENT_REMEDY,
                            "Cannot be given to a VM: it is %s", k->why);
}

/* What another kernel's groups bring to light is no reason to let its trial go by unjudged: the packages
 * phase does that, and the vfio phase refuses the GPU in its turn. */
static FindingLevel level_of_group(const Facts *f, GpuMode mode) {
        return mode == GPU_EXCLUSIVE && !f->kernel_trial ? FINDING_FAIL : FINDING_WARN;
}

static int judge_group(const Facts *f, const Conf *c, const PciDevice *d, Findings *l) {
        _cleanup_(iommu_verdict_done) IommuVerdict v = {};
        _cleanup_free_ char *companions = NULL, *group = NULL;
        GpuMode mode = conf_gpu_mode(c, d->name, d->path);
        int r;

        if (d->iommu_group < 0) {
                r = judge_console(f, c, d, mode, l);
                return r < 0 ? r : describe_gpu(d, mode, "no IOMMU group yet", l);
        }
        r = iommu_group_check(&f->bus, d, f->keep.items, f->keep.n,
                              conf_gpu_accept_siblings(c, d->name, d->path), &v);
        if (r < 0)
                return r;
        if (!v.viable)
                return findings_add(
                                l, level_of_group(f, mode), "gpu", d->name,
                                v.consent ? CONSENT_REMEDY
                                          : "Put one of the two into another slot; the firmware may also have a setting for "
                                            "ACS.",
                                "Cannot be given to a VM: %s", v.blocker);
        r = format_companions(&v, d, &companions);
        if (r >= 0)
                r = str_printf(&group, "IOMMU group %d%s", d->iommu_group, companions);
        return r < 0 ? r : describe_gpu(d, mode, group, l);
}

/* What makes trouble later although the group is fine. */
int gpucheck_card(const Facts *f, const Conf *c, const PciDevice *d, Findings *l) {
        bool exclusive = conf_gpu_mode(c, d->name, d->path) == GPU_EXCLUSIVE;
        int r = 0;

        if (lacks_room(d))
                r = findings_add(l, FINDING_WARN, "gpu", d->name,
                                 "Turn \"Above 4G Decoding\" on in the firmware setup.",
                                 "The firmware gave it no room for its memory (BARs)");
        if (r >= 0 && d->reset_method && !*d->reset_method)
                r = findings_add(
                                l, FINDING_WARN, "gpu", d->name,
                                "Restart the host between VMs that use it, if the second one does not start.",
                                "The kernel knows no way to reset it");
        if (r >= 0 && d->boot_vga && (f->framebuffer || exclusive))
                r = findings_add(
                                l, FINDING_WARN, "gpu", d->name,
                                "Have SSH or a serial console at hand, or make another display the first one in the "
                                "firmware setup.",
                                "It shows the host's console (%s), which goes dark when a VM gets it",
                                f->framebuffer ?: "boot display");
        return r;
}

static int tell_other_displays(const Facts *f, const Conf *c, Findings *l) {
        int r = 0;

        for (size_t i = 0; i < f->bus.n && r >= 0; i++) {
                const PciDevice *d = &f->bus.devices[i];

                if (pci_is_display(d) && !pci_is_nvidia_gpu(d) && !d->virtual_function)
                        r = findings_add(l, FINDING_OK, "display", d->name, NULL,
                                         "%04x:%04x, not from NVIDIA: stays with the host",
                                         (unsigned) d->vendor, (unsigned) d->device);
        }
        return r;
}

static int judge_gpus(const Facts *f, const Conf *c, Findings *l) {
        size_t gpus = 0, switches = 0;
        int r = 0;

        for (size_t i = 0; i < f->bus.n && r >= 0; i++) {
                const PciDevice *d = &f->bus.devices[i];

                switches += pci_is_nvswitch(d);
                if (!pci_is_nvidia_gpu(d))
                        continue;
                gpus++;
                r = judge_group(f, c, d, l);
                if (r >= 0)
                        r = gpucheck_card(f, c, d, l);
        }
        if (r >= 0 && gpus == 0)
                r = findings_add(
                                l, f->container ? FINDING_WARN : FINDING_FAIL, "gpu", NULL,
                                "Put the card in, or set Vfio=no in /etc/gpuvm.conf to make a host for VMs without "
                                "GPUs now; with the card there, start the bootstrap again.",
                                "There is no NVIDIA GPU on the PCI bus");
        if (r >= 0 && switches > 0)
                r = findings_add(
                                l, FINDING_WARN, "nvswitch", NULL,
                                "Give a VM all GPUs of the board with the switches, or run NVIDIA's fabric manager for "
                                "shared NVSwitch on the host.",
                                "NVSwitches (%zu) join the GPUs: one without its fabric may not start CUDA",
                                switches);
        return r;
}

static bool names_gpu(const Facts *f, const char *address, const char *path_or_ids) {
        for (size_t i = 0; i < f->bus.n; i++) {
                const PciDevice *d = &f->bus.devices[i];
                char id[] = "10de:ffff";

                if (!pci_is_nvidia_gpu(d))
                        continue;
                (void) snprintf(id, sizeof(id), "10de:%04x", (unsigned) d->device);
                if (strcasestr(path_or_ids, id) || streq(path_or_ids, d->name) ||
                    streq_ptr(path_or_ids, d->path))
                        return true;
                /* Any function of the card. */
                if (address && strncasecmp(address, d->name, strlen(d->name) - 1) == 0)
                        return true;
        }
        return false;
}

static int judge_claims(const Facts *f, const Conf *c, Findings *l) {
        int r = 0;

        for (size_t i = 0; i < f->claims.n && r >= 0; i++) {
                const Claim *a = &f->claims.items[i];

                if (names_gpu(f, a->what, a->what))
                        r = findings_add(
                                        l, FINDING_WARN, "claim", a->source,
                                        "Leave the card to one of the two: take this out ('driverctl unset-override' "
                                        "for a file of driverctl), and make a new initramfs.",
                                        "Also binds %s to %s at boot", a->what, a->driver);
        }
        for (size_t i = 0; i < c->n_gpus && r >= 0; i++)
                if (!names_gpu(f, NULL, c->gpus[i].card ?: c->gpus[i].path))
                        r = findings_add(
                                        l, FINDING_WARN, "gpu", c->gpus[i].path,
                                        "Correct the section's name: the addresses of this machine's GPUs are above.",
                                        "The configuration has a [Gpu] section for it, and there is no such NVIDIA GPU");
        return r;
}

int gpucheck_judge(const Facts *f, const Conf *c, Findings *ret) {
        static int (*const judges[])(const Facts *f, const Conf *c, Findings *l) = {
                judge_iommu,
                judge_gpus,
                tell_other_displays,
                judge_claims,
        };
        int r;

        if (!c->vfio)
                return findings_add(ret, FINDING_OK, "vfio", NULL, NULL,
                                    "nothing is asked of IOMMU and GPUs, as Vfio=no says");
        r = judge_kernel(f, ret);
        for (size_t i = 0; i < ELEMENTSOF(judges) && r >= 0; i++)
                r = judges[i](f, c, ret);
        return r;
}
