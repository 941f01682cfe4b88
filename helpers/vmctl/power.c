/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Power: start, stop and restart. Where systemd runs the machine's GPUs, they are handed over by their units
 * before. */

#include "bus.h"
#include "create.h"
#include "parse.h"
#include "vmctl.h"

enum { STOP_TIMEOUT_SEC = 120, GPU_TIMEOUT_SEC = 300 };

typedef struct Machine {
        VirtVm vm;
        Metadata metadata;
} Machine;

static void machine_done(Machine *m) {
        virtvm_done(&m->vm);
        metadata_done(&m->metadata);
}

static void say(const Context *c, const char *name, const char *what) {
        if (!vmctl_has(c, OPT_QUIET))
                printf("%s %s\n", name, what);
}

/* Of a GPU that goes to a guest. */
enum { UNIT_MAX = 64 };

static void gpu_unit(const char *gpu, char ret[static UNIT_MAX]) {
        (void) snprintf(ret, UNIT_MAX, "gpuvm-vfio@%s.service", gpu);
}

static int open_bus(Bus **ret) {
        int r = bus_open(ret);

        return r < 0 ? log_error_errno(r, "Cannot reach systemd: %m. Is dbus.service running?") : 0;
}

static bool has_units(Context *c) {
        return vmctl_is_local(c) && access("/run/systemd/system", F_OK) >= 0;
}

static int take_gpu(Bus *bus, const char *gpu, const char *name) {
        char unit[UNIT_MAX];
        int r;

        gpu_unit(gpu, unit);
        r = bus_start_unit(bus, unit, GPU_TIMEOUT_SEC * USEC_PER_SEC, NULL, NULL);
        if (r < 0)
                return log_error_errno(
                                r, "GPU %s was not handed over to '%s': %m. 'systemctl status %s' tells why",
                                gpu, name, unit);
        return 0;
}

/* The unit of each GPU: what is on VFIO already stays as it is. */
static int take_gpus(Context *c, const Machine *m) {
        _cleanup_bus_ Bus *bus = NULL;
        int r = 0;

        if (!m->metadata.gpus || !has_units(c))
                return 0;
        r = open_bus(&bus);
        STRV_FOREACH(gpu, m->metadata.gpus)
                if (r >= 0)
                        r = take_gpu(bus, *gpu, m->vm.name);
        return r;
}

/* One that was not active before is given back where the machine is not made after all. */
static int take_new_gpu(Bus *bus, const char *gpu, const char *name, Rollback *b) {
        _cleanup_(bus_unit_done) BusUnit state = {};
        char unit[UNIT_MAX];
        int r;

        gpu_unit(gpu, unit);
        r = bus_unit_state(bus, unit, &state);
        if (r < 0)
                return log_error_errno(r, "Cannot look at %s: %m", unit);
        if (!streq(state.active_state, "active")) {
                r = rollback_add(b, ROLLBACK_UNIT, unit);
                if (r < 0)
                        return log_error_errno(r, "Cannot record %s: %m", unit);
        }
        return take_gpu(bus, gpu, name);
}

int power_start(Context *c, const char *name, const VmGpu *const *gpus, size_t n_gpus, Rollback *b) {
        _cleanup_bus_ Bus *bus = NULL;
        int r = 0;

        if (n_gpus > 0 && has_units(c))
                r = open_bus(&bus);
        for (size_t i = 0; bus && i < n_gpus && r >= 0; i++)
                r = take_new_gpu(bus, gpus[i]->name, name, b);
        if (r < 0)
                return r;
        r = virtvm_start(c->virt, name);
        return r < 0 ? vmctl_tell(c, r, "Cannot start '%s'", name) : 0;
}

int power_stop_unit(const char *unit) {
        _cleanup_bus_ Bus *bus = NULL;
        int r = open_bus(&bus);

        if (r < 0)
                return r;
        r = bus_stop_unit(bus, unit, GPU_TIMEOUT_SEC * USEC_PER_SEC, NULL, NULL);
        return r < 0 ? log_error_errno(r, "Cannot give back the GPU of %s: %m", unit) : 0;
}

static int start(Context *c, const Machine *m) {
        const char *name = m->vm.name;
        int r;

        if (vm_state_is_on(m->vm.state)) {
                say(c, name, "is running");
                return 0;
        }
        if (vmctl_has(c, OPT_DRY_RUN)) {
                say(c, name, "would be started");
                return 0;
        }
        r = take_gpus(c, m);
        if (r < 0)
                return r;
        r = virtvm_start(c->virt, name);
        if (r < 0)
                return vmctl_tell(c, r, "Cannot start '%s'", name);
        say(c, name, "is running");
        return 0;
}

static int pull_plug(Context *c, const char *name) {
        VmState state;
        int r = virtvm_destroy(c->virt, name);

        /* It may have gone down by itself meanwhile. */
        if (r < 0 && (virtvm_state(c->virt, name, &state) < 0 || vm_state_is_on(state)))
                return vmctl_tell(c, r, "Cannot stop '%s'", name);
        return 0;
}

static int shut_down(Context *c, const char *name, uint64_t timeout_usec) {
        int r;

        r = virtvm_shutdown(c->virt, name);
        if (r < 0)
                return vmctl_tell(c, r, "Cannot ask '%s' to shut down", name);
        r = virtvm_wait_off(c->virt, name, timeout_usec, NULL, NULL);
        if (r < 0)
                return vmctl_tell(c, r, "Lost sight of '%s'", name);
        if (r == 0)
                return log_full_errno(
                                LOG_ERR, EBUSY,
                                "'%s' has been asked to shut down and has not within %llu s. It may still; "
                                "--force stops it as if its plug were pulled",
                                name, (unsigned long long) (timeout_usec / USEC_PER_SEC));
        return 0;
}

static int stop(Context *c, const Machine *m, uint64_t timeout_usec) {
        const char *name = m->vm.name;
        int r;

        if (!vm_state_is_on(m->vm.state)) {
                say(c, name, "is off");
                return 0;
        }
        if (vmctl_has(c, OPT_DRY_RUN)) {
                say(c, name, vmctl_has(c, OPT_FORCE) ? "would be stopped" : "would be shut down");
                return 0;
        }
        r = vmctl_has(c, OPT_FORCE) ? pull_plug(c, name) : shut_down(c, name, timeout_usec);
        if (r >= 0)
                say(c, name, "is off");
        return r;
}

static int read_timeout(const Context *c, uint64_t *ret_usec) {
        const char *s = vmctl_value(c, OPT_TIMEOUT);

        *ret_usec = STOP_TIMEOUT_SEC * USEC_PER_SEC;
        if (!s || parse_sec(s, ret_usec) >= 0)
                return 0;
        log_error("'%s' is no time for --timeout; '90' or '5min' would be", s);
        return -EINVAL;
}

typedef enum Act { START, STOP, RESTART } Act;

static int act_on(Context *c, const char *name, Act act, uint64_t timeout_usec) {
        _cleanup_(machine_done) Machine m = {};
        int r;

        r = vmctl_find(c, name, &m.vm, &m.metadata);
        if (r >= 0 && act != START)
                r = stop(c, &m, timeout_usec);
        if (r >= 0 && act == RESTART && !vmctl_has(c, OPT_DRY_RUN))
                m.vm.state = VM_OFF;
        if (r >= 0 && act != STOP)
                r = start(c, &m);
        return r;
}

/* Each of them, whatever became of those before; the first failure is the result. */
static int act_on_all(Context *c, char **names, Act act) {
        uint64_t timeout_usec;
        int r, result = 0;

        if (read_timeout(c, &timeout_usec) < 0)
                return VMCTL_USAGE;
        r = vmctl_connect(c);
        if (r < 0)
                return r;
        STRV_FOREACH(name, names) {
                r = act_on(c, *name, act, timeout_usec);
                if (result == 0)
                        result = r;
        }
        return result;
}

int cmd_start(Context *c, char **args) {
        return act_on_all(c, args, START);
}

int cmd_stop(Context *c, char **args) {
        return act_on_all(c, args, STOP);
}

int cmd_restart(Context *c, char **args) {
        return act_on_all(c, args, RESTART);
}
