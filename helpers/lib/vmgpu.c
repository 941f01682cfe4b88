/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "vmgpu.h"
#include "bdf.h"
#include "bus.h"
#include "fs.h"
#include "nodes.h"
#include "pci.h"
#include "stop.h"
#include "vmnext.h"
#include "vmtaken.h"

enum {
        TIMEOUT_SEC = 6 * 60, /* longer than the unit's own */
        UNIT_MAX = 64,
        AGAIN_MIN_SEC = 2, /* between two tries; each leaves some lines in the journal */
        AGAIN_MAX_SEC = 20,
};

bool vmgpu_has_units(const Phase *p) {
        return fs_is_host(p->root) && access("/run/systemd/system", F_OK) >= 0;
}

static void gpu_unit(const char *gpu, char ret[static UNIT_MAX]) {
        (void) snprintf(ret, UNIT_MAX, "gpuvm-vfio@%s.service", gpu);
}

/* One that cannot be started costs the others nothing. */
static void start_stopped(Phase *p, Bus *bus, char *const *units) {
        STRV_FOREACH(unit, units) {
                int r = phase_change(p, "start", *unit, "it was stopped for a GPU that is back");

                if (r > 0)
                        r = bus_queue_unit(bus, *unit, NULL);
                if (r < 0)
                        phase_note(p, "Cannot start %s again, which was stopped for a GPU: start it yourself",
                                   *unit);
        }
}

static int settle(Phase *p, Bus *bus, const char *machine, const char *gpu) {
        _cleanup_strv_ char **units = NULL;
        int r;

        r = vmtaken_stopped(p->root, machine, gpu, &units);
        if (r < 0)
                return r == -ENOENT ? 0 : r;
        start_stopped(p, bus, units);
        return p->dry_run ? 0 : vmtaken_forget(p->root, machine, gpu);
}

int vmgpu_settle(Phase *p, const char *gpu) {
        _cleanup_free_ char *machine = NULL;
        _cleanup_bus_ Bus *bus = NULL;
        int r;

        if (!vmgpu_has_units(p))
                return 0;
        r = vmtaken_for(p->root, gpu, &machine);
        if (r > 0)
                r = bus_open(&bus);
        if (machine && r >= 0)
                r = settle(p, bus, machine, gpu);
        return r < 0 ? phase_fail(p, r, "Remove its file in " VMTAKEN_DIR,
                                  "Cannot forget for whom %s was taken", gpu)
                     : 0;
}

/* What was begun is not left to itself. Its end is not waited for: the GPU's unit stops behind the machine's,
 * which may be the one that waits here. */
static int give_up(Bus *bus, const char *unit) {
        int r = bus_queue_stop(bus, unit);

        return r < 0 ? r : -EINTR;
}

static int start(Phase *p, Bus *bus, const char *unit) {
        uint64_t end = monotonic_usec() + TIMEOUT_SEC * USEC_PER_SEC;
        _cleanup_free_ char *job = NULL, *result = NULL;
        int r;

        phase_alive(p);
        if (stop_asked())
                return -EINTR;
        r = bus_queue_unit(bus, unit, &job);
        while (r == 0) {
                if (monotonic_usec() >= end)
                        return -ETIMEDOUT;
                if (stop_asked())
                        return give_up(bus, unit);
                phase_alive(p);
                r = bus_job_wait(bus, job, USEC_PER_SEC, &result);
        }
        return r < 0 ? r : streq(result, "done") ? 0 : -EPROTO;
}

/* Somebody bound it by hand. */
static bool is_on_vfio(int root, const char *gpu) {
        _cleanup_free_ char *driver = NULL;
        PciDevice d = {};

        (void) snprintf(d.name, sizeof(d.name), "%s", gpu);
        return bdf_parse(gpu, &d.bdf) >= 0 && pci_read_driver(root, &d, &driver) >= 0 && driver &&
                        nodes_is_vfio_driver(driver);
}

/* One that belongs to VFIO already is none of ours, unless a run before this one has taken it, for whatever
 * machine. Returns 1 if its unit has to be started. */
static int prepare(Phase *p, Bus *bus, const char *machine, const char *gpu) {
        _cleanup_(bus_unit_done) BusUnit u = {};
        char unit[UNIT_MAX];
        int r = 0;

        gpu_unit(gpu, unit);
        if (!p->dry_run)
                r = vmtaken_hand_on(p->root, machine, gpu);
        if (r >= 0)
                r = bus_unit_state(bus, unit, &u);
        if (r < 0)
                return phase_fail(p, r, "Is dbus.service running?", "Cannot look at %s", unit);
        if (streq(u.active_state, "active") && !u.has_job)
                return 0;
        r = phase_change(p, "start", unit, "for '%s'", machine);
        if (r <= 0 || is_on_vfio(p->root, gpu))
                return r;
        r = vmtaken_note(p->root, machine, gpu);
        return r < 0 ? phase_fail(p, r, "Make /run/gpuvm writable", "Cannot note that GPU %s is taken", gpu)
                     : 1;
}

/* In the unit's own words, "" if it has none: "0000:01:00.0 is in use: python3 (812)". */
static int read_refusal(Bus *bus, const char *unit, char **ret) {
        _cleanup_(bus_unit_done) BusUnit u = {};

        if (bus_unit_state(bus, unit, &u) < 0)
                return free_and_strdup(ret, "");
        return free_and_strdup(ret, strempty(u.status_text));
}

/* Returns 1, or 0 if its unit refused it: why is set then. */
static int try(Phase *p, Bus *bus, const char *machine, const char *gpu, char **ret_why) {
        char unit[UNIT_MAX];
        int r;

        gpu_unit(gpu, unit);
        phase_status(p, "Taking GPU %s", gpu);
        r = start(p, bus, unit);
        if (r == 0)
                return 1;
        if (r == -EINTR)
                return phase_fail(p, r, "Try again", "Stopped while GPU %s was being taken", gpu);
        if (r == -EPROTO)
                return read_refusal(bus, unit, ret_why) < 0 ? log_oom() : 0;
        return phase_fail(p, r, "'systemctl status' of that unit tells more",
                          "GPU %s was not handed over to '%s' by %s", gpu, machine, unit);
}

bool vmgpu_may_pass(const char *why) {
        return strstr(why, " is in use: ");
}

int vmgpu_nap(Phase *p, unsigned round) {
        unsigned sec = MIN((unsigned) AGAIN_MIN_SEC << MIN(round, 8U), (unsigned) AGAIN_MAX_SEC);
        uint64_t end = monotonic_usec() + sec * USEC_PER_SEC;

        while (monotonic_usec() < end) {
                phase_alive(p);
                if (stop_asked())
                        return phase_fail(p, EINTR, "Try again", "Stopped while waiting for a GPU");
                (void) usleep(200 * USEC_PER_MSEC);
        }
        return 0;
}

static int take(Phase *p, Bus *bus, const char *machine, const char *gpu, uint64_t until_usec) {
        for (unsigned round = 0;; round++) {
                _cleanup_free_ char *why = NULL;
                int r = try(p, bus, machine, gpu, &why);

                if (r != 0)
                        return MIN(r, 0);
                if (!vmgpu_may_pass(why) || monotonic_usec() >= until_usec)
                        return phase_fail(p, 0, "'systemctl status' of that unit tells more",
                                          "GPU %s was not handed over to '%s' by gpuvm-vfio@%s.service%s%s",
                                          gpu, machine, gpu, *why ? ": " : "", why);
                phase_status(p, "Waiting until GPU %s is idle: %s", gpu, why);
                r = vmgpu_nap(p, round);
                if (r < 0)
                        return r;
        }
}

int vmgpu_take(Phase *p, const char *machine, char *const *gpus, uint64_t wait_usec) {
        uint64_t until = monotonic_usec() + wait_usec;
        _cleanup_bus_ Bus *bus = NULL;
        _cleanup_free_ bool *wanted = NULL;
        size_t n = strv_length(gpus);
        int r = 0;

        if (!gpus || !vmgpu_has_units(p))
                return 0;
        r = bus_open(&bus);
        if (r < 0)
                return phase_fail(p, r, "Is dbus.service running?", "Cannot reach systemd");
        wanted = calloc(n + 1, sizeof(*wanted));
        if (!wanted)
                return log_oom();
        /* All are noted before one is started: the units of one group start each other. */
        for (size_t i = 0; i < n && r >= 0; i++) {
                r = prepare(p, bus, machine, gpus[i]);
                wanted[i] = r > 0;
        }
        for (size_t i = 0; i < n && r >= 0; i++)
                r = wanted[i] ? take(p, bus, machine, gpus[i], until) : 0;
        return MIN(r, 0);
}

int vmgpu_try(Phase *p, const char *machine, const char *gpu, char **ret_why) {
        _cleanup_bus_ Bus *bus = NULL;
        int r;

        if (!vmgpu_has_units(p))
                return 1;
        r = bus_open(&bus);
        if (r < 0)
                return phase_fail(p, r, "Is dbus.service running?", "Cannot reach systemd");
        r = prepare(p, bus, machine, gpu);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = try(p, bus, machine, gpu, ret_why);
        if (r == 0 && vmgpu_return(p, machine, gpu) < 0)
                return -EIO;
        return r;
}

int vmgpu_note_owner(Phase *p, const char *owner, const char *gpu) {
        _cleanup_(bus_unit_done) BusUnit u = {};
        _cleanup_free_ char *machine = NULL;
        _cleanup_bus_ Bus *bus = NULL;
        char unit[UNIT_MAX];
        int r;

        r = vmgpu_has_units(p) && !p->dry_run ? vmtaken_for(p->root, gpu, &machine) : 0;
        if (r > 0)
                r = bus_open(&bus);
        if (!machine || r < 0)
                return r;
        gpu_unit(owner, unit);
        r = bus_unit_state(bus, unit, &u);
        if (r < 0 || streq(u.active_state, "active") || is_on_vfio(p->root, owner))
                return r;
        return vmtaken_note(p->root, machine, owner);
}

static int give_back(Phase *p, Bus *bus, const char *machine, const char *gpu) {
        _cleanup_(bus_unit_done) BusUnit u = {};
        char unit[UNIT_MAX];
        int r;

        gpu_unit(gpu, unit);
        r = bus_unit_state(bus, unit, &u);
        if (r < 0)
                return r;
        if (bus_unit_is_off(&u)) /* it was never taken, or is back already */
                return settle(p, bus, machine, gpu);
        r = u.has_job ? 0 : vmnext_keep(p, bus, machine, gpu);
        if (r > 0)
                return 0;
        if (r < 0)
                log_debug("Cannot tell who has %s next: the host has", gpu);
        r = phase_change(p, "stop", unit, "'%s' is off", machine);
        return r <= 0 ? r : bus_queue_stop(bus, unit);
}

int vmgpu_give_back(Phase *p, const char *machine, char *const *gpus) {
        _cleanup_bus_ Bus *bus = NULL;
        int r = bus_open(&bus), result = MIN(r, 0);

        STRV_FOREACH(gpu, gpus) {
                r = bus ? give_back(p, bus, machine, *gpu) : 0;
                if (r < 0 && result == 0)
                        result = r;
        }
        return result < 0 ? phase_fail(p, result, "Stop their units gpuvm-vfio@ yourself",
                                       "Cannot give back the GPUs of '%s'", machine)
                          : 0;
}

/* systemd lets nobody refuse to be stopped: a unit whose GPU is in use has failed then, and starts again. */
static int stop_and_look(Phase *p, Bus *bus, const char *gpu, const char *unit) {
        _cleanup_(bus_unit_done) BusUnit u = {};
        int r;

        r = bus_stop_unit(bus, unit, TIMEOUT_SEC * USEC_PER_SEC, phase_alive, p);
        if (r >= 0 || r == -ECANCELED) /* by its own start again */
                r = bus_unit_state(bus, unit, &u);
        if (r < 0)
                return phase_fail(p, r, "'systemctl status' of that unit tells more", "Cannot stop %s", unit);
        return bus_unit_is_off(&u) ? 0
                                   : phase_fail(p, EBUSY, "'systemctl status' of that unit tells more",
                                                "GPU %s was not given back by %s%s%s", gpu, unit,
                                                isempty(u.status_text) ? "" : ": ", strempty(u.status_text));
}

int vmgpu_return(Phase *p, const char *machine, const char *gpu) {
        _cleanup_bus_ Bus *bus = NULL;
        char unit[UNIT_MAX];
        int r;

        r = vmtaken_is(p->root, machine, gpu);
        if (r == 0 || !vmgpu_has_units(p))
                return MIN(r, 0);
        if (r > 0)
                r = bus_open(&bus);
        if (r < 0)
                return phase_fail(p, r, "Stop its unit gpuvm-vfio@ yourself", "Cannot give back GPU %s", gpu);
        gpu_unit(gpu, unit);
        r = phase_change(p, "stop", unit, "'%s' does not have it any more", machine);
        if (r > 0)
                r = stop_and_look(p, bus, gpu, unit);
        if (r < 0 || p->dry_run)
                return r;
        if (bus_reset_failed(bus, unit) < 0) /* what it was about is over, and told */
                log_debug("%s had not failed", unit);
        r = settle(p, bus, machine, gpu); /* of one that was never started */
        return r < 0 ? phase_fail(p, r, "Remove its file in " VMTAKEN_DIR,
                                  "Cannot forget that GPU %s was taken", gpu)
                     : 1;
}
