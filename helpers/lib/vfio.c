/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "vfio.h"
#include "fs.h"
#include "nodes.h"
#include "stop.h"
#include "strv.h"
#include "vfioback.h"
#include "vfiofacts.h"
#include "vfiohold.h"
#include "vfioidle.h"

void vfio_failure_done(VfioFailure *f) {
        free(f->cause);
        free(f->remedy);
        *f = (VfioFailure){};
}

bool vfio_is_attached(const IommuVerdict *v) {
        for (size_t i = 0; i < v->n_endpoints; i++)
                if (!v->endpoints[i]->driver || !nodes_is_vfio_driver(v->endpoints[i]->driver))
                        return false;
        return v->n_endpoints > 0;
}

/* Returns 1 if one of these is on a VFIO driver, or a hand-over of them was cut. */
static int are_away(int root, const PciDevice *const *devices, size_t n) {
        _cleanup_(handover_done) Handover before = {};
        int r;

        for (size_t i = 0; i < n; i++)
                if (devices[i]->driver && nodes_is_vfio_driver(devices[i]->driver))
                        return 1;
        r = handover_gather(root, devices, n, &before);
        return r < 0 ? r : r > 0 || before.n > 0;
}

int vfio_is_away(int root, const PciBus *bus, const PciDevice *gpu) {
        _cleanup_(iommu_verdict_done) IommuVerdict v = {};
        int r;

        r = iommu_group_check(bus, gpu, NULL, 0, NULL, &v);
        if (r < 0 && r != -ENODEV)
                return r;
        return r < 0 ? are_away(root, &gpu, 1) : are_away(root, v.members, v.n_members);
}

/* What there is now of one function. */
static int read_function(VfioJob *j, const PciDevice *d) {
        _cleanup_free_ char *override = NULL, *d3cold = NULL;
        HandoverFunction *was = handover_find(&j->before, d->bdf);
        int r;

        if (was && !was->host)
                return 0;
        r = binder_get_override(&j->binder, d, &override);
        if (r < 0)
                return vfiojob_tell(j, r, d, "read driver_override of");
        r = binder_get(&j->binder, d, "d3cold_allowed", &d3cold);
        if (r == -ETIMEDOUT || r == -ECHILD)
                return vfiojob_tell(j, r, d, "read d3cold_allowed of");
        /* Any other error: this kernel knows nothing of that. */
        r = handover_add(&j->before, d->bdf, d->driver, override);
        if (r < 0)
                return r;
        was = handover_find(&j->before, d->bdf);
        was->d3cold = streq(strempty(d3cold), "1");
        if (pci_read_presence(j->p->root, d, &was->card) < 0)
                log_debug("Cannot tell which card %s is", d->name);
        return 0;
}

static int announce(VfioJob *j, const char *action, char *const *drivers) {
        int go = 1;

        for (size_t i = 0; i < j->n_todo; i++) {
                go = phase_change(j->p, action, j->todo[i]->name, "from %s to %s",
                                  j->todo[i]->driver ?: "no driver", drivers ? drivers[i] : "the host");
                if (go < 0)
                        return go;
        }
        return go;
}

/* The group as it must be to go, and what is missing. Returns 1 if there is something to do. */
static int plan_attach(VfioJob *j) {
        if (!j->group.viable)
                return vfiojob_refuse(j, -EPERM, iommu_remedy(&j->group), "%s cannot be given to a VM: %s",
                                      j->name, strna(j->group.blocker));
        for (size_t i = 0; i < j->group.n_endpoints; i++) {
                const PciDevice *d = j->group.endpoints[i];

                if (!d->driver || !nodes_is_vfio_driver(d->driver))
                        j->todo[j->n_todo++] = d;
        }
        return j->n_todo > 0 ? 1 : 0;
}

/* Writes down what there is now. What a cut hand-over has written down before stays as it is. */
static int record(VfioJob *j) {
        int r;

        /* Where that makes no sense there is nothing to go by: what is there now counts. */
        r = handover_gather(j->p->root, j->group.members, j->group.n_members, &j->before);
        for (size_t i = 0; i < j->n_todo && r >= 0; i++)
                r = read_function(j, j->todo[i]);
        if (r >= 0)
                r = handover_save(j->p->root, j->group.owner->bdf, &j->before);
        return r < 0 ? vfiojob_refuse(j, r, "Make /run/gpuvm writable; nothing was changed",
                                      "Cannot record what %s had before", j->name)
                     : 0;
}

/* Nobody, NVIDIA's driver included, holds the GPU. Its library opens the GPU itself, and takes its time: the
 * last look comes after all of that, right before the first change. */
static int make_idle(VfioJob *j) {
        bool released = false;
        int r;

        r = vfiohold_release(j, &released);
        if (r >= 0 && released)
                r = vfioidle_wait(j, VFIO_WAIT_LET_GO);
        if (r >= 0)
                r = vfiojob_check_stop(j);
        if (r >= 0)
                r = vfiohold_drain(j);
        return r < 0 ? r : vfioidle_wait(j, VFIO_WAIT_STRICT);
}

/* vfio-pci lets an idle device sleep, without power where bridge and firmware can do that, and some GPUs
 * never come back from there. Asleep with power they do. */
static int bind(VfioJob *j, const PciDevice *d, const char *driver) {
        const HandoverFunction *was = handover_find(&j->before, d->bdf);
        int r = was && was->d3cold ? binder_set_d3cold(&j->binder, d, false) : 0;

        return r < 0 ? r : binder_bind(&j->binder, d, driver);
}

static int bind_all(VfioJob *j, char *const *drivers) {
        for (size_t i = 0; i < j->n_todo; i++) {
                const PciDevice *d = j->todo[i];
                int r;

                r = vfiojob_check_stop(j);
                /* Unbinding takes seconds: the look at one more GPU of the group is old by then. */
                if (r >= 0 && i > 0 && pci_is_display(d) && !j->shut)
                        r = vfioidle_look(j, d);
                if (r < 0)
                        return r;
                phase_status(j->p, "Binding %s to %s", d->name, drivers[i]);
                r = bind(j, d, drivers[i]);
                if (r < 0)
                        return vfiojob_tell(j, r, d, "give to VFIO the function");
        }
        /* Who stops a start that is not over gets the GPU back: ExecStop= is not run then. */
        return vfiojob_check_stop(j) ?: 1;
}

static int attach_all(VfioJob *j) {
        _cleanup_strv_ char **drivers = NULL;
        int r;

        r = vfiojob_find_drivers(j, &drivers);
        if (r >= 0)
                r = vfiofacts_tell(j);
        if (r >= 0)
                r = announce(j, "bind", drivers);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = record(j);
        if (r < 0)
                return r;
        r = vfiojob_check_stop(j);
        if (r >= 0)
                r = make_idle(j);
        if (r >= 0)
                r = bind_all(j, drivers);
        return r < 0 ? vfioback_give_up(j, r) : r;
}

static int attach(VfioJob *j) {
        int r;

        j->binder.stopped = stop_asked;
        r = vfiojob_look(j, j->p->dry_run);
        /* Nobody is to be told that he may accept what the host itself needs. */
        if (r == 0 && !j->group.viable && !j->p->dry_run)
                r = vfiojob_look(j, true);
        if (r > 0)
                return vfiojob_refuse(j, -ENODEV, "'lspci -D' lists what there is",
                                      "There is no PCI device %s", j->name);
        if (r >= 0)
                r = plan_attach(j);
        if (r > 0)
                r = vfioidle_wait_unlocked(j, VFIO_WAIT_LOOK) ?: 1;
        if (r <= 0)
                return r;
        j->n_todo = 0;
        r = vfiojob_lock_and_look(j, true);
        if (r > 0)
                return vfiojob_refuse(j, -ENODEV, "Plug it in again", "%s is gone", j->name);
        if (r >= 0)
                r = plan_attach(j);
        if (r <= 0)
                return r;
        r = vfiojob_check_poisoned(j);
        if (r >= 0)
                r = vfioidle_wait(j, VFIO_WAIT_LOOK);
        if (r >= 0)
                r = vfiojob_check_virtual_functions(j);
        return r < 0 ? r : attach_all(j);
}

/* A hand-over that was cut between, or one that could never have been: bound before anybody knew the groups.
 */
static bool has_left(const VfioJob *j) {
        if (j->before.n == 0)
                return j->q->left & VFIO_LEFT_REFUSED && !j->group.viable;
        return !vfio_is_attached(&j->group) ||
                        (j->q->left & VFIO_LEFT_WHOLE && handover_find(&j->before, j->gpu->bdf));
}

/* Returns 1 if the function goes back: a hand-over had to do with it; or, where all is to go, VFIO has it, or
 * is to have it. */
static int is_to_go(VfioJob *j, const PciDevice *d, bool all) {
        if (handover_find(&j->before, d->bdf))
                return 1;
        for (size_t i = 0; all && i < j->group.n_endpoints; i++)
                if (j->group.endpoints[i] == d)
                        return binder_is_for_vfio(&j->binder, d);
        return 0;
}

/* What is on VFIO, and what a cut hand-over left between. Returns 1 if there is something to do. */
static int plan_detach(VfioJob *j) {
        bool all;
        int r;

        handover_done(&j->before);
        r = handover_gather(j->p->root, j->group.members, j->group.n_members, &j->before);
        if (r < 0)
                return r;
        if (j->only_left && !has_left(j))
                return 0;
        /* What VFIO has had since the boot is not what the start has left. */
        all = !j->only_left || j->before.n == 0;
        for (size_t i = 0; i < j->group.n_members && r >= 0; i++) {
                r = is_to_go(j, j->group.members[i], all);
                if (r > 0)
                        j->todo[j->n_todo++] = j->group.members[i];
        }
        return r < 0 ? r : j->n_todo > 0 ? 1 : 0;
}

/* What VFIO has had since the boot, and what the early rule meant for it and came too late for: the driver
 * was there before the override, and so took nothing. That is no state to go back to, except for a start of
 * ours that was cut. */
static bool goes_to_host(const VfioJob *j, const HandoverFunction *was) {
        bool cut = j->only_left && !(j->q->left & VFIO_LEFT_STOPPED);

        return !was || (!cut && !was->driver && was->override && nodes_is_vfio_driver(was->override));
}

/* Returns 1 if there is something to be written down. */
static int plan_way_back(VfioJob *j) {
        int r = 0, any = 0;

        for (size_t i = 0; i < j->n_todo && r >= 0; i++) {
                const PciDevice *d = j->todo[i];
                HandoverFunction *was = handover_find(&j->before, d->bdf);

                if (!goes_to_host(j, was))
                        continue;
                r = was ? 0 : handover_add(&j->before, d->bdf, NULL, NULL);
                was = r < 0 ? NULL : handover_find(&j->before, d->bdf);
                if (!was)
                        continue;
                was->host = true;
                any = 1;
                if (was->card == 0 && pci_read_presence(j->p->root, d, &was->card) < 0)
                        log_debug("Cannot tell which card %s is", d->name);
        }
        return r < 0 ? r : any;
}

static int release(VfioJob *j, bool record) {
        int r;

        /* A function without driver and override is nothing that anybody would miss if we were killed now. */
        r = record ? handover_save(j->p->root, j->group.owner->bdf, &j->before) : 0;
        if (r < 0)
                return vfiojob_refuse(j, r, "Make /run/gpuvm writable; nothing was changed",
                                      "Cannot record that %s goes back to the host", j->name);
        return vfioback_release(j);
}

static int detach_locked(VfioJob *j) {
        int r, record = 0;

        j->n_todo = 0;
        r = vfiojob_lock_and_look(j, false);
        if (r != 0)
                return r < 0 ? r : 0;
        r = plan_detach(j);
        if (r > 0)
                r = record = plan_way_back(j);
        if (r < 0 || j->n_todo == 0)
                return r;
        r = vfiojob_check_poisoned(j);
        if (r >= 0 && !j->p->dry_run)
                r = vfioback_prepare(j);
        if (r >= 0)
                r = vfioidle_wait(j, VFIO_WAIT_BACK);
        if (r >= 0)
                r = announce(j, "release", NULL);
        return r > 0 ? release(j, record > 0) : r < 0 ? r : 1;
}

static int detach(VfioJob *j) {
        int r;

        r = vfiojob_look(j, false);
        if (r == -ENODEV)
                return vfio_failure_done(&j->failure), 0; /* no group: nothing of it can be on VFIO */
        if (r != 0) {
                /* Gone: what it had is of no use to anybody. */
                if (r > 0 && !j->p->dry_run)
                        r = handover_forget_gone(j->p->root, j->q->gpu);
                return r < 0 ? r : 0;
        }
        r = plan_detach(j);
        if (r == 0)
                r = vfiojob_check_poisoned(j);
        else if (r > 0)
                r = vfioidle_wait_unlocked(j, VFIO_WAIT_BACK);
        return r < 0 || j->n_todo == 0 ? r : detach_locked(j);
}

/* One that is marked has been told already. */
static int settle(VfioJob *j) {
        int r;

        j->only_left = true;
        r = vfiojob_look(j, false);
        if (r == 0)
                r = plan_detach(j);
        else if (r > 0 || r == -ENODEV)
                return vfio_failure_done(&j->failure), 0;
        if (r <= 0)
                return r;
        r = vfiojob_check_poisoned(j);
        if (r < 0)
                return vfio_failure_done(&j->failure), 0;
        return detach_locked(j);
}

static Binder binder_for(Phase *p, uint64_t write_timeout_usec) {
        return (Binder){
                .root = p->root,
                .timeout_usec = write_timeout_usec ?: VFIO_WRITE_TIMEOUT_SEC * USEC_PER_SEC,
                .dry_run = p->dry_run,
                .tick = phase_alive,
                .userdata = p,
        };
}

int vfio_has(Phase *p, const PciDevice *d, uint64_t write_timeout_usec) {
        _cleanup_(binder_done) Binder b = binder_for(p, write_timeout_usec);

        return binder_is_for_vfio(&b, d);
}

static int run_job(Phase *p, const VfioRequest *q, int (*work)(VfioJob *j), VfioFailure *reterr) {
        _cleanup_(vfiojob_done) VfioJob j = {
                .p = p,
                .q = q,
                .lock = -EBADF,
                .binder = binder_for(p, q->write_timeout_usec),
        };
        int r;

        (void) bdf_format(q->gpu, j.name);
        r = work(&j);
        if (q->group) {
                *q->group = j.bus;
                j.bus = (PciBus){};
        }
        if (r < 0) {
                *reterr = j.failure;
                j.failure = (VfioFailure){};
        }
        return r;
}

int vfio_attach(Phase *p, const VfioRequest *q, VfioFailure *reterr) {
        return run_job(p, q, attach, reterr);
}

int vfio_detach(Phase *p, const VfioRequest *q, VfioFailure *reterr) {
        return run_job(p, q, detach, reterr);
}

int vfio_settle(Phase *p, const VfioRequest *q, VfioFailure *reterr) {
        return run_job(p, q, settle, reterr);
}
