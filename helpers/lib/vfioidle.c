/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <poll.h>

#include "holders.h"
#include "nodes.h"
#include "vfioidle.h"

enum {
        IDLE_POLL_MSEC = 500,
        LET_GO_SEC = 3,
        HIDDEN = 2, /* somebody uses it, and no process shows that */
};

static const char *remedy(VfioWait what) {
        if (what == VFIO_WAIT_LOOK || what == VFIO_WAIT_BACK)
                return "Stop what uses it and try again, or give IdleWaitSec= in /etc/gpuvm.conf; nothing was "
                       "changed";
        return "Stop what uses it and try again, or give IdleWaitSec= in /etc/gpuvm.conf";
}

static int ask(VfioJob *j, VfioWait what, const PciDevice *const *devices, size_t n, bool processes,
               char **ret_who) {
        int r = 0;

        for (size_t i = 0; i < n && r >= 0; i++)
                if (processes || !devices[i]->names)
                        r = pcigroup_list(&j->bus, devices[i]);
        return r < 0 ? r
                     : binder_who(&j->binder, devices, n,
                                  what == VFIO_WAIT_LOOK ? HOLDERS_PERSISTENCED : NULL, processes, ret_who);
}

/* What is open may be on its way through a socket, or in the kernel's own hands. Whoever was there when it
 * was asked first and has left since is not one of them. */
static int ask_for_hidden(VfioJob *j, const PciDevice *const *devices, size_t n, char **ret_who) {
        int r = binder_is_unused(&j->binder, devices, n);

        if (r > 0 || (r < 0 && r != -EBUSY))
                return MIN(r, 0);
        r = free_and_strdup(ret_who, "its VFIO group is open in the kernel, and no process shows it");
        return r < 0 ? r : HIDDEN;
}

/* Returns 1 or HIDDEN and who uses them, 0 if nobody does. Where the kernel counts none, no process is asked,
 * nor what there is to be opened. */
static int look(VfioJob *j, VfioWait what, const PciDevice *const *devices, size_t n, char **ret_who) {
        int unused = binder_is_unused(&j->binder, devices, n), r = unused;

        if (r >= 0 || r == -EBUSY)
                r = ask(j, what, devices, n, unused <= 0, ret_who);
        if (r == 0 && unused == -EBUSY)
                r = ask_for_hidden(j, devices, n, ret_who);
        if (r >= 0)
                return r;
        return j->binder.hang
                        ? vfiojob_refuse_hang(j, -EBUSY)
                        : vfiojob_refuse(j, r, "Nothing was changed", "Cannot find out who uses %s", j->name);
}

static int wait(VfioJob *j, VfioWait what, const PciDevice *const *devices, size_t n) {
        uint64_t begun = monotonic_usec(), wait_usec = j->q->conf->idle_wait_usec;

        if (n == 0 || (j->p->dry_run && geteuid() != 0))
                return 0; /* other users' files cannot be seen, and would all count */
        for (;;) {
                _cleanup_free_ char *who = NULL;
                int r;

                r = look(j, what, devices, n, &who);
                if (r <= 0)
                        return r;
                /* A machine that has ended may have let go of it a moment after its process was gone. */
                if (what == VFIO_WAIT_LET_GO || r == HIDDEN)
                        wait_usec = MAX(wait_usec, LET_GO_SEC * USEC_PER_SEC);
                if (j->p->dry_run || monotonic_usec() >= begun + wait_usec)
                        return vfiojob_refuse(j, -EBUSY, remedy(what), "%s is in use: %s", j->name, who);
                phase_status(j->p, "Waiting until %s is idle: %s", j->name, who);
                (void) poll(NULL, 0, IDLE_POLL_MSEC);
                r = vfiojob_check_stop(j);
                if (r < 0)
                        return r;
        }
}

/* A release that was cut: this one has gone its way already, and may well be used again. */
static bool is_back(const VfioJob *j, const PciDevice *d) {
        const HandoverFunction *was = handover_find(&j->before, d->bdf);

        if (was && was->host)
                return d->driver && !nodes_is_vfio_driver(d->driver);
        return was && streq_ptr(was->driver, d->driver);
}

int vfioidle_wait(VfioJob *j, VfioWait what) {
        _cleanup_free_ const PciDevice **leaving = calloc(j->n_todo + 1, sizeof(*leaving));
        size_t n = 0;

        if (!leaving)
                return -ENOMEM;
        for (size_t i = 0; i < j->n_todo; i++)
                if (what != VFIO_WAIT_BACK || !is_back(j, j->todo[i]))
                        leaving[n++] = j->todo[i];
        return wait(j, what, leaving, n);
}

int vfioidle_wait_unlocked(VfioJob *j, VfioWait what) {
        int r;

        if (j->q->conf->idle_wait_usec == 0 || j->p->dry_run)
                return 0;
        j->waited = true;
        r = vfiojob_check_poisoned(j);
        return r < 0 ? r : vfioidle_wait(j, what);
}

int vfioidle_look(VfioJob *j, const PciDevice *d) {
        return wait(j, VFIO_WAIT_STRICT, &d, 1);
}
