/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Of checkup: IOMMU, GPUs, their groups and drivers. */

#include "checklook.h"
#include "fs.h"
#include "gpucheck.h"
#include "known.h"
#include "nvidiacheck.h"
#include "nvidiaversion.h"
#include "parse.h"
#include "poison.h"
#include "strv.h"
#include "vfiocheck.h"

#define GIB (UINT64_C(1) << 30)

static bool is_asked(const CheckLook *l) {
        return l->c->vfio;
}

static int skip_vfio(CheckLook *l) {
        return look_add(l, FINDING_SKIP, NULL, NULL, "Vfio=no");
}

/* The first finding of preflight of that name, or NULL. */
static const Finding *find_before(const CheckLook *l, const char *name) {
        for (size_t i = 0; i < l->before.n; i++)
                if (streq(l->before.items[i].check, name))
                        return &l->before.items[i];
        return NULL;
}

/* The firmware has to offer an IOMMU; groups prove it. */
int check_firmware(CheckLook *l) {
        static const struct {
                const char *name, *table;
        } tables[] = { { "intel", "VT-d (ACPI table DMAR)" },
                       { "amd", "AMD-Vi (ACPI table IVRS)" },
                       { "arm-smmu", "SMMU (ACPI table IORT)" } };
        const Facts *f = &l->facts;

        if (!is_asked(l))
                return skip_vfio(l);
        for (size_t i = 0; i < ELEMENTSOF(tables); i++)
                if (streq_ptr(f->iommu_firmware, tables[i].name))
                        return look_add(l, FINDING_OK, NULL, NULL, "offers %s", tables[i].table);
        if (f->iommu_groups > 0)
                return look_add(l, FINDING_OK, NULL, NULL, "offers an IOMMU");
        return look_take(l, &l->before, "iommu", FINDING_FAIL);
}

/* What preflight has no objection to may still have to be done, with another kernel. */
int check_kernel(CheckLook *l) {
        const Facts *f = &l->facts;
        const char *lacks = kernel_lacks(&f->kernel, f->iommu_groups > 0 ? NULL : f->iommu_firmware);
        const Finding *before = find_before(l, f->kernel.vfio_pci == KERNEL_NO ? "kernel" : "iommu");
        int r;

        if (!is_asked(l))
                return skip_vfio(l);
        if (!lacks)
                return look_take(l, &l->before, "kernel", FINDING_WARN);
        r = look_add(l, FINDING_FAIL, f->release,
                     f->kernel_swap ? "Have the packages phase try the distribution's generic kernel."
                                     : before ? before->remedy
                                              : NULL,
                     "The running kernel was built without %s", lacks);
        if (r < 0 || !f->kernel_swap)
                return r;
        return look_phase(l, "packages");
}

int check_iommu(CheckLook *l) {
        const Finding *before = find_before(l, "iommu");
        int r;

        if (!is_asked(l))
                return skip_vfio(l);
        if (!before || (!l->facts.iommu_firmware && l->facts.iommu_groups == 0))
                return 0; /* the firmware's row has told it */
        if (l->facts.iommu_groups > 0 || before->level != FINDING_OK)
                return look_take(l, &l->before, "iommu", FINDING_FAIL);
        r = look_add(l, FINDING_FAIL, NULL, "Have the iommu phase turn it on; then the machine is restarted.",
                     "%s", before->text);
        return r < 0 ? r : look_phase(l, "iommu");
}

/* GPUs of the bus, up to NULL. Starts with i = 0. */
static const PciDevice *next_gpu(const CheckLook *l, size_t *i) {
        while (*i < l->facts.bus.n) {
                const PciDevice *d = &l->facts.bus.devices[(*i)++];

                if (pci_is_nvidia_gpu(d))
                        return d;
        }
        return NULL;
}

static int describe_gpu(CheckLook *l, const PciDevice *d) {
        uint64_t bar = gpucheck_largest_bar(d);

        return look_add(l, FINDING_OK, d->name, NULL,
                        "NVIDIA 10de:%04x (%s), %s, driver %s, largest BAR %llu %s", (unsigned) d->device,
                        gpu_arch_to_string(gpu_arch_from_device_id(d->device)),
                        gpu_mode_to_string(conf_gpu_mode(l->c, d->name, strempty(d->path))),
                        d->driver ?: "none", (unsigned long long) (bar >= GIB ? bar / GIB : bar >> 20),
                        bar >= GIB ? "GiB" : "MiB");
}

/* Of preflight's what is about none, or about a section of the configuration: the cards have rows of their
 * own. */
static int take_others(CheckLook *l) {
        int r = 0;

        for (size_t k = 0; k < l->before.n && r >= 0; k++) {
                const Finding *x = &l->before.items[k];
                Bdf b;
                bool card = x->object && bdf_parse(x->object, &b) >= 0 && pci_find(&l->facts.bus, b);

                if (streq(x->check, "gpu") && !card)
                        r = look_add(l, x->level, x->object, x->remedy, "%s", x->text);
        }
        return r;
}

int check_gpu(CheckLook *l) {
        const PciDevice *d;
        size_t i = 0;
        int r = 0;

        if (!is_asked(l))
                return skip_vfio(l);
        while (r >= 0 && (d = next_gpu(l, &i)))
                r = describe_gpu(l, d);
        if (r >= 0)
                r = take_others(l);
        STRV_FOREACH(n, l->notes)
                if (r >= 0)
                        r = look_add(l, FINDING_WARN, NULL, NULL, "%s", *n);
        STRV_FOREACH(n, l->refusals)
                if (r >= 0)
                        r = look_add(l, FINDING_FAIL, NULL, KNOWN_REMEDY, "%s", *n);
        return r;
}

/* Whether it still does is the machine's to know, not a record's. A mark whose hang has passed is taken away
 * by who needs the card next. */
static int tell_stuck(CheckLook *l, const char *gpu, const Poison *p) {
        bool over = fs_is_host(l->root) && !poison_is_stuck(p);
        int r;

        if (over)
                r = look_add(l, FINDING_WARN, gpu, "Have it looked at again.", "Its driver hung: %s", p->why);
        else
                r = look_add(l, FINDING_FAIL, gpu,
                             "Stop what uses it, if that can be; only a restart of the machine ends a hang in the kernel.",
                             "Its driver hangs: %s", p->why);
        return r < 0 ? r : findings_fix(l->ret, "sudo vmctl gpu recover %s", gpu);
}

int check_stuck(CheckLook *l) {
        int r = 0;

        for (size_t i = 0; i < l->facts.bus.n && r >= 0; i++) {
                const PciDevice *d = &l->facts.bus.devices[i];
                _cleanup_(poison_done) Poison p = {};

                r = poison_find(l->root, d, &p);
                if (r > 0)
                        r = tell_stuck(l, d->name, &p);
                else if (r == -EBADMSG)
                        r = 0;
        }
        if (r >= 0 && l->e->gpus_error == -ETIMEDOUT)
                r = look_add(l, FINDING_FAIL, NULL, "See 'dmesg' for a driver that hangs, or for Xid errors.",
                             "Who uses the GPUs could not be found out in time: a driver or a process hangs");
        return r;
}

int check_vfio(CheckLook *l) {
        const PciDevice *d;
        size_t i = 0;
        int r = 0;

        if (!is_asked(l))
                return skip_vfio(l);
        if (l->facts.container && l->facts.iommu_groups == 0)
                return look_add(l, FINDING_SKIP, NULL, NULL,
                                "IOMMU groups are not to be seen in a container");
        while (r >= 0 && (d = next_gpu(l, &i))) {
                r = vfiocheck_gpu(l->c, &l->facts.bus, &l->facts.keep, d, l->ret);
                if (r > 0)
                        r = strv_extend(&l->gpus, d->name);
                if (r >= 0 && strv_contains(l->gpus, d->name) &&
                    l->ret->items[l->ret->n - 1].level == FINDING_FAIL)
                        r = look_phase(l, "vfio");
        }
        return r;
}

/* "address sizes : 46 bits physical, 48 bits virtual"; 0 where the kernel does not say. */
static unsigned physical_bits(int root) {
        static const char key[] = "address sizes";
        _cleanup_free_ char *text = NULL;
        const char *at;

        if (fs_read(root, "/proc/cpuinfo", FS_FILE_MAX, &text, NULL) < 0)
                return 0;
        at = strstr(text, key);
        if (!at)
                return 0;
        at += sizeof(key) - 1;
        return (unsigned) strtoul(at + strspn(at, " \t:"), NULL, 10);
}

/* OVMF's window for large BARs is an eighth of what the processor can address (PlatformDynamicMmioWindow() in
 * its OvmfPkg/Library/PlatformInitLib/MemDetect.c), and a VM has the host's bits. */
static int check_window(CheckLook *l, const PciDevice *d, unsigned bits) {
        uint64_t bar = gpucheck_largest_bar(d);

        if (bits < 36 || bits > 57 || bar <= UINT64_C(1) << (bits - 3))
                return 0;
        return look_add(l, FINDING_WARN, d->name,
                        "Make the BAR smaller in the firmware setup (Resizable BAR off), where it can be.",
                        "Its largest BAR has %llu GiB, and UEFI has room for %llu in a VM on a processor of %u bits",
                        (unsigned long long) (bar / GIB),
                        (unsigned long long) ((UINT64_C(1) << (bits - 3)) / GIB), bits);
}

int check_card(CheckLook *l) {
        unsigned bits = physical_bits(l->root);
        const PciDevice *d;
        size_t i = 0;
        int r = 0;

        while (is_asked(l) && r >= 0 && (d = next_gpu(l, &i))) {
                _cleanup_(findings_done) Findings found = {};

                r = gpucheck_card(&l->facts, l->c, d, &found);
                if (r >= 0)
                        r = look_take(l, &found, "gpu", FINDING_WARN);
                if (r >= 0)
                        r = check_window(l, d, bits);
        }
        return r;
}

int check_nvswitch(CheckLook *l) {
        return look_take(l, &l->before, "nvswitch", FINDING_WARN);
}

int check_claim(CheckLook *l) {
        return look_take(l, &l->before, "claim", FINDING_WARN);
}

/* The host may use what is flexible: a VM has to wait for it, that is all. */
int check_holders(CheckLook *l) {
        const PciDevice *d;
        size_t i = 0;
        int r = 0;

        if (!is_asked(l) || l->e->gpus_error == -ENODATA)
                return is_asked(l)
                                ? look_add(l, FINDING_SKIP, NULL, NULL,
                                           l->e->root == 0 ? "Who uses the GPUs is root's to see"
                                                           : "Who uses the GPUs is not part of this record")
                                : 0;
        while (r >= 0 && (d = next_gpu(l, &i))) {
                const EvidenceGpu *g = evidence_gpu(l->e, d->name);

                if (!g)
                        continue;
                r = look_add(l, FINDING_OK, d->name, NULL, "%s%s", g->owner,
                             g->held > 0 ? ": a VM gets it when they have ended" : "");
        }
        return r;
}

static bool host_uses_gpus(const CheckLook *l) {
        const PciDevice *d;
        size_t i = 0;

        while ((d = next_gpu(l, &i)))
                if (conf_gpu_mode(l->c, d->name, strempty(d->path)) != GPU_EXCLUSIVE)
                        return true;
        return false;
}

/* What the nvidia phase would meet, or that it may go. */
static int check_absent(CheckLook *l) {
        _cleanup_(findings_done) Findings found = {};
        size_t before = l->ret->n;
        int r;

        r = nvidiacheck_add(l->root, l->c, &found);
        for (size_t i = 0; i < found.n && r >= 0; i++)
                if (found.items[i].level > FINDING_SKIP)
                        r = look_add(l, FINDING_WARN, found.items[i].object, found.items[i].remedy, "%s",
                                     found.items[i].text);
        if (r < 0 || l->ret->n > before)
                return r;
        r = look_add(l, FINDING_WARN, NULL, "Have the nvidia phase install or load it.",
                     "NVIDIA's driver is not loaded: the host cannot compute on its GPUs");
        return r < 0 ? r : look_phase(l, "nvidia");
}

/* An update changes the library at once, and the module with the next restart: until then CUDA and NVML say
 * "driver/library version mismatch". */
int check_driver(CheckLook *l) {
        _cleanup_free_ char *module = NULL, *library = NULL;
        int r;

        if (!l->c->nvidia)
                return look_add(l, FINDING_SKIP, NULL, NULL, "Nvidia=no");
        if (!host_uses_gpus(l))
                return look_add(l, FINDING_OK, NULL, NULL, "none is needed: the host uses no GPU");
        if (nvidiaversion_loaded(l->root, &module) < 0)
                return check_absent(l);
        if (nvidiaversion_library(l->root, &library) < 0 || streq(module, library))
                return look_add(l, FINDING_OK, NULL, NULL, "NVIDIA's %s is loaded", module);
        r = look_add(l, FINDING_WARN, NULL,
                     "Restart the machine: the update that brought the library is not loaded yet.",
                     "NVIDIA's module is %s and its library %s: CUDA refuses that", module, library);
        return r < 0 ? r : findings_fix(l->ret, "sudo systemctl reboot");
}

int check_secure_boot(CheckLook *l) {
        return look_take(l, &l->before, "secure-boot", FINDING_WARN);
}
