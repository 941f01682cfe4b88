/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "vmgpu.h"
#include "bdf.h"
#include "bus.h"
#include "cloudinit.h"
#include "fs.h"

enum { TIMEOUT_SEC = 6 * 60 /* longer than the unit's own */, UNIT_MAX = 64 };

bool vmgpu_has_units(const Phase *p) {
        return fs_is_host(p->root) && access("/run/systemd/system", F_OK) >= 0;
}

static void gpu_unit(const char *gpu, char ret[static UNIT_MAX]) {
        (void) snprintf(ret, UNIT_MAX, "gpuvm-vfio@%s.service", gpu);
}

/* Both are names in a directory, and no paths. */
static int record_path(const char *machine, const char *gpu, char **ret) {
        Bdf b;

        if (cloudinit_check_hostname(machine) < 0 || (gpu && bdf_parse(gpu, &b) < 0))
                return -EINVAL;
        return str_printf(ret, VMGPU_DIR "/%s%s%s", machine, gpu ? "/" : "", strempty(gpu));
}

static int record(int root, const char *machine, const char *gpu) {
        _cleanup_free_ char *path = NULL;
        int r = record_path(machine, gpu, &path);

        return r < 0 ? r : fs_write_atomic(root, path, "", 0, 0644);
}

static int forget(int root, const char *machine, const char *gpu) {
        _cleanup_free_ char *path = NULL;
        int r = record_path(machine, gpu, &path);

        return r < 0 ? r : fs_remove(root, path);
}

int vmgpu_taken(int root, const char *machine, char ***ret) {
        _cleanup_strv_ char **names = NULL, **l = NULL;
        _cleanup_free_ char *path = NULL;
        int r;

        r = record_path(machine, NULL, &path);
        if (r >= 0)
                r = fs_list(root, path, &names);
        if (r < 0 && r != -ENOENT)
                return r;
        STRV_FOREACH(name, names) {
                Bdf b;

                if (bdf_parse(*name, &b) >= 0 && strv_extend(&l, *name) < 0)
                        return -ENOMEM;
        }
        *ret = TAKE_PTR(l);
        return 0;
}

static int tell_refusal(Phase *p, Bus *bus, int error, const char *machine, const char *gpu,
                        const char *unit) {
        _cleanup_(bus_unit_done) BusUnit u = {};

        if (bus_unit_state(bus, unit, &u) < 0)
                u = (BusUnit){};
        return phase_fail(p, error, "'systemctl status' of that unit tells more",
                          "GPU %s was not handed over to '%s' by %s%s%s", gpu, machine, unit,
                          isempty(u.status_text) ? "" : ": ", strempty(u.status_text));
}

/* One that belongs to VFIO already is none of ours, unless a run before this one has taken it. */
static int take(Phase *p, Bus *bus, const char *machine, const char *gpu) {
        _cleanup_(bus_unit_done) BusUnit u = {};
        char unit[UNIT_MAX];
        int r;

        gpu_unit(gpu, unit);
        r = bus_unit_state(bus, unit, &u);
        if (r < 0)
                return phase_fail(p, r, "Is dbus.service running?", "Cannot look at %s", unit);
        if (streq(u.active_state, "active") && !u.has_job)
                return 0;
        r = phase_change(p, "start", unit, "for '%s'", machine);
        if (r <= 0)
                return r;
        r = record(p->root, machine, gpu);
        if (r < 0)
                return phase_fail(p, r, "Make /run/gpuvm writable", "Cannot note that GPU %s is taken", gpu);
        phase_status(p, "Taking GPU %s", gpu);
        r = bus_start_unit(bus, unit, TIMEOUT_SEC * USEC_PER_SEC, phase_alive, p);
        return r == 0 ? 0 : tell_refusal(p, bus, MIN(r, 0), machine, gpu, unit);
}

int vmgpu_take(Phase *p, const char *machine, char *const *gpus) {
        _cleanup_bus_ Bus *bus = NULL;
        int r = 0;

        if (!gpus || !vmgpu_has_units(p))
                return 0;
        r = bus_open(&bus);
        if (r < 0)
                return phase_fail(p, r, "Is dbus.service running?", "Cannot reach systemd");
        STRV_FOREACH(gpu, gpus)
                if (r >= 0)
                        r = take(p, bus, machine, *gpu);
        return MIN(r, 0);
}

static int give_back(Phase *p, Bus *bus, const char *machine, const char *gpu) {
        char unit[UNIT_MAX];
        int r;

        gpu_unit(gpu, unit);
        r = phase_change(p, "stop", unit, "'%s' is off", machine);
        if (r <= 0)
                return r;
        r = bus_queue_stop(bus, unit);
        return r < 0 ? r : forget(p->root, machine, gpu);
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
