/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "vmrelease.h"
#include "bus.h"
#include "parse.h"
#include "stop.h"
#include "virtvm.h"
#include "vmgpu.h"
#include "vmtaken.h"
#include "vmunit.h"

/* Not as long as the machine runs, or nobody knows: this process may have been killed, and the machine not.
 */
static int may_release(Phase *p, const char *name) {
        _cleanup_(virt_closep) Virt *v = NULL;
        VmState state;
        int r;

        r = virt_open_root(p->root, &v, NULL);
        if (r >= 0)
                r = virtvm_state(v, name, &state);
        if (r == -ENOENT)
                return 1;
        return r < 0 ? r : !vm_state_is_on(state);
}

/* Unless somebody stops the unit just now. */
static bool starts_again(const Phase *p, const char *name) {
        const char *status = secure_getenv("EXIT_STATUS");
        _cleanup_(bus_unit_done) BusUnit u = {};
        _cleanup_bus_ Bus *bus = NULL;
        unsigned n;

        if (!status || parse_uint(status, UINT8_MAX, &n) < 0 || n != VMRELEASE_START_AGAIN)
                return false;
        return !vmgpu_has_units(p) || bus_open(&bus) < 0 ||
                        bus_unit_state(bus, vmunit_name(name).text, &u) < 0 || !u.has_job;
}

int vmrelease_gpus(Phase *p, const char *machine) {
        _cleanup_strv_ char **gpus = NULL;
        int r;

        if (starts_again(p, machine))
                return 0;
        r = vmtaken_list(p->root, machine, &gpus);
        if (r < 0)
                return phase_fail(p, r, "Look at " VMTAKEN_DIR, "Cannot tell which GPUs '%s' has taken",
                                  machine);
        if (!gpus || !vmgpu_has_units(p) || stop_is_shutdown(p->root))
                return 0;
        r = may_release(p, machine);
        if (r > 0)
                return vmgpu_give_back(p, machine, gpus);
        phase_note(p, "'%s' keeps its GPUs: %s", machine,
                   r < 0 ? "libvirt does not say whether it is off" : "it runs");
        return 0;
}

int vmrelease_left(Phase *p, const char *machine) {
        _cleanup_(bus_unit_done) BusUnit u = {};
        _cleanup_bus_ Bus *bus = NULL;
        int r;

        if (!vmgpu_has_units(p))
                return 0;
        r = bus_open(&bus);
        if (r >= 0)
                r = bus_unit_state(bus, vmunit_name(machine).text, &u);
        if (r < 0)
                return phase_fail(p, r, "Is dbus.service running?", "Cannot look at the unit of '%s'",
                                  machine);
        return bus_unit_is_off(&u) ? vmrelease_gpus(p, machine) : 0;
}
