/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "vfiohold.h"
#include "nvml.h"

static bool is_on_nvidia(const PciDevice *d) {
        return pci_is_nvidia_gpu(d) && d->driver && streq(d->driver, "nvidia");
}

/* Returns 1 if there is somebody to ask. */
static int open_nvml(VfioJob *j, Worker **ret) {
        int r;

        if (j->hold_hangs)
                return -ETIMEDOUT;
        r = j->hold_none ? 0 : binder_worker(&j->binder, ret);
        return r < 0 || j->hold_none ? r : 1;
}

/* Remembers what a call told of the library. */
static int noted(VfioJob *j, int r) {
        j->hold_hangs = j->hold_hangs || r == -ETIMEDOUT;
        j->hold_none = j->hold_none || r == -ENOPKG;
        return r;
}

/* What a call has opened has to be closed before anybody looks who has the GPU open. A child that is stuck
 * has it open for ever. */
static void close_nvml(VfioJob *j, const PciDevice *d) {
        pid_t stuck = j->hold_none ? 0 : binder_end_worker(&j->binder);

        if (stuck > 0)
                binder_poison(&j->binder, d, d->driver, "a call of NVIDIA's management library", stuck);
}

static int save(VfioJob *j) {
        return handover_save(j->p->root, j->group.owner->bdf, &j->before);
}

/* Nothing can be known, and nothing was said. */
static bool is_unknown(int r) {
        return r == -EOPNOTSUPP || r == -ENODEV || r == -ENOPKG;
}

static int release(VfioJob *j, Worker *n, const PciDevice *d, bool *changed) {
        HandoverFunction *was = handover_find(&j->before, d->bdf);
        NvmlState state;
        int r;

        r = noted(j, nvml_get(n, d->bdf, j->binder.timeout_usec, &state));
        if (is_unknown(r))
                return 0;
        if (r < 0)
                return vfiojob_refuse(
                                j, -EBUSY,
                                "See what 'nvidia-smi' says: after an update of the driver only a restart "
                                "of the machine helps",
                                "Cannot find out whether persistence mode keeps %s in use (%s)", d->name,
                                strerror(-r));
        if (!state.persistent || !was)
                return 0;
        r = phase_change(j->p, "set", d->name, "persistence mode off until the GPU is back");
        if (r <= 0)
                return r;
        was->persistent = true;
        r = save(j);
        if (r < 0)
                return r;
        *changed = true;
        r = noted(j, nvml_set_persistent(n, d->bdf, false, j->binder.timeout_usec));
        return r < 0 ? vfiojob_refuse(j, -EBUSY, "'nvidia-smi -pm 0 -i' and its address may do it",
                                      "Cannot turn persistence mode of %s off (%s)", d->name, strerror(-r))
                     : 0;
}

int vfiohold_release(VfioJob *j, bool *ret_changed) {
        bool changed = false;
        int r = 0;

        for (size_t i = 0; i < j->n_todo && r >= 0; i++) {
                Worker *n;

                if (!is_on_nvidia(j->todo[i]))
                        continue;
                r = open_nvml(j, &n);
                if (r <= 0)
                        break;
                r = release(j, n, j->todo[i], &changed);
                close_nvml(j, j->todo[i]);
        }
        *ret_changed = changed;
        return r;
}

/* Only narrows a gap, so that a failure is none. Returns 1 if it is so now. */
static int drain(VfioJob *j, Worker *n, const PciDevice *d) {
        HandoverFunction *was = handover_find(&j->before, d->bdf);
        bool ours = was && was->drained;
        int r;

        if (!was)
                return 0;
        was->drained = true;
        r = save(j);
        if (r < 0)
                return r;
        r = noted(j, nvml_set_draining(n, d->bdf, true, j->binder.timeout_usec));
        if (r >= 0)
                return 1;
        if (r == -ETIMEDOUT)
                return vfiojob_refuse(j, -EBUSY, "See 'dmesg' and try again",
                                      "NVIDIA's driver does not answer for %s", d->name);
        log_debug("Cannot drain %s: %s", d->name, strerror(-r));
        /* Any other failure may have left it half done: restoring sees to that. */
        if (is_unknown(r) || r == -EPERM || r == -EBUSY)
                was->drained = ours;
        return save(j);
}

int vfiohold_drain(VfioJob *j) {
        size_t open = 0;
        int r = 0;

        for (size_t i = 0; i < j->n_todo && r >= 0; i++) {
                Worker *n;

                if (!pci_is_display(j->todo[i]))
                        continue;
                r = is_on_nvidia(j->todo[i]) ? open_nvml(j, &n) : 0;
                if (r > 0) {
                        r = drain(j, n, j->todo[i]);
                        close_nvml(j, j->todo[i]);
                }
                open += r == 0;
        }
        j->shut = open == 0;
        return MIN(r, 0);
}

int vfiohold_restore(VfioJob *j, const PciDevice *d) {
        const HandoverFunction *was = handover_find(&j->before, d->bdf);
        Worker *n;
        int r;

        if (!was || !(was->persistent || was->drained))
                return 0;
        r = open_nvml(j, &n);
        if (r <= 0)
                return r < 0 ? r : was->persistent ? -ENOPKG : 0;
        /* A GPU that was unbound has forgotten that it was draining, and one that is persistent is not. */
        if (was->drained)
                r = noted(j, nvml_set_draining(n, d->bdf, false, j->binder.timeout_usec));
        if (was->persistent && !j->hold_hangs)
                r = noted(j, nvml_set_persistent(n, d->bdf, true, j->binder.timeout_usec));
        else if (is_unknown(r))
                r = 0;
        close_nvml(j, d);
        return r;
}
