/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Power: start, stop and restart. Where systemd runs, the machine's unit starts it (gpuvm-vm.c), ends when it
 * is off, and sees to its GPUs. The guest is asked to shut down directly: its unit would pull the plug in the
 * end. */

#include "bus.h"
#include "create.h"
#include "fs.h"
#include "guestlook.h"
#include "json.h"
#include "parse.h"
#include "vmstore.h"
#include "vmunit.h"

/* In seconds: for the guest to shut down, and between two requests; for GPUs and the machine to start; for
 * its unit, and each GPU, to follow. */
enum {
        STOP_TIMEOUT_SEC = 120,
        ASK_AGAIN_SEC = 10,
        START_SEC = 75 * 60 /* WhenIdle=, up to 30 min for it and for the machine before, and all else */,
        SETTLE_SEC = 60,
        GPU_SEC = 300
};

typedef struct Machine {
        VirtVm vm;
        Metadata metadata;
} Machine;

static void machine_done(Machine *m) {
        virtvm_done(&m->vm);
        metadata_done(&m->metadata);
}

static void say(const Context *c, const char *name, const char *what) {
        if (!vmctl_has(c, OPT_QUIET) && !vmctl_has(c, OPT_JSON))
                printf("%s %s\n", name, what);
}

bool power_has_units(Context *c) {
        return vmctl_is_local(c) && access("/run/systemd/system", F_OK) >= 0;
}

static int open_bus(Bus **ret) {
        int r = bus_open(ret);

        return r < 0 ? log_error_errno(r, "Cannot reach systemd: %m. Is dbus.service running?") : 0;
}

/* Returns 1 once it is neither running nor on its way to or from that, 0 when the time is up. */
static int wait_inactive(Bus *bus, const char *unit) {
        for (unsigned i = 0; i < SETTLE_SEC * 5; i++) {
                _cleanup_(bus_unit_done) BusUnit u = {};
                int r = bus_unit_state(bus, unit, &u);

                if (r < 0)
                        return r;
                if (bus_unit_is_off(&u))
                        return 1;
                (void) usleep(200 * 1000);
        }
        return 0;
}

/* One that stays on VFIO has no job. */
static int wait_gpu(Bus *bus, const char *gpu) {
        char unit[VMUNIT_NAME_MAX];

        (void) snprintf(unit, sizeof(unit), "gpuvm-vfio@%s.service", gpu);
        for (unsigned i = 0; i < GPU_SEC * 5; i++) {
                _cleanup_(bus_unit_done) BusUnit u = {};
                int r = bus_unit_state(bus, unit, &u);

                if (r < 0 || !u.has_job)
                        return r;
                (void) usleep(200 * 1000);
        }
        return 0;
}

int power_end(Context *c, const char *name, char *const *gpus) {
        VmUnitName unit = vmunit_name(name);
        _cleanup_bus_ Bus *bus = NULL;
        int r;

        if (!power_has_units(c) || isempty(unit.text))
                return 0;
        r = open_bus(&bus);
        if (r < 0)
                return r;
        r = wait_inactive(bus, unit.text);
        STRV_FOREACH(gpu, gpus)
                if (r > 0)
                        r = wait_gpu(bus, *gpu) < 0 ? r : 1;
        if (r == 0)
                log_warning("'%s' is off, and %s has not ended; 'systemctl status' of it may tell why", name,
                            unit.text);
        return r < 0 ? log_error_errno(r, "Cannot look at %s: %m", unit.text) : 0;
}

static int tell_unit(Bus *bus, int error, const char *name, const char *unit) {
        _cleanup_(bus_unit_done) BusUnit u = {};

        if (error == -ENOLINK)
                return log_full_errno(
                                LOG_ERR, error,
                                "Cannot start '%s': a unit that %s requires has failed, like the mount of the models that it shares. 'systemctl --failed' lists it",
                                name, unit);
        if (bus_unit_state(bus, unit, &u) < 0)
                u = (BusUnit){};
        if (isempty(u.status_text))
                return log_error_errno(error, "Cannot start '%s': %m. 'systemctl status %s' may tell why",
                                       name, unit);
        return log_full_errno(LOG_ERR, error, "Cannot start '%s': %s", name, u.status_text);
}

/* What its unit looks at as well. */
static int check_store(Context *c, const char *name) {
        _cleanup_close_ int root = vmctl_is_local(c) ? fs_open_root(NULL) : -EBADF;
        _cleanup_(vmstore_refusal_done) VmStoreRefusal refusal = {};
        _cleanup_free_ char *xml = NULL;
        int r;

        r = virtvm_xml(c->virt, name, &xml);
        if (r >= 0)
                r = vmstore_may_start(root, name, xml, &refusal);
        if (r == 0)
                return log_full_errno(LOG_ERR, EROFS, "%s. %s", refusal.cause, refusal.remedy);
        return r < 0 ? vmctl_tell(c, r, "Cannot look at what '%s' shares", name) : 0;
}

/* Whoever may use libvirt and not systemd starts it there. */
static int start_by_libvirt(Context *c, const char *name) {
        _cleanup_(metadata_done) Metadata m = {};
        _cleanup_(virtvm_done) VirtVm vm = {};
        int r = vmctl_find(c, name, &vm, &m);

        if (r >= 0 && m.gpu_wish)
                return log_full_errno(
                                LOG_ERR, EOPNOTSUPP,
                                "'%s' asks for GPUs by number or model, which its unit chooses: on its host, as root or whoever systemd lets, 'systemctl start gpuvm-vm@%s' starts it",
                                name, name);
        if (r >= 0)
                r = check_store(c, name);
        if (r < 0)
                return r;
        r = virtvm_start(c->virt, name);
        return r < 0 ? vmctl_tell(c, r, "Cannot start '%s'", name) : 0;
}

/* What a file asks for before its machine is ready may take half an hour: who wants to wait for that says so.
 */
static bool runs_already(Bus *bus, const char *unit) {
        _cleanup_(bus_unit_done) BusUnit u = {};

        return bus_unit_state(bus, unit, &u) >= 0 && streq(u.active_state, "activating") &&
                        startswith(strempty(u.status_text), VMUNIT_WAITS);
}

/* Until the machine runs. Whoever interrupts a create does not wait for its GPUs: their way back is part of
 * what is taken back. -ENOLINK: a unit that it requires did not start. */
static int start_unit(Bus *bus, const char *unit) {
        uint64_t end = monotonic_usec() + START_SEC * USEC_PER_SEC;
        _cleanup_free_ char *job = NULL, *result = NULL;
        int r;

        r = bus_queue_unit(bus, unit, &job);
        while (r == 0) {
                if (create_interrupted())
                        return -EINTR;
                if (monotonic_usec() >= end)
                        return -ETIMEDOUT;
                r = bus_job_wait(bus, job, USEC_PER_SEC, &result);
                if (r == 0 && runs_already(bus, unit))
                        return 0;
        }
        if (r < 0 || streq(result, "done") || streq(result, "skipped"))
                return MIN(r, 0);
        return streq(result, "dependency") ? -ENOLINK : -EPROTO;
}

int power_start(Context *c, const char *name) {
        VmUnitName unit = vmunit_name(name);
        _cleanup_bus_ Bus *bus = NULL;
        VmState state;
        int r;

        if (!power_has_units(c) || isempty(unit.text))
                return start_by_libvirt(c, name);
        r = open_bus(&bus);
        if (r < 0)
                return r;
        r = start_unit(bus, unit.text);
        if (r == -EACCES)
                return start_by_libvirt(c, name);
        if (r == -ETIMEDOUT && virtvm_state(c->virt, name, &state) >= 0 && vm_state_is_on(state)) {
                log_warning("'%s' is on, and %s is not ready after %d min; 'systemctl status' of it may tell why",
                            name, unit.text, START_SEC / 60);
                return 0;
        }
        if (r == -EINTR)
                return log_full_errno(LOG_ERR, EINTR, "Interrupted while %s was starting", unit.text);
        return r < 0 ? tell_unit(bus, r, name, unit.text) : 0;
}

/* First the machine: its unit would ask it to shut down, and wait. */
int power_take_back(Context *c, const char *name, const char *uuid) {
        _cleanup_(metadata_done) Metadata m = {};
        VmUnitName unit = vmunit_name(name);
        _cleanup_(virtvm_done) VirtVm vm = {};
        _cleanup_bus_ Bus *bus = NULL;
        int r;

        r = virtvm_find(c->virt, name, METADATA_URI, &vm);
        if (r >= 0 && vm.metadata && metadata_parse(vm.metadata, &m) < 0)
                m = (Metadata){};
        if (r >= 0 && uuid && streq(vm.uuid, uuid) && vm_state_is_on(vm.state))
                r = virtvm_destroy(c->virt, name);
        if (r < 0 && r != -ENOENT)
                return vmctl_tell(c, r, "Cannot stop '%s'", name);
        r = open_bus(&bus);
        if (r < 0)
                return r;
        r = bus_stop_unit(bus, unit.text, START_SEC * USEC_PER_SEC, NULL, NULL);
        if (r < 0 && r != -ENOENT)
                return log_error_errno(r, "Cannot stop %s: %m", unit.text);
        STRV_FOREACH(gpu, m.gpus)
                if (wait_gpu(bus, *gpu) < 0)
                        break;
        if (bus_reset_failed(bus, unit.text) < 0)
                log_debug("%s had not failed", unit.text);
        return 0;
}

/* The next create or apply would take it away while somebody works in it. */
static int check_whole(Context *c, const VirtVm *vm) {
        int r = vmctl_is_cut(c, vm);

        if (r > 0)
                return log_full_errno(
                                LOG_ERR, EUCLEAN,
                                "'%s' was cut while it was made, and is not whole. The next 'vmctl create' or 'vmctl apply' takes it back; make it again",
                                vm->name);
        return r < 0 ? log_error_errno(r,
                                       "Cannot read '" ROLLBACK_DIR
                                       "/%s', which tells whether it is whole: %m",
                                       vm->name)
                     : 0;
}

static int start(Context *c, const Machine *m, bool *changed) {
        const char *name = m->vm.name;
        int r;

        if (vm_state_is_on(m->vm.state)) {
                say(c, name, "is running");
                return 0;
        }
        r = check_whole(c, &m->vm);
        if (r < 0)
                return r;
        if (vmctl_has(c, OPT_DRY_RUN)) {
                say(c, name, "would be started");
                return 0;
        }
        /* It may have gone off just now: a unit that still runs is not started. */
        r = power_end(c, name, m->metadata.gpus);
        if (r >= 0)
                r = power_start(c, name);
        if (r < 0)
                return r;
        *changed = true;
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

/* A guest that was still starting has not heard it: it is asked again. */
static int shut_down(Context *c, const char *name, uint64_t timeout_usec) {
        uint64_t now = monotonic_usec(), end = now + timeout_usec;
        int r = virtvm_shutdown(c->virt, name);

        if (r < 0)
                return vmctl_tell(c, r, "Cannot ask '%s' to shut down", name);
        do {
                r = virtvm_wait_off(c->virt, name, MIN(end - now, ASK_AGAIN_SEC * USEC_PER_SEC), NULL, NULL);
                now = monotonic_usec();
                if (r == 0 && now < end && virtvm_shutdown(c->virt, name) < 0)
                        log_debug("Cannot ask '%s' again: %s", name, virt_message(c->virt));
        } while (r == 0 && now < end);
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

static int stop(Context *c, const Machine *m, uint64_t timeout_usec, bool *changed) {
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
        if (r >= 0) {
                *changed = true;
                r = power_end(c, name, m->metadata.gpus);
        }
        if (r >= 0)
                say(c, name, "is off");
        return r;
}

typedef enum Act { START, STOP, RESTART } Act;

static int act_on(Context *c, const char *name, Act act, uint64_t timeout_usec, bool *changed) {
        bool wait = vmctl_has(c, OPT_WAIT) && !vmctl_has(c, OPT_DRY_RUN);
        _cleanup_(machine_done) Machine m = {};
        int r;

        r = vmctl_find(c, name, &m.vm, &m.metadata);
        if (r >= 0 && act != START)
                r = stop(c, &m, timeout_usec, changed);
        if (r >= 0 && act == RESTART && !vmctl_has(c, OPT_DRY_RUN))
                m.vm.state = VM_OFF;
        if (r >= 0 && act != STOP)
                r = start(c, &m, changed);
        if (r >= 0 && wait)
                r = guest_wait(c, name, true, NULL);
        if (r >= 0 && wait)
                say(c, name, "is ready");
        return r;
}

/* What it is now, whatever became of the wish. */
static int add_result(Context *c, json_object *all, const char *name, int result, bool changed) {
        json_object *o = json_object_new_object();
        VmState state = _VM_STATE_MAX;

        if (virtvm_state(c->virt, name, &state) < 0)
                state = _VM_STATE_MAX;
        if (json_object_array_add(all, o) < 0 || json_add_text(o, "name", name) < 0 ||
            json_object_object_add(o, "state",
                                   state == _VM_STATE_MAX
                                                   ? NULL
                                                   : json_object_new_string(vm_state_to_string(state))) < 0 ||
            json_add(o, "changed", json_object_new_boolean(changed)) < 0 ||
            json_add(o, "status", json_object_new_int(vmctl_status(result))) < 0)
                return log_oom();
        return 0;
}

/* Each of them, whatever became of those before; the first failure is the result. */
static int act_on_all(Context *c, char **names, Act act) {
        _cleanup_json_ json_object *all = vmctl_has(c, OPT_JSON) ? json_object_new_array() : NULL;
        uint64_t timeout_usec = STOP_TIMEOUT_SEC * USEC_PER_SEC;
        int r, result = 0;

        if (guest_timeout(c, &timeout_usec) < 0)
                return VMCTL_USAGE;
        r = vmctl_connect(c);
        if (r < 0)
                return r;
        STRV_FOREACH(name, names) {
                bool changed = false;

                r = act_on(c, *name, act, timeout_usec, &changed);
                if (result == 0)
                        result = r;
                if (all && add_result(c, all, *name, r, changed) < 0)
                        return -ENOMEM;
        }
        if (all && json_print(all, stdout) < 0)
                return -EIO;
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
