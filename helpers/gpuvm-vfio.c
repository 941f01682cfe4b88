/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* gpuvm-vfio: gives GPUs to VFIO and takes them back.
 *
 * "setup" is the phase of the bootstrap: it writes what binds exclusive GPUs at boot and starts
 * gpuvm-vfio@ADDRESS.service for each of them. "attach" and "detach" are what that unit runs: it is active
 * exactly while the GPU belongs to VFIO, whoever started it. The lowest GPU's unit owns an IOMMU group; those
 * of other GPUs in the group follow it. */

#include <systemd/sd-daemon.h>

#include "bus.h"
#include "child.h"
#include "conf.h"
#include "early.h"
#include "fs.h"
#include "initramfs.h"
#include "journal.h"
#include "keep.h"
#include "module.h"
#include "parse.h"
#include "phase.h"
#include "vfio.h"

#define EXCLUSIVE_DIR     RUN_DIR "/exclusive"
#define UNIT_TIMEOUT_USEC (10 * 60 * USEC_PER_SEC)

enum { ARG_WRITE_TIMEOUT = 0x200, RELOAD_TIMEOUT_SEC = 30 };

static uint64_t arg_write_timeout;

/* Tells why a hand-over failed. Returns error. */
static int tell(Phase *p, int error, const VfioFailure *f, const char *name) {
        if (f->cause)
                return phase_fail(p, error == -EPERM || error == -EBUSY ? 0 : error, strempty(f->remedy),
                                  "%s", f->cause);
        return phase_fail(p, error, "See the lines before and 'dmesg'", "Cannot hand %s over", name);
}

/* Remembers in /run that this GPU went to VFIO because it is exclusive: should it become flexible, setup
 * takes it back, and never one that somebody attached by hand. */
static int remember(const Phase *p, const Conf *c, const PciDevice *d) {
        _cleanup_free_ char *path = NULL;
        int r;

        r = str_printf(&path, EXCLUSIVE_DIR "/%s", d->name);
        if (r < 0 || p->dry_run)
                return r;
        if (early_exclusive(c, d)) {
                r = fs_exists(p->root, path);
                return r != 0 ? r : fs_write_atomic(p->root, path, "", 0, 0644);
        }
        return 0;
}

/* Returns 1 if it did, 0 if not. */
static int is_remembered(const Phase *p, const PciDevice *d) {
        _cleanup_free_ char *path = NULL;

        if (str_printf(&path, EXCLUSIVE_DIR "/%s", d->name) < 0)
                return -ENOMEM;
        return fs_exists(p->root, path);
}

static int forget(const Phase *p, const PciDevice *d) {
        _cleanup_free_ char *path = NULL;

        if (str_printf(&path, EXCLUSIVE_DIR "/%s", d->name) < 0)
                return -ENOMEM;
        return fs_remove(p->root, path);
}

/* The GPU, and the one whose unit owns its group. Returns 1 if the GPU is there, 0 if not. */
static int find(const Phase *p, const Conf *c, PciBus *bus, Bdf bdf, const PciDevice **ret_gpu,
                const PciDevice **ret_owner) {
        _cleanup_(iommu_verdict_done) IommuVerdict v = {};
        const PciDevice *gpu;
        int r;

        r = pci_scan(p->root, bus);
        gpu = r < 0 ? NULL : pci_find(bus, bdf);
        if (!gpu)
                return r;
        r = iommu_group_check(bus, gpu, NULL, 0, conf_gpu_accept_siblings(c, gpu->name, strempty(gpu->path)),
                              &v);
        if (r < 0 && r != -ENODEV)
                return r;
        *ret_gpu = gpu;
        *ret_owner = r < 0 ? gpu : v.owner;
        return 1;
}

/* Units are for the machine that runs; a recorded one, and one without systemd, is worked on directly. */
static bool has_units(const Phase *p) {
        return fs_is_host(p->root) && sd_booted() > 0;
}

static int open_bus(Phase *p, Bus **ret) {
        int r = bus_open(ret);

        return r < 0 ? phase_fail(p, r, "Start dbus.service and try again", "Cannot talk to systemd") : 0;
}

/* Starts or stops the unit of a GPU, if it is not so. */
static int switch_unit(Phase *p, const PciDevice *d, bool on) {
        _cleanup_(bus_unit_done) BusUnit state = {};
        _cleanup_free_ char *unit = NULL;
        _cleanup_bus_ Bus *b = NULL;
        int r;

        if (str_printf(&unit, "gpuvm-vfio@%s.service", d->name) < 0)
                return log_oom();
        r = open_bus(p, &b);
        if (r < 0)
                return r;
        r = bus_unit_state(b, unit, &state);
        if (r >= 0 && streq(strempty(state.active_state), "active") == on)
                return 0;
        if (r >= 0)
                r = phase_change(p, on ? "start" : "stop", unit, "%s",
                                 on ? "the GPU belongs to VMs" : "the GPU goes back to the host");
        if (r > 0)
                r = on ? bus_start_unit(b, unit, UNIT_TIMEOUT_USEC, phase_alive, p)
                       : bus_stop_unit(b, unit, UNIT_TIMEOUT_USEC, phase_alive, p);
        if (r >= 0)
                return 0;
        return phase_fail(p, r, "Its own log has the reason: 'journalctl -b -u' and the unit's name",
                          "Cannot %s %s%s%s", on ? "start" : "stop", unit,
                          isempty(bus_message(b)) ? "" : ", ", bus_message(b));
}

static int attach(Phase *p, const Conf *c, const PciDevice *d) {
        _cleanup_(vfio_failure_done) VfioFailure failure = {};
        _cleanup_free_ char *field = NULL;
        const VfioRequest request = { d->bdf, c, arg_write_timeout };
        int r;

        p->failure_event = EVENT_GPU_REFUSED;
        r = vfio_attach(p, &request, &failure);
        if (r < 0)
                return tell(p, r, &failure, d->name);
        p->failure_event = NULL;
        if (r > 0 && !p->dry_run && str_printf(&field, "GPUVM_PCI=%s", d->name) >= 0)
                log_fields(LOG_INFO, (const char *const[]){ EVENT_GPU_ATTACHED, field, NULL },
                           "GPU %s belongs to VFIO", d->name);
        r = remember(p, c, d);
        return r < 0 ? phase_fail(p, r, "Make /run/gpuvm writable", "Cannot remember %s", d->name) : 0;
}

static int detach(Phase *p, const Conf *c, Bdf bdf, const char *name) {
        _cleanup_(vfio_failure_done) VfioFailure failure = {};
        _cleanup_free_ char *field = NULL;
        const VfioRequest request = { bdf, c, arg_write_timeout };
        int r;

        r = vfio_detach(p, &request, &failure);
        if (r < 0)
                return tell(p, r, &failure, name);
        if (r > 0 && !p->dry_run && str_printf(&field, "GPUVM_PCI=%s", name) >= 0)
                log_fields(LOG_INFO, (const char *const[]){ EVENT_GPU_DETACHED, field, NULL },
                           "GPU %s went back to the host", name);
        return 0;
}

/* Stops the unit of a GPU whose group went back. Not waited for: the job that stops it may itself wait for
 * ours. One that is just starting is about to take the group again: that is not cut. */
static int stop_follower(Phase *p, Bus *b, const PciDevice *d) {
        _cleanup_(bus_unit_done) BusUnit state = {};
        _cleanup_free_ char *unit = NULL;
        int r;

        if (str_printf(&unit, "gpuvm-vfio@%s.service", d->name) < 0)
                return -ENOMEM;
        r = bus_unit_state(b, unit, &state);
        if (r < 0 || !streq(strempty(state.active_state), "active"))
                return r;
        r = phase_change(p, "stop", unit, "its IOMMU group went back to the host");
        return r > 0 ? bus_queue_stop(b, unit) : r;
}

/* A unit of another GPU of the group that stays active is a pity, but this one has gone back all the same. */
static void stop_followers(Phase *p, const PciBus *bus, const PciDevice *owner) {
        _cleanup_bus_ Bus *b = NULL;

        for (size_t i = 0; i < bus->n; i++) {
                const PciDevice *d = &bus->devices[i];
                int r;

                if (d == owner || !pci_is_display(d) || owner->iommu_group < 0 ||
                    d->iommu_group != owner->iommu_group)
                        continue;
                r = b ? 0 : bus_open(&b);
                if (r >= 0)
                        r = stop_follower(p, b, d);
                if (r < 0)
                        phase_note(p, "Cannot stop gpuvm-vfio@%s.service, whose GPU went back as well",
                                   d->name);
        }
}

/* The group of a GPU that is not its owner goes with the owner's unit. */
static int run_attach(Phase *p, const Conf *c, Bdf bdf, const char *name) {
        _cleanup_(pci_bus_done) PciBus bus = {};
        const PciDevice *gpu = NULL, *owner = NULL;
        int r;

        r = find(p, c, &bus, bdf, &gpu, &owner);
        if (r < 0)
                return phase_fail(p, r, "Look at /sys/bus/pci", "Cannot list the PCI devices");
        if (r == 0)
                return phase_fail(p, -ENODEV, "'lspci -D' lists what there is", "There is no PCI device %s",
                                  name);
        if (owner != gpu && has_units(p)) {
                r = switch_unit(p, owner, true);
                if (r < 0)
                        return r;
        }
        return attach(p, c, gpu);
}

static int run_detach(Phase *p, const Conf *c, Bdf bdf, const char *name) {
        _cleanup_(pci_bus_done) PciBus bus = {};
        const PciDevice *gpu = NULL, *owner = NULL;
        int r;

        r = find(p, c, &bus, bdf, &gpu, &owner);
        if (r < 0)
                return phase_fail(p, r, "Look at /sys/bus/pci", "Cannot list the PCI devices");
        if (gpu && owner != gpu && has_units(p)) {
                phase_note(p, "The IOMMU group of %s belongs to gpuvm-vfio@%s.service", name, owner->name);
                return 0;
        }
        r = detach(p, c, bdf, name);
        if (r >= 0 && gpu && has_units(p))
                stop_followers(p, &bus, gpu);
        return r;
}

/* As it is now: another GPU of the group may have taken this one along. Returns 1 if it is away, 0 if not. */
static int is_away(const Phase *p, const PciDevice *gpu) {
        _cleanup_(pci_bus_done) PciBus bus = {};
        const PciDevice *d;
        int r;

        r = pci_scan(p->root, &bus);
        if (r < 0)
                return r;
        d = pci_find(&bus, gpu->bdf);
        return d ? vfio_is_away(p->root, &bus, d) : 0;
}

/* GPUs that were exclusive until the configuration changed. */
static int release(Phase *p, const Conf *c, const PciBus *bus) {
        for (size_t i = 0; i < bus->n; i++) {
                const PciDevice *d = &bus->devices[i];
                int away, r;

                if (!pci_is_display(d) || early_exclusive(c, d) || is_remembered(p, d) <= 0)
                        continue;
                /* Somebody may have given it back by hand, and the host uses it. */
                away = is_away(p, d);
                if (away < 0)
                        return phase_fail(p, away, "Make /run/gpuvm readable", "Cannot tell who has %s",
                                          d->name);
                /* On first: the unit of one that was bound at boot may never have come up, and what is not
                 * active is not stopped. */
                r = away > 0 && has_units(p) ? switch_unit(p, d, true) : 0;
                if (r >= 0 && away > 0)
                        r = has_units(p) ? switch_unit(p, d, false) : detach(p, c, d->bdf, d->name);
                if (r >= 0 && !p->dry_run)
                        r = forget(p, d);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* What binds exclusive GPUs at the next boot, and what udev knows of it now. */
static int prepare_boot(Phase *p, Undo *u, const Conf *c, const PciBus *bus) {
        const Child reload = {
                PHASE_CHILD(p),
                .argv = (const char *const[]){ "/usr/bin/udevadm", "control", "--reload", NULL },
                .timeout_usec = RELOAD_TIMEOUT_SEC * USEC_PER_SEC,
        };
        size_t before = phase_n_changes(p);
        int changed, stale, r;

        changed = early_apply(p, u, c, bus);
        if (changed < 0)
                return changed;
        /* udevd would notice by itself, at the next event but one. */
        if (phase_n_changes(p) > before && !p->dry_run) {
                r = child_run(&reload);
                if (r != 0 && r != -ENOENT)
                        phase_note(p, "udevadm control --reload failed; udevd finds the new rule by itself");
        }
        stale = initramfs_is_stale(p->root);
        if (stale < 0)
                return phase_fail(p, stale, "Make /var/lib/gpuvm readable",
                                  "Cannot tell what the initramfs was built with");
        if (changed == 0 && stale == 0)
                return 0;
        r = initramfs_update(p, u, "takes the early rule and vfio-pci along");
        return r < 0 ? r : 0;
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

static int serve_exclusive(Phase *p, const Conf *c, const PciDevice *d) {
        int r;

        phase_status(p, "Giving GPU %s to VFIO", d->name);
        r = has_units(p) ? switch_unit(p, d, true) : attach(p, c, d);
        return r < 0 ? r : read_back(p, c, d);
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
static int serve(Phase *p, const Conf *c, const PciBus *bus) {
        _cleanup_(keep_done) KeepList keep = {};
        int failed = 0, r;

        r = keep_find(p->root, bus, &keep);
        if (r < 0)
                return phase_fail(p, r, "Make /proc and /sys readable for it and start again",
                                  "Cannot find out which PCI devices the host itself needs");
        for (size_t i = 0; i < bus->n; i++) {
                const PciDevice *d = &bus->devices[i];

                if (early_exclusive(c, d))
                        r = serve_exclusive(p, c, d);
                else if (pci_is_nvidia_gpu(d))
                        r = tell_flexible(p, c, bus, &keep, d);
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

        return p->dry_run && iommu_firmware(p->root, &firmware) >= 0 && firmware;
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
        if (n_groups == 0 && iommu_comes(p)) {
                phase_note(p, "The IOMMU is off: GPUs are handed over after the restart that turns it on");
                return PHASE_NOT_APPLICABLE;
        }
        if (n_groups == 0)
                return phase_fail(p, 0, "'gpuvm-preflight' says what is missing", "The IOMMU is off");
        r = module_available(p->root, "vfio-pci");
        if (r <= 0)
                return phase_fail(
                                p, r,
                                "Install a kernel that has it: Debian's and Ubuntu's do, except for Debian's "
                                "cloud kernel",
                                "This kernel has no module vfio-pci");
        return 0;
}

static int run_setup(Phase *p, const Conf *c) {
        _cleanup_(pci_bus_done) PciBus bus = {};
        _cleanup_(undo_freep) Undo *u = NULL;
        int r;

        if (!c->vfio) {
                phase_note(p, "Vfio=no: GPUs stay as they are");
                return PHASE_NOT_APPLICABLE;
        }
        r = pci_scan(p->root, &bus);
        if (r < 0)
                return phase_fail(p, r, "Look at /sys/bus/pci", "Cannot list the PCI devices");
        r = undo_open(p->root, p->name, &u);
        if (r < 0)
                return log_oom();
        r = release(p, c, &bus);
        if (r >= 0)
                r = prepare_boot(p, u, c, &bus);
        if (r >= 0)
                r = check(p, c, &bus);
        return r != 0 ? r : serve(p, c, &bus);
}

static int parse(int value, const char *argument) {
        if (value == ARG_WRITE_TIMEOUT && parse_sec(argument, &arg_write_timeout) >= 0 &&
            arg_write_timeout > 0)
                return 0;
        log_error("--write-timeout=%s is no time span", argument);
        return -EINVAL;
}

static int run(Phase *p, int argc, char *argv[]) {
        _cleanup_(conf_done) Conf conf = {};
        bool on = argc > 0 && streq(argv[0], "attach");
        Bdf bdf;
        int r;

        if (argc > 0 && !(argc == 1 && streq(argv[0], "setup")) &&
            !(argc == 2 && (on || streq(argv[0], "detach")))) {
                log_error("Usage: gpuvm-vfio setup | attach ADDRESS | detach ADDRESS");
                return PHASE_USAGE;
        }
        if (argc == 2 && bdf_parse(argv[1], &bdf) < 0) {
                log_error("'%s' is no PCI address like 0000:01:00.0", argv[1]);
                return PHASE_USAGE;
        }
        r = conf_load_and_warn(p->root, &conf);
        if (r < 0)
                return log_oom();
        if (argc < 2)
                return run_setup(p, &conf);
        p->no_record = true;
        return on ? run_attach(p, &conf, bdf, argv[1]) : run_detach(p, &conf, bdf, argv[1]);
}

static const Helper helper = {
        .name = "gpuvm-vfio",
        .arguments = "[setup | attach ADDRESS | detach ADDRESS]",
        .summary = "Gives GPUs, each with its whole IOMMU group, to VFIO and takes them back.",
        .options_help = "     --write-timeout=SEC  Give a driver that long for one step (60)\n",
        .options = (const struct option[]){ { "write-timeout", required_argument, NULL, ARG_WRITE_TIMEOUT },
                                            {} },
        .parse = parse,
        .run = run,
};

DEFINE_HELPER(helper)
