/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* gpuvm-vfio: gives GPUs to VFIO and takes them back.
 *
 * "setup" is the phase of the bootstrap: it writes what binds exclusive GPUs at boot and starts
 * gpuvm-vfio@ADDRESS.service for each of them. "attach" and "detach" are what that unit runs: it is active
 * exactly while the GPU belongs to VFIO, whoever started it. The lowest GPU's unit owns an IOMMU group; those
 * of other GPUs in the group follow it. "settle" comes after a start that was killed. */

#include "conf.h"
#include "early.h"
#include "exclusive.h"
#include "handover.h"
#include "iommu.h"
#include "known.h"
#include "parse.h"
#include "pcigroup.h"
#include "stop.h"
#include "vmgpu.h"

enum { ARG_WRITE_TIMEOUT = 0x200 };

static uint64_t arg_write_timeout;

/* The GPU, and the one whose unit owns its group. Returns 1 if the GPU is there, 0 if not. */
static int find(const Phase *p, const Conf *c, PciBus *group, Bdf bdf, const PciDevice **ret_gpu,
                const PciDevice **ret_owner) {
        _cleanup_(iommu_verdict_done) IommuVerdict v = {};
        const PciDevice *gpu;
        int r;

        r = pcigroup_read(p->root, bdf, group);
        gpu = r < 0 ? NULL : pci_find(group, bdf);
        if (!gpu)
                return r;
        r = iommu_group_check(group, gpu, NULL, 0,
                              conf_gpu_accept_siblings(c, gpu->name, strempty(gpu->path)), &v);
        if (r < 0 && r != -ENODEV)
                return r;
        *ret_gpu = gpu;
        *ret_owner = r < 0 ? gpu : v.owner;
        return 1;
}

static int attach(const GpuSwitch *s, Bdf bdf, const char *name, PciBus *group) {
        const PciDevice *d;
        int r;

        stop_catch();
        r = gpuswitch_attach(s, bdf, name, group);
        d = r < 0 ? NULL : pci_find(group, bdf);
        if (!d)
                return r;
        r = exclusive_remember(s->p, s->conf, d);
        return r < 0 ? phase_fail(s->p, r, "Make /run/gpuvm writable", "Cannot remember %s", name) : 0;
}

/* The group of a GPU that is not its owner goes with the owner's unit. */
static int run_attach(const GpuSwitch *s, Bdf bdf, const char *name) {
        _cleanup_(pci_bus_done) PciBus group = {};
        const PciDevice *gpu = NULL, *owner = NULL;
        int r;

        r = find(s->p, s->conf, &group, bdf, &gpu, &owner);
        if (r < 0)
                return phase_fail(s->p, r, "Look at /sys/bus/pci", "Cannot list the PCI devices");
        if (r == 0)
                return phase_fail(s->p, -ENODEV, "'lspci -D' lists what there is",
                                  "There is no PCI device %s", name);
        r = exclusive_begin(s, gpu);
        if (r < 0)
                return phase_fail(s->p, r, "Make /run/gpuvm writable", "Cannot note the start of %s", name);
        if (owner != gpu && gpuswitch_has_units(s->p)) {
                r = vmgpu_note_owner(s->p, owner->name, name);
                if (r < 0)
                        return phase_fail(s->p, r, "Make /run/gpuvm writable",
                                          "Cannot note for whom %s is taken", owner->name);
                r = gpuswitch_unit(s, owner, true);
                if (r < 0)
                        return r;
                r = exclusive_remember_owner(s->p, s->conf, gpu, owner);
                if (r < 0)
                        return phase_fail(s->p, r, "Make /run/gpuvm writable", "Cannot remember %s",
                                          owner->name);
        }
        return attach(s, bdf, name, &group);
}

/* The card was pulled out and one is at its address again. That one is not given away, and what the old one
 * had is of no use. systemd refuses to start a unit for it (for the device's sake: job mode "fail") while
 * this stop is under way, so it is asked again here. Returns 1 if so. */
static int run_again(const GpuSwitch *s, const PciDevice *gpu,
                     int (*is_another)(const Phase *p, const PciDevice *d)) {
        int r;

        if (!early_exclusive(s->conf, gpu))
                return 0;
        r = is_another(s->p, gpu);
        if (r > 0 && !s->p->dry_run) {
                r = handover_forget_gone(s->p->root, gpu->bdf);
                r = r < 0 ? r : 1;
        }
        if (r < 0)
                return phase_fail(s->p, r, "Make /run/gpuvm writable", "Cannot tell which card %s is",
                                  gpu->name);
        if (r > 0)
                gpuswitch_start_again(s, gpu, "a card was put in again");
        return r;
}

/* After a card that was gone: one may have come since. */
static int look_again(const GpuSwitch *s, Bdf bdf, int (*is_another)(const Phase *p, const PciDevice *d)) {
        _cleanup_(pci_bus_done) PciBus group = {};
        const PciDevice *gpu;
        int r;

        r = pcigroup_read(s->p->root, bdf, &group);
        gpu = r < 0 ? NULL : pci_find(&group, bdf);
        return gpu ? MIN(run_again(s, gpu, is_another), 0) : 0;
}

static int run_detach(const GpuSwitch *s, Bdf bdf, const char *name) {
        _cleanup_(pci_bus_done) PciBus group = {};
        const PciDevice *gpu = NULL, *owner = NULL;
        int r;

        r = find(s->p, s->conf, &group, bdf, &gpu, &owner);
        if (r < 0)
                return phase_fail(s->p, r, "Look at /sys/bus/pci", "Cannot list the PCI devices");
        r = gpu ? run_again(s, gpu, exclusive_is_replaced) : 0;
        if (r != 0)
                return MIN(r, 0);
        if (gpu && owner != gpu && gpuswitch_has_units(s->p)) {
                phase_note(s->p, "The IOMMU group of %s belongs to gpuvm-vfio@%s.service", name, owner->name);
                return 0;
        }
        r = gpuswitch_detach(s, bdf, name, &group);
        gpu = pci_find(&group, bdf);
        /* systemd lets nobody refuse to be stopped: the unit has failed then, and the GPU is still on VFIO.
         */
        if (r == -ECANCELED && gpu)
                gpuswitch_start_again(s, gpu, "the GPU stays on VFIO");
        if (r >= 0 && gpu && gpuswitch_has_units(s->p))
                gpuswitch_stop_followers(s, &group, gpu);
        return r < 0 || gpu ? r : look_again(s, bdf, exclusive_is_replaced);
}

/* How the unit came to its end, by what systemd tells (systemd.exec(5)): $EXIT_CODE and $EXIT_STATUS are
 * those of ExecStart=, $SERVICE_RESULT is of whatever failed first. */
static bool start_was_killed(void) {
        const char *code = secure_getenv("EXIT_CODE");

        return code && !streq(code, "exited");
}

/* One that fails by itself has said so, and asked for a start where that makes sense. */
static bool stop_was_killed(void) {
        const char *result = secure_getenv("SERVICE_RESULT");

        return streq(strempty(secure_getenv("EXIT_CODE")), "exited") &&
                        streq(strempty(secure_getenv("EXIT_STATUS")), "0") && result &&
                        !streq(result, "success") && !streq(result, "exit-code");
}

/* Everything went well, as far as anybody knows. Where the GPU is on VFIO all the same, ExecStop= was not
 * run: the stop came when the start had done all and was about to end, which systemd takes for one that was
 * cut. */
static bool stop_was_late(void) {
        return streq(strempty(secure_getenv("SERVICE_RESULT")), "success") &&
                        streq(strempty(secure_getenv("EXIT_CODE")), "exited") &&
                        streq(strempty(secure_getenv("EXIT_STATUS")), "0");
}

static int settle_group(const GpuSwitch *s, Bdf bdf, const char *name, PciBus *group) {
        VfioLeft left = start_was_killed() ? VFIO_LEFT_WHOLE : 0;
        int r = exclusive_is_remembered(s->p, group);

        if (r < 0)
                return phase_fail(s->p, r, "Make /run/gpuvm readable", "Cannot tell who bound %s", name);
        if (stop_was_late())
                left = VFIO_LEFT_WHOLE | VFIO_LEFT_STOPPED;
        if (r > 0)
                left |= VFIO_LEFT_REFUSED;
        return gpuswitch_settle(s, bdf, name, group, left);
}

/* As after a stop that was refused: what is on VFIO as a whole has an active unit. */
static void start_if_whole(const GpuSwitch *s, Bdf bdf, const PciBus *group) {
        _cleanup_(iommu_verdict_done) IommuVerdict v = {};
        const PciDevice *gpu = pci_find(group, bdf);

        if (gpu &&
            iommu_group_check(group, gpu, NULL, 0,
                              conf_gpu_accept_siblings(s->conf, gpu->name, strempty(gpu->path)), &v) >= 0 &&
            v.viable && vfio_is_attached(&v))
                gpuswitch_start_again(s, gpu, "its stop was killed, and the GPU is on VFIO");
}

/* After the unit has stopped, in whatever way. The group of a GPU that is not its owner goes with the owner's
 * unit. */
static int run_settle(const GpuSwitch *s, Bdf bdf, const char *name) {
        _cleanup_(pci_bus_done) PciBus group = {};
        const PciDevice *gpu = NULL, *owner = NULL;
        bool owns;
        int r;

        if (stop_is_shutdown(s->p->root))
                return 0;
        r = find(s->p, s->conf, &group, bdf, &gpu, &owner);
        if (r < 0)
                return phase_fail(s->p, r, "Look at /sys/bus/pci", "Cannot list the PCI devices");
        owns = gpu && owner == gpu;
        r = owns ? settle_group(s, bdf, name, &group) : 0;
        if (r >= 0 && owns && stop_was_killed())
                start_if_whole(s, bdf, &group);
        /* The stop is not over as long as this runs: a card may have come since ExecStop=, or since a start
         * that was stopped. One that a start was about and failed is left alone: it would fail again, for
         * ever. */
        return r < 0 ? r : look_again(s, bdf, exclusive_is_new);
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
        _cleanup_strv_ char **notes = NULL, **refusals = NULL;
        const GpuSwitch s = { p, &conf, arg_write_timeout };
        static const struct {
                const char *verb;
                int (*run)(const GpuSwitch *s, Bdf bdf, const char *name);
        } verbs[] = { { "attach", run_attach }, { "detach", run_detach }, { "settle", run_settle } };
        size_t verb = 0;
        char name[BDF_STRING_MAX];
        Bdf bdf;
        int r;

        while (argc == 2 && verb < ELEMENTSOF(verbs) && !streq(argv[0], verbs[verb].verb))
                verb++;
        if (argc > 2 || (argc == 1 && !streq(argv[0], "setup")) || verb == ELEMENTSOF(verbs)) {
                log_error("Usage: gpuvm-vfio setup | attach ADDRESS | detach ADDRESS | settle ADDRESS");
                return PHASE_USAGE;
        }
        if (argc == 2 && bdf_parse(argv[1], &bdf) < 0) {
                log_error("'%s' is no PCI address like 0000:01:00.0", argv[1]);
                return PHASE_USAGE;
        }
        /* Two names for one GPU would be two units. */
        if (argc == 2 && verbs[verb].run == run_attach && !streq(bdf_format(bdf, name), argv[1])) {
                log_error("The address '%s' is written '%s' here: its unit is gpuvm-vfio@%s.service", argv[1],
                          name, name);
                return PHASE_USAGE;
        }
        r = conf_load_and_warn(p->root, &conf);
        if (r < 0)
                return log_oom();
        if (argc < 2) {
                r = phase_take_turn(p);
                if (r >= 0)
                        r = known_follow(p, &conf);
                return r < 0 ? r : exclusive_setup(&s);
        }
        /* A section that is in doubt means nothing here: the unit was asked for by address. */
        r = known_apply(p->root, &conf, &notes, &refusals);
        if (r < 0)
                return phase_fail(p, r, "Make " KNOWN_PATH " readable", "Cannot tell which GPUs are which");
        p->no_record = true;
        r = verbs[verb].run(&s, bdf, argv[1]);
        return r >= 0 && verbs[verb].run == run_detach && !p->dry_run ? vmgpu_settle(p, argv[1]) : r;
}

static const Helper helper = {
        .name = "gpuvm-vfio",
        .arguments = "[setup | attach|detach|settle ADDRESS]",
        .summary = "Gives GPUs, each with its whole IOMMU group, to VFIO and takes them back.",
        .options_help = "     --write-timeout=SEC  Give a driver that long for one step (60)\n",
        .options = (const struct option[]){ { "write-timeout", required_argument, NULL, ARG_WRITE_TIMEOUT },
                                            {} },
        .parse = parse,
        .run = run,
        .no_turn = true,
};

DEFINE_HELPER(helper)
