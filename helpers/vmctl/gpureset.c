/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Reset and recovery of a GPU, by their units. */

#include <systemd/sd-daemon.h>

#include "bus.h"
#include "child.h"
#include "fs.h"
#include "gpu.h"
#include "json.h"

/* Longer than the units' own. */
enum { UNIT_SEC = 6 * 60, PLAN_SEC = 60, NAME_LENGTH_MAX = 64 };

/* What the unit's program would do, in its words. */
static int show_plan(const Context *c, const char *verb, const char *gpu) {
        const char *directory = vmctl_value(c, OPT_ROOT) ?: secure_getenv("GPUVM_ROOT");
        _cleanup_free_ char *helpers = NULL, *program = NULL, *option = NULL;
        _cleanup_close_ int root = fs_open_root(NULL);
        int r;

        r = root < 0 ? root : child_find_directory(&helpers);
        if (r >= 0)
                r = str_printf(&program, "%s/gpuvm-reset", helpers);
        if (r >= 0)
                r = str_printf(&option, "--root=%s", directory ?: "/");
        if (r < 0)
                return log_error_errno(r, "Cannot find the programs of gpuvm: %m");
        fflush(stdout);
        r = child_run(&(const Child){
                        .argv = (const char *const[]){ program, "--dry-run", option, verb, gpu, NULL },
                        .root = root,
                        .timeout_usec = PLAN_SEC * USEC_PER_SEC });
        if (r < 0)
                return log_error_errno(r, "Cannot run '%s': %m", program);
        return r == 0 ? 0 : VMCTL_FAILED;
}

static int show_result(const Context *c, const char *gpu, const char *text, bool done) {
        _cleanup_json_ json_object *o = NULL;

        if (!vmctl_has(c, OPT_JSON)) {
                if (done && !vmctl_has(c, OPT_QUIET))
                        printf("%s\n", text);
                return 0;
        }
        o = json_object_new_object();
        if (json_add_text(o, "address", gpu) < 0 || json_add(o, "done", json_object_new_boolean(done)) < 0 ||
            json_add_text(o, "text", text) < 0)
                return log_oom();
        return json_print(o, stdout);
}

static int run_unit(Context *c, const char *verb, const char *gpu) {
        _cleanup_(bus_unit_done) BusUnit u = {};
        _cleanup_bus_ Bus *bus = NULL;
        char unit[NAME_LENGTH_MAX];
        const char *text;
        int r;

        if (sd_booted() <= 0) {
                log_error("systemd does not run this machine, and its units do this. 'gpuvm-reset %s %s' does it without",
                          verb, gpu);
                return VMCTL_FAILED;
        }
        (void) snprintf(unit, sizeof(unit), "gpuvm-%s@%s.service", verb, gpu);
        r = bus_open(&bus);
        if (r < 0)
                return log_error_errno(r, "Cannot reach systemd: %m. Is dbus.service running?");
        r = bus_start_unit(bus, unit, UNIT_SEC * USEC_PER_SEC, NULL, NULL);
        if (bus_unit_state(bus, unit, &u) < 0)
                u = (BusUnit){};
        text = isempty(u.status_text) ? "done" : u.status_text;
        if (show_result(c, gpu, r < 0 ? strempty(u.status_text) : text, r >= 0) < 0)
                return -EIO;
        if (r >= 0)
                return 0;
        if (isempty(u.status_text))
                return log_error_errno(r, "%s has failed: %m. 'journalctl -u %s' may tell why", unit, unit);
        log_error("%s", u.status_text);
        return VMCTL_FAILED;
}

static int do_it(Context *c, _unused_ int root, _unused_ const Conf *conf, const GpuState *g,
                 void *userdata) {
        return vmctl_has(c, OPT_DRY_RUN) ? show_plan(c, userdata, g->gpu->name)
                                         : run_unit(c, userdata, g->gpu->name);
}

static int check_caller(const Context *c) {
        if (vmctl_has(c, OPT_DRY_RUN))
                return 0;
        if (vmctl_has(c, OPT_ROOT) || secure_getenv("GPUVM_ROOT")) {
                log_error("A recorded machine can be looked at (--dry-run), not changed");
                return VMCTL_USAGE;
        }
        return geteuid() == 0
                        ? 0
                        : log_full_errno(LOG_ERR, EPERM, "GPUs are reset by root. Use sudo, or --dry-run");
}

int cmd_gpu_reset(Context *c, char **args) {
        int r = check_caller(c);

        return r == 0 ? gpu_of(c, args[0], do_it, (char *) "reset") : r;
}

/* One that is not on the bus any more has its address alone. */
int cmd_gpu_recover(Context *c, char **args) {
        char name[BDF_STRING_MAX], path[NAME_LENGTH_MAX];
        int r = check_caller(c);
        Bdf b;

        if (r != 0)
                return r;
        if (bdf_parse(args[0], &b) >= 0) {
                (void) snprintf(path, sizeof(path), "/run/gpuvm/removed/%s", bdf_format(b, name));
                if (access(path, F_OK) >= 0)
                        return vmctl_has(c, OPT_DRY_RUN) ? show_plan(c, "recover", name)
                                                         : run_unit(c, "recover", name);
        }
        return gpu_of(c, args[0], do_it, (char *) "recover");
}
