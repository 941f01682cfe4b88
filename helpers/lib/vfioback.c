/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "vfioback.h"
#include "fs.h"
#include "log.h"
#include "nodes.h"
#include "stop.h"
#include "strv.h"
#include "vfiohold.h"

/* Returns 1 if somebody uses it, or nobody knows. */
static bool is_held(VfioJob *j, const PciDevice *d) {
        _cleanup_free_ char *who = NULL;

        return binder_is_unused(&j->binder, &d, 1) == -EBUSY ||
                        binder_who(&j->binder, &d, 1, NULL, true, &who) != 0;
}

/* What it is to have again; NULL: whatever the host has for it. */
static const HandoverFunction *wanted(const VfioJob *j, const PciDevice *d) {
        const HandoverFunction *was = handover_find(&j->before, d->bdf);

        return was && was->host ? NULL : was;
}

/* As recorded. What an earlier hand-over that was cut gave to VFIO may be in use there. */
static int put_back(VfioJob *j, const PciDevice *d) {
        int r;

        if (d->driver && nodes_is_vfio_driver(d->driver) && is_held(j, d))
                return -EBUSY;
        r = binder_put_back(&j->binder, d, wanted(j, d));
        return r < 0 ? r : vfiohold_restore(j, d);
}

/* After an error: everything as before, or in ret_left what could not be. */
static int put_back_all(VfioJob *j, char ***ret_left) {
        _cleanup_strv_ char **left = NULL;
        int r;

        /* As long as it takes: nobody is to be left half way by a second signal. */
        j->binder.stopped = NULL;
        for (size_t i = j->before.n; i > 0; i--) {
                const PciDevice *d = pci_find(&j->bus, j->before.list[i - 1].bdf);

                if (!d || put_back(j, d) >= 0)
                        continue;
                r = strv_extend(&left, d->name);
                if (r < 0)
                        return r;
        }
        *ret_left = TAKE_PTR(left);
        return 0;
}

int vfioback_give_up(VfioJob *j, int error) {
        _cleanup_strv_ char **left = NULL;
        _cleanup_free_ char *names = NULL, *remedy = NULL;
        int r;

        if (error == -EINTR && stop_is_shutdown(j->p->root))
                return error; /* the next boot finds all as it always is */
        r = put_back_all(j, &left);
        names = strv_join(left, " ");
        if (r < 0 || !names)
                return r < 0 ? r : -ENOMEM;
        if (left)
                r = str_printf(&remedy,
                               "%s. Not put back: %s; '" GPUVM_LIBEXECDIR
                               "/gpuvm-vfio detach %s' finishes that",
                               strempty(j->failure.remedy), names, j->name);
        else
                r = str_printf(&remedy, "%s. Everything was put back", strempty(j->failure.remedy));
        if (r < 0)
                return r;
        free(j->failure.remedy);
        j->failure.remedy = TAKE_PTR(remedy);
        if (!left && handover_remove_all(j->p->root, j->group.members, j->group.n_members) < 0)
                log_debug("Cannot remove the record of %s", j->group.owner->name);
        return error;
}

int vfioback_prepare(VfioJob *j) {
        for (size_t i = 0; i < j->n_todo; i++) {
                const PciDevice *d = j->todo[i];
                const HandoverFunction *was = wanted(j, d);
                int r = binder_load_host(&j->binder, d, was);

                if (r >= 0)
                        continue;
                if (r == -ETIMEDOUT)
                        return vfiojob_refuse_hang(j, -EBUSY);
                return vfiojob_refuse(
                                j, -EPERM,
                                "Make it one that 'modprobe' loads for this kernel, and try again; nothing was "
                                "changed",
                                "%s cannot go back to the driver %s, which cannot be loaded (%s)", d->name,
                                was ? strna(was->driver) : "of the host", strerror(-r));
        }
        return 0;
}

/* One function. That NVIDIA's driver holds it as before is no condition for having it back. */
static int release(VfioJob *j, const PciDevice *d) {
        int r;

        phase_status(j->p, "Giving %s back to the host", d->name);
        r = binder_put_back(&j->binder, d, wanted(j, d));
        if (r < 0)
                return vfiojob_tell(j, r, d, "give back to the host the function");
        if (vfiohold_restore(j, d) < 0)
                phase_note(j->p,
                           "%s is back, but its persistence mode could not be turned on again: "
                           "'nvidia-smi -pm 1 -i %s' does that",
                           d->name, d->name);
        return 0;
}

int vfioback_release(VfioJob *j) {
        _cleanup_strv_ char **left = NULL;
        _cleanup_free_ char *names = NULL, *remedy = NULL;
        int r, failed = 0;

        for (size_t i = 0; i < j->n_todo; i++) {
                r = release(j, j->todo[i]);
                if (r < 0 && strv_extend(&left, j->todo[i]->name) < 0)
                        return -ENOMEM;
                failed = failed ?: MIN(r, 0);
        }
        if (failed == 0) {
                r = handover_remove_all(j->p->root, j->group.members, j->group.n_members);
                return r < 0 ? r : 1;
        }
        names = strv_join(left, " ");
        if (!names ||
            str_printf(&remedy,
                       "%s. Not given back: %s; '" GPUVM_LIBEXECDIR "/gpuvm-vfio detach %s' tries again",
                       strempty(j->failure.remedy), names, j->name) < 0)
                return -ENOMEM;
        free(j->failure.remedy);
        j->failure.remedy = TAKE_PTR(remedy);
        return failed;
}
