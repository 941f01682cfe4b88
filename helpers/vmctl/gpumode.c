/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Mode of a GPU: written where the configuration is, and done by the phase that gives each GPU what its mode
 * asks for. */

#include <systemd/sd-daemon.h>

#include "bus.h"
#include "fs.h"
#include "gpu.h"
#include "gpumode.h"
#include "json.h"

#define PHASE_UNIT "gpuvm-vfio.service"

/* An initramfs or two are built. */
enum { PHASE_SEC = 30 * 60, STATUS_NOT_APPLICABLE = 77 };

static const char *const at_boot[] = {
        [GPU_FLEXIBLE] = "From the next boot on the host has it, and lends it.",
        [GPU_EXCLUSIVE] = "From the next boot on it is on VFIO before a driver of the host can touch it.",
};

static bool says_more(const Context *c) {
        return !vmctl_has(c, OPT_JSON) && !vmctl_has(c, OPT_QUIET);
}

/* What would fail in the end is not begun. */
static int check(const Conf *conf, const GpuState *g, GpuMode wanted, const GpuModeChange *m) {
        const char *name = g->gpu->name, *mode = gpu_mode_to_string(wanted);

        if (m->result != wanted)
                return log_full_errno(
                                LOG_ERR, EEXIST,
                                "Something that is read after '%s' says that GPU %s is %s: take Mode= away there",
                                m->path, name, gpu_mode_to_string(m->result));
        if (!conf->vfio) {
                log_error("GPUs stay as they are by Vfio=no in gpuvm.conf: take that away first");
                return VMCTL_FAILED;
        }
        if (wanted == GPU_EXCLUSIVE && g->refused)
                return log_full_errno(LOG_ERR, EPERM, "GPU %s cannot be %s: %s", name, mode, g->refused);
        if (g->stuck)
                return log_full_errno(LOG_ERR, EBUSY,
                                      "GPU %s hangs: %s. 'vmctl gpu recover %s' tells what helps", name,
                                      g->stuck, name);
        if (wanted == GPU_FLEXIBLE && g->owner == GPU_OWNER_MACHINE)
                return log_full_errno(LOG_ERR, EBUSY, "GPU %s is in use by %s: stop that first", name,
                                      g->machine ?: "somebody through VFIO");
        return 0;
}

static void show_plan(const GpuModeChange *m) {
        if (!m->needed)
                printf("%s stays as it is\n", m->path);
        else if (m->text)
                printf("would write %s:\n%s", m->path, m->text);
        else
                printf("would remove %s\n", m->path);
        puts("would start " PHASE_UNIT);
}

/* Returns 0 once the phase has done its part, -ENOTSUP where there is no systemd to do it, or a negative
 * result; ret_why: its own words, "" for none. */
static int run_phase(int root, char **ret_why) {
        _cleanup_(bus_unit_done) BusUnit u = {};
        _cleanup_bus_ Bus *bus = NULL;
        int r;

        *ret_why = strdup("");
        if (!*ret_why)
                return -ENOMEM;
        if (!fs_is_host(root) || sd_booted() <= 0)
                return -ENOTSUP;
        r = bus_open(&bus);
        if (r >= 0)
                r = bus_start_alone(bus, PHASE_UNIT, PHASE_SEC * USEC_PER_SEC);
        if (bus && bus_unit_state(bus, PHASE_UNIT, &u) < 0)
                u = (BusUnit){};
        if (free_and_strdup(ret_why, strempty(u.status_text)) < 0)
                return -ENOMEM;
        return r >= 0 && (r > 0 || u.exit_status == STATUS_NOT_APPLICABLE) ? -ECANCELED : r;
}

static int show_json(const GpuState *g, const GpuModeChange *m, GpuMode wanted, bool done) {
        _cleanup_json_ json_object *o = json_object_new_object();

        if (json_add_text(o, "address", g->gpu->name) < 0 ||
            json_add_text(o, "was", gpu_mode_to_string(m->was)) < 0 ||
            json_add_text(o, "mode", gpu_mode_to_string(wanted)) < 0 ||
            json_add_text(o, "file", m->path) < 0 ||
            json_add(o, "changed", json_object_new_boolean(m->needed)) < 0 ||
            json_add(o, "done", json_object_new_boolean(done)) < 0)
                return log_oom();
        return json_print(o, stdout);
}

/* The mode stands, whatever the phase could do now. */
static int tell(const Context *c, int root, const GpuState *g, GpuMode wanted, int result, const char *why) {
        _cleanup_free_ char *driver = NULL;
        const char *name = g->gpu->name;

        if (result == -ENOTSUP) {
                if (says_more(c))
                        printf("Nothing was done to GPU %s: systemd does not run that machine. %s\n", name,
                               at_boot[wanted]);
                return 0;
        }
        if (result < 0)
                return log_full_errno(
                                LOG_ERR, -result,
                                "GPU %s is %s, and nothing has changed for it yet: %s. %s 'systemctl status " PHASE_UNIT
                                "' tells more; 'vmctl gpu mode' with the other mode takes it back",
                                name, gpu_mode_to_string(wanted), isempty(why) ? strerror(-result) : why,
                                at_boot[wanted]);
        if (pci_read_driver(root, g->gpu, &driver) < 0)
                driver = NULL;
        if (says_more(c))
                printf("GPU %s is %s and has %s%s now. %s\n", name, gpu_mode_to_string(wanted),
                       driver ? "the driver " : "no driver", strempty(driver), at_boot[wanted]);
        return 0;
}

static int set_mode(Context *c, int root, const Conf *conf, const GpuState *g, void *userdata) {
        _cleanup_(gpumode_done) GpuModeChange m = {};
        const GpuMode wanted = *(GpuMode *) userdata;
        _cleanup_free_ char *why = NULL;
        int r;

        r = gpumode_plan(root, g->gpu, wanted, &m);
        if (r < 0)
                return log_error_errno(r, "Cannot tell what the configuration says of GPU %s: %m",
                                       g->gpu->name);
        r = check(conf, g, wanted, &m);
        if (r != 0)
                return r;
        if (vmctl_has(c, OPT_DRY_RUN)) {
                if (vmctl_has(c, OPT_JSON))
                        return show_json(g, &m, wanted, false);
                show_plan(&m);
                return 0;
        }
        r = gpumode_apply(root, &m);
        if (r < 0)
                return log_error_errno(r, "Cannot change '%s': %m. Is /etc writable?", m.path);
        if (says_more(c) && m.needed)
                printf("%s %s; 'gpuvm-undo gpu' takes that back\n", m.text ? "Wrote" : "Removed", m.path);
        fflush(stdout);
        r = run_phase(root, &why);
        if (vmctl_has(c, OPT_JSON) && show_json(g, &m, wanted, r >= 0) < 0)
                return -EIO;
        return tell(c, root, g, wanted, r, why);
}

int cmd_gpu_mode(Context *c, char **args) {
        GpuMode wanted = GPU_FLEXIBLE;

        while (wanted <= GPU_EXCLUSIVE && !streq(gpu_mode_to_string(wanted), args[1]))
                wanted++;
        if (wanted > GPU_EXCLUSIVE) {
                log_error("'%s' is no mode: exclusive or flexible", args[1]);
                return VMCTL_USAGE;
        }
        if (!vmctl_has(c, OPT_DRY_RUN) && !vmctl_has(c, OPT_ROOT) && geteuid() != 0)
                return log_full_errno(LOG_ERR, EPERM, "The configuration is root's. Use sudo, or --dry-run");
        return gpu_of(c, args[0], set_mode, &wanted);
}
