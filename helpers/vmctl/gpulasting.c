/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Gpulasting: what is so at the machine's next start: its definition, and the settings of its unit. */

#include "bus.h"
#include "fs.h"
#include "gpudeclare.h"
#include "gpumove.h"
#include "vmunit.h"

enum { WATCH_SEC = 60 };

static int tell_edit(const Move *m, int r) {
        if (r == -EOPNOTSUPP)
                return log_error_errno(
                                r,
                                "'%s' has no PCI Express root ports: its machine type has to be q35, or virt on ARM",
                                m->vm.name);
        return log_error_errno(r, "Cannot make sense of the definition of '%s': %m", m->vm.name);
}

/* Returns 1 and the definition, as it is and as it is going to be; 0 if they are the same. */
static int edit(Move *m, bool has, char **ret_before, char **ret_after) {
        _cleanup_free_ HostdevCard *cards = move_cards(m);
        _cleanup_free_ char *before = NULL;
        int r;

        if (!cards)
                return -ENOMEM;
        r = virtvm_definition(m->c->virt, m->vm.name, &before);
        if (r < 0)
                return vmctl_tell(m->c, r, "Cannot read the definition of '%s'", m->vm.name);
        r = (has ? hostdevs_add : hostdevs_remove)(before, cards, m->n, ret_after);
        if (r < 0)
                return tell_edit(m, r);
        *ret_before = TAKE_PTR(before);
        return r;
}

int lasting_check(Move *m) {
        _cleanup_free_ char *before = NULL, *after = NULL;
        int r = edit(m, true, &before, &after);

        return MIN(r, 0);
}

int lasting_define(Move *m, bool has, char **ret_before) {
        _cleanup_free_ char *before = NULL, *after = NULL;
        int r;

        r = edit(m, has, &before, &after);
        if (r <= 0)
                return r;
        r = virtvm_define(m->c->virt, after);
        if (r < 0)
                return vmctl_tell(m->c, r, "Cannot change the definition of '%s'", m->vm.name);
        *ret_before = TAKE_PTR(before);
        return 1;
}

/* The order is of use at the next start, and nothing is wrong without it: who may not write it goes on. */
int lasting_order(Move *m) {
        _cleanup_(metadata_done) Metadata metadata = {};
        _cleanup_free_ char *definition = NULL;
        int r;

        if (!power_has_units(m->c))
                return 0;
        r = virtvm_xml(m->c->virt, m->vm.name, &definition);
        if (r >= 0)
                r = metadata_parse(definition, &metadata);
        if (r < 0)
                return vmctl_tell(m->c, r, "Cannot read the definition of '%s'", m->vm.name);
        r = vmunit_set_gpus(m->phase.root, m->vm.name, (const char *const *) metadata.gpus);
        if (r == -EACCES) {
                log_debug("Only root writes the order of the units of '%s'", m->vm.name);
                return 0;
        }
        return r < 0 ? log_error_errno(r, "Cannot write the settings of '%s' in /etc/systemd/system: %m",
                                       m->vm.name)
                     : 0;
}

static int list_gpus(const Move *m, char ***l) {
        int r = 0;

        for (size_t i = 0; i < m->n && r >= 0; i++)
                if (m->cards[i].functions.is_gpu)
                        r = strv_extend(l, m->cards[i].gpu);
        return r;
}

static void tell_obstacle(const Move *m, bool has, const char *why) {
        log_warning("The file of '%s' does not say so: %s. Until you change its Gpu=, 'vmctl apply' %s",
                    m->vm.name, why, has ? "takes the GPU back" : "gives it the GPU again");
}

/* Nothing is wrong with the machine without it: it is for the next 'vmctl apply'. */
void lasting_declare(const Move *m, bool has) {
        _cleanup_(gpudeclare_done) GpuDeclareChange change = {};
        _cleanup_strv_ char **gpus = NULL;
        int r = list_gpus(m, &gpus);

        if (r >= 0)
                r = gpudeclare_plan(m->phase.root, &m->states.bus, m->vm.name, gpus, has, &change);
        if (r > 0 && change.obstacle) {
                tell_obstacle(m, has, change.obstacle);
                return;
        }
        if (r > 0) {
                log_info("%s%s %s: the file of '%s' says so as well", m->phase.dry_run ? "would " : "",
                         change.text ? "write" : "remove", change.path, m->vm.name);
                r = m->phase.dry_run ? 0 : gpudeclare_apply(m->phase.root, &change);
        }
        if (r < 0) {
                _cleanup_free_ char *why = NULL;

                if (str_printf(&why, "cannot change %s: %s", change.path ?: "its drop-in", strerror(-r)) >= 0)
                        tell_obstacle(m, has, why);
        }
}

static int watch(Move *m, const char *unit) {
        _cleanup_(bus_unit_done) BusUnit u = {};
        _cleanup_bus_ Bus *bus = NULL;
        VmState state;
        int r;

        /* One that has gone off meanwhile is not started again. */
        if (virtvm_state(m->c->virt, m->vm.name, &state) < 0 || !vm_state_is_on(state))
                return 0;
        r = bus_open(&bus);
        if (r >= 0)
                r = bus_unit_state(bus, unit, &u);
        if (r < 0 || (!streq(u.active_state, "inactive") && !streq(u.active_state, "failed")))
                return r;
        log_info("start %s: to give back the GPU when '%s' ends", unit, m->vm.name);
        return bus_start_unit(bus, unit, WATCH_SEC * USEC_PER_SEC, phase_alive, &m->phase);
}

void lasting_watch(Move *m) {
        VmUnitName unit = vmunit_name(m->vm.name);
        int r;

        if (!m->runs || !power_has_units(m->c) || isempty(unit.text))
                return;
        r = watch(m, unit.text);
        if (r < 0 && r != -ETIMEDOUT) /* it watches while it still waits until the guest is ready */
                log_warning_errno(r, "%s does not watch '%s': its GPU stays on VFIO when it ends: %m",
                                  unit.text, m->vm.name);
}
