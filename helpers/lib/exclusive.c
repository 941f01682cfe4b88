/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "exclusive.h"
#include "child.h"
#include "claims.h"
#include "early.h"
#include "fs.h"
#include "initramfs.h"
#include "keep.h"
#include "modeset.h"
#include "module.h"
#include "nodes.h"
#include "vfio.h"

#define EXCLUSIVE_DIR RUN_DIR "/exclusive"
#define TRIED_DIR     RUN_DIR "/tried"

enum { RELOAD_TIMEOUT_SEC = 30 };

/* As text. */
static int presence(const Phase *p, const PciDevice *d, char **ret) {
        uint64_t number;
        int r = pci_read_presence(p->root, d, &number);

        return r < 0 ? r : str_printf(ret, "%llu\n", (unsigned long long) number);
}

static int note(const Phase *p, const char *directory, const PciDevice *d) {
        _cleanup_free_ char *path = NULL, *text = NULL;
        int r;

        if (p->dry_run)
                return 0;
        r = str_printf(&path, "%s/%s", directory, d->name);
        if (r >= 0)
                r = presence(p, d, &text);
        if (r >= 0)
                r = fs_write_if_changed(p->root, path, text, strlen(text), 0644);
        return MIN(r, 0);
}

/* Returns 1 if the note is about another card, 0 if not, or if nobody knows. */
static int is_another(const Phase *p, const char *directory, const PciDevice *d) {
        _cleanup_free_ char *path = NULL, *then = NULL, *now = NULL;
        int r;

        r = str_printf(&path, "%s/%s", directory, d->name);
        if (r >= 0)
                r = fs_read(p->root, path, FS_ATTR_MAX, &then, NULL);
        if (r >= 0 && !isempty(then))
                r = presence(p, d, &now);
        if (r < 0 || !now)
                return r == -ENOENT ? 0 : MIN(r, 0);
        return !streq(then, now);
}

/* Returns 1 if the rule that is in place means this card. It may be older than the configuration. */
static int is_ruled(const Phase *p, const PciDevice *d) {
        _cleanup_free_ char *rule = NULL;
        int r = fs_read(p->root, EARLY_RULE, FS_FILE_MAX, &rule, NULL);

        return r == -ENOENT ? 0 : r < 0 ? r : early_rule_means(rule, d);
}

int exclusive_begin(const GpuSwitch *s, const PciDevice *d) {
        bool exclusive = early_exclusive(s->conf, d);
        int r = exclusive ? note(s->p, TRIED_DIR, d) : is_ruled(s->p, d);

        if (r < 0 || (!exclusive && r == 0))
                return r;
        r = vfio_has(s->p, d, s->write_timeout_usec);
        if (r > 0)
                r = claims_on_vfio(s->p->root, d) ?: note(s->p, EXCLUSIVE_DIR, d);
        return MIN(r, 0);
}

int exclusive_is_new(const Phase *p, const PciDevice *d) {
        return is_another(p, TRIED_DIR, d);
}

int exclusive_remember(const Phase *p, const Conf *c, const PciDevice *d) {
        return early_exclusive(c, d) ? note(p, EXCLUSIVE_DIR, d) : 0;
}

int exclusive_remember_owner(const Phase *p, const Conf *c, const PciDevice *d, const PciDevice *owner) {
        bool before = owner->driver && nodes_is_vfio_driver(owner->driver);

        return early_exclusive(c, d) && !before ? note(p, EXCLUSIVE_DIR, owner) : 0;
}

int exclusive_is_replaced(const Phase *p, const PciDevice *d) {
        return is_another(p, EXCLUSIVE_DIR, d);
}

/* Returns 1 if it did, 0 if not. */
static int is_remembered(const Phase *p, const PciDevice *d) {
        _cleanup_free_ char *path = NULL;

        if (str_printf(&path, EXCLUSIVE_DIR "/%s", d->name) < 0)
                return -ENOMEM;
        return fs_exists(p->root, path);
}

int exclusive_is_remembered(const Phase *p, const PciBus *group) {
        int r = 0;

        for (size_t i = 0; i < group->n && r == 0; i++) {
                const PciDevice *d = &group->devices[i];

                r = pci_is_display(d) ? is_remembered(p, d) : 0;
                if (r > 0)
                        r = !is_another(p, EXCLUSIVE_DIR, d);
        }
        return r;
}

static int forget(const Phase *p, const PciDevice *d) {
        _cleanup_free_ char *path = NULL;

        if (str_printf(&path, EXCLUSIVE_DIR "/%s", d->name) < 0)
                return -ENOMEM;
        return fs_remove(p->root, path);
}

/* As it is now: another GPU of the group may have taken this one along. Returns 1 if it is away, 0 if not. */
static int is_away(const GpuSwitch *s, const PciDevice *gpu) {
        _cleanup_(pci_bus_done) PciBus bus = {};
        const PciDevice *d;
        int r;

        r = pci_scan(s->p->root, &bus);
        if (r < 0)
                return r;
        d = pci_find(&bus, gpu->bdf);
        return d ? vfio_is_away(s->p->root, &bus, d) ?: vfio_has(s->p, d, s->write_timeout_usec) : 0;
}

static int release_gpu(const GpuSwitch *s, const PciDevice *d) {
        int away, r = 0;

        /* Somebody may have given it back by hand, and the host uses it. */
        away = is_away(s, d);
        if (away < 0)
                return phase_fail(s->p, away, "Make /run/gpuvm readable", "Cannot tell who has %s", d->name);
        /* On first: the unit of one that was bound at boot may never have come up, and what is not active is
         * not stopped. */
        if (away > 0 && gpuswitch_has_units(s->p))
                r = gpuswitch_unit(s, d, true);
        if (r >= 0 && away > 0)
                r = gpuswitch_set(s, d, false);
        return r >= 0 && !s->p->dry_run ? forget(s->p, d) : r;
}

/* A group goes as a whole: what one GPU of it is to have keeps all of them. Returns 1 if one is exclusive, 0
 * if not. */
static int is_kept_by_group(const GpuSwitch *s, const PciBus *bus, const PciDevice *gpu) {
        _cleanup_(iommu_verdict_done) IommuVerdict v = {};
        int r;

        r = iommu_group_check(bus, gpu, NULL, 0, NULL, &v);
        if (r < 0 && r != -ENODEV)
                return phase_fail(s->p, r, "Look at /sys/kernel/iommu_groups", "Cannot judge the group of %s",
                                  gpu->name);
        for (size_t i = 0; i < v.n_members; i++)
                if (early_exclusive(s->conf, v.members[i]))
                        return 1;
        return early_exclusive(s->conf, gpu);
}

/* GPUs that were exclusive until the configuration changed. One that fails keeps no other. */
static int release(const GpuSwitch *s, const PciBus *bus) {
        int failed = 0;

        for (size_t i = 0; i < bus->n; i++) {
                const PciDevice *d = &bus->devices[i];
                int r;

                if (!pci_is_display(d) || is_remembered(s->p, d) <= 0)
                        continue;
                r = is_kept_by_group(s, bus, d);
                if (r == 0)
                        r = release_gpu(s, d);
                if (r < 0 && failed == 0)
                        failed = r;
        }
        return failed;
}

/* What binds exclusive GPUs at the next boot, and what udev knows of it now. */
static int prepare_boot(Phase *p, Undo *u, const Conf *c, const PciBus *bus) {
        const Child reload = {
                PHASE_CHILD(p),
                .argv = (const char *const[]){ "/usr/bin/udevadm", "control", "--reload", NULL },
                .timeout_usec = RELOAD_TIMEOUT_SEC * USEC_PER_SEC,
        };
        size_t before = phase_n_changes(p);
        int changed, stale, options, r;

        changed = early_apply(p, u, c, bus);
        if (changed < 0)
                return changed;
        /* udevd would notice by itself, at the next event but one. */
        if (phase_n_changes(p) > before && !p->dry_run) {
                r = child_run(&reload);
                if (r != 0 && r != -ENOENT)
                        phase_note(p, "udevadm control --reload failed; udevd finds the new rule by itself");
        }
        options = modeset_apply(p, u, c, bus);
        if (options < 0)
                return options;
        stale = initramfs_is_stale(p->root);
        if (stale < 0)
                return phase_fail(p, stale, "Make /var/lib/gpuvm readable",
                                  "Cannot tell what the initramfs was built with");
        if (changed == 0 && stale == 0 && options == 0)
                return 0;
        r = initramfs_update(p, u,
                             changed || stale ? "takes the early rule and vfio-pci along"
                                              : "takes the options of NVIDIA's driver along");
        if (r >= 0 && !p->dry_run && modeset_settle(p->root) < 0)
                log_debug("The next run looks into the images again");
        return MIN(r, 0);
}

/* Proves with fresh eyes that the whole group is where it should be. */
static int read_back(Phase *p, const Conf *c, const PciDevice *gpu) {
        _cleanup_(iommu_verdict_done) IommuVerdict v = {};
        _cleanup_(pci_bus_done) PciBus bus = {};
        const PciDevice *d;
        int r;

        if (p->dry_run)
                return 0;
        r = pci_scan(p->root, &bus);
        d = r < 0 ? NULL : pci_find(&bus, gpu->bdf);
        if (d)
                r = iommu_group_check(&bus, d, NULL, 0,
                                      conf_gpu_accept_siblings(c, d->name, strempty(d->path)), &v);
        if (r < 0 || !d || !vfio_is_attached(&v))
                return phase_fail(p, r, "See 'journalctl -b -u' of its unit gpuvm-vfio@ADDRESS.service",
                                  "%s or a function of its IOMMU group is not on a VFIO driver", gpu->name);
        return 0;
}

/* One that the early rule left with the host is not given away at run time either. */
static int serve_exclusive(const GpuSwitch *s, const PciBus *bus, const KeepList *keep, const PciDevice *d) {
        _cleanup_(iommu_verdict_done) IommuVerdict v = {};
        int r;

        r = iommu_group_check(bus, d, keep->items, keep->n,
                              conf_gpu_accept_siblings(s->conf, d->name, strempty(d->path)), &v);
        if (r < 0)
                return phase_fail(s->p, r, "Look at /sys/kernel/iommu_groups", "Cannot judge the group of %s",
                                  d->name);
        if (!v.viable)
                return phase_fail(s->p, 0, iommu_remedy(&v), "%s is exclusive, but %s: %s", d->name,
                                  d->driver && nodes_is_vfio_driver(d->driver)
                                                  ? "cannot be given to a VM, though VFIO has it"
                                                  : "stays with the host",
                                  strna(v.blocker));
        phase_status(s->p, "Giving GPU %s to VFIO", d->name);
        r = gpuswitch_set(s, d, true);
        if (r >= 0)
                r = read_back(s->p, s->conf, d);
        if (r < 0)
                return r;
        r = exclusive_remember(s->p, s->conf, d);
        return r < 0 ? phase_fail(s->p, r, "Make /run/gpuvm writable", "Cannot remember %s", d->name) : 0;
}

static int tell_flexible(Phase *p, const Conf *c, const PciBus *bus, const KeepList *keep,
                         const PciDevice *d) {
        _cleanup_(iommu_verdict_done) IommuVerdict v = {};
        int r;

        r = iommu_group_check(bus, d, keep->items, keep->n,
                              conf_gpu_accept_siblings(c, d->name, strempty(d->path)), &v);
        if (r < 0)
                return phase_fail(p, r, "Look at /sys/kernel/iommu_groups", "Cannot judge the group of %s",
                                  d->name);
        if (v.viable)
                phase_note(p, "GPU %s is flexible: 'systemctl start gpuvm-vfio@%s.service' gives it to VMs",
                           d->name, d->name);
        else
                phase_note(p, "GPU %s is flexible and cannot be given to a VM: %s", d->name,
                           strna(v.blocker));
        return 0;
}

/* Each GPU by its mode. One that fails does not keep the others from theirs. */
static int serve(const GpuSwitch *s, const PciBus *bus) {
        _cleanup_(keep_done) KeepList keep = {};
        int failed = 0, r;

        r = keep_find(s->p->root, bus, &keep);
        if (r < 0)
                return phase_fail(s->p, r, "Make /proc and /sys readable for it and start again",
                                  "Cannot find out which PCI devices the host itself needs");
        for (size_t i = 0; i < bus->n; i++) {
                const PciDevice *d = &bus->devices[i];

                if (early_exclusive(s->conf, d))
                        r = serve_exclusive(s, bus, &keep, d);
                else if (pci_is_nvidia_gpu(d))
                        r = tell_flexible(s->p, s->conf, bus, &keep, d);
                else
                        r = 0;
                if (r < 0 && failed == 0)
                        failed = r;
        }
        return failed;
}

/* A plan made before the restart that turns the IOMMU on is a good plan: only what comes after is not known.
 */
static bool iommu_comes(const Phase *p) {
        const char *firmware;
        size_t n_groups;

        return p->dry_run && iommu_count_groups(p->root, &n_groups) >= 0 && n_groups == 0 &&
                        iommu_firmware(p->root, &firmware) >= 0 && firmware;
}

/* Returns 0 if there are GPUs, and all that hand-overs need. */
static int check(Phase *p, const Conf *c, const PciBus *bus) {
        size_t n_gpus = 0, n_groups;
        int r;

        for (size_t i = 0; i < bus->n; i++)
                n_gpus += pci_is_nvidia_gpu(&bus->devices[i]) || early_exclusive(c, &bus->devices[i]);
        if (n_gpus == 0) {
                phase_note(p, "There is no GPU to hand over; start the bootstrap again when one is in");
                return PHASE_NOT_APPLICABLE;
        }
        r = iommu_count_groups(p->root, &n_groups);
        if (r < 0)
                return phase_fail(p, r, "Make /sys readable", "Cannot list the IOMMU groups");
        if (iommu_comes(p)) {
                phase_note(p, "The IOMMU is off: GPUs are handed over after the restart that turns it on");
                return PHASE_NOT_APPLICABLE;
        }
        if (n_groups == 0)
                return phase_fail(p, 0, "'gpuvm-preflight' says what is missing", "The IOMMU is off");
        r = module_available(p->root, "vfio-pci");
        if (r <= 0)
                return phase_fail(p, r, "Install a kernel that has it: Debian's and Ubuntu's do",
                                  "This kernel has no module vfio-pci");
        return 0;
}

int exclusive_setup(const GpuSwitch *s) {
        _cleanup_(pci_bus_done) PciBus bus = {};
        _cleanup_(undo_freep) Undo *u = NULL;
        Phase *p = s->p;
        int failed, r = 0;

        if (!s->conf->vfio) {
                phase_note(p, "Vfio=no: GPUs stay as they are");
                return PHASE_NOT_APPLICABLE;
        }
        r = pci_scan(p->root, &bus);
        if (r < 0)
                return phase_fail(p, r, "Look at /sys/bus/pci", "Cannot list the PCI devices");
        r = undo_open(p->root, p->name, &u);
        if (r < 0)
                return log_oom();
        failed = release(s, &bus);
        /* In a plan, what comes with the IOMMU is told by the phase that turns it on. */
        if (!iommu_comes(p))
                r = prepare_boot(p, u, s->conf, &bus);
        if (r >= 0)
                r = check(p, s->conf, &bus);
        if (r == 0)
                r = serve(s, &bus);
        return failed < 0 ? failed : r;
}
