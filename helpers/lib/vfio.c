/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <poll.h>
#include <stdarg.h>
#include <sys/file.h>
#include <time.h>

#include "binding.h"
#include "fs.h"
#include "holders.h"
#include "keep.h"
#include "module.h"
#include "nodes.h"
#include "strv.h"
#include "vfio.h"

#define PCI_DEVICES "/sys/bus/pci/devices"
#define PCI_DRIVERS "/sys/bus/pci/drivers"
#define LOCK_DIR    RUN_DIR "/lock"

enum {
        LOCK_TIMEOUT_SEC = 120,   /* longer than one attach that waits for a driver */
        SETTLE_TIMEOUT_SEC = 10,  /* for the other functions of a card that is being plugged in */
        PUT_BACK_TIMEOUT_SEC = 5, /* after something went wrong: it works at once or not at all */
        POLL_MSEC = 20,
        IDLE_POLL_MSEC = 500,
};

/* One hand-over, either way. */
typedef struct Job {
        Phase *p;
        const VfioRequest *q;
        char name[BDF_STRING_MAX]; /* of the GPU */
        PciBus bus;
        KeepList keep;
        const PciDevice *gpu;
        IommuVerdict group;
        const PciDevice **todo; /* the functions that are to be changed, n_todo of them */
        size_t n_todo;
        int lock;
        Handover before;
        Binder binder;
        VfioFailure failure;
} Job;

void vfio_failure_done(VfioFailure *f) {
        free(f->cause);
        free(f->remedy);
        *f = (VfioFailure){};
}

static void job_forget(Job *j) {
        iommu_verdict_done(&j->group);
        keep_done(&j->keep);
        pci_bus_done(&j->bus);
        free(j->todo);
        j->todo = NULL;
        j->n_todo = 0;
}

static void job_done(Job *j) {
        job_forget(j);
        handover_done(&j->before);
        binder_done(&j->binder);
        vfio_failure_done(&j->failure);
        (void) safe_close(j->lock);
}

/* Says why not; the first word stands. Returns error. */
_printf_(4, 5) static int refuse(Job *j, int error, const char *remedy, const char *format, ...) {
        va_list ap;
        int n;

        if (j->failure.cause)
                return error;
        va_start(ap, format);
        n = vasprintf(&j->failure.cause, format, ap);
        va_end(ap);
        if (n < 0)
                j->failure.cause = NULL;
        j->failure.remedy = strdup(remedy);
        return error;
}

static uint64_t now_usec(void) {
        struct timespec ts;

        (void) clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t) ts.tv_sec * USEC_PER_SEC + (uint64_t) ts.tv_nsec / 1000;
}

bool vfio_is_attached(const IommuVerdict *v) {
        for (size_t i = 0; i < v->n_endpoints; i++)
                if (!v->endpoints[i]->driver || !nodes_is_vfio_driver(v->endpoints[i]->driver))
                        return false;
        return v->n_endpoints > 0;
}

/* The bus, the GPU and its group as they are now. keep: ask what the host itself needs. Returns 0, or 1 if
 * the GPU is not there. */
static int look(Job *j, bool keep) {
        int r;

        job_forget(j);
        r = pci_scan(j->p->root, &j->bus);
        if (r < 0)
                return r;
        j->gpu = pci_find(&j->bus, j->q->gpu);
        if (!j->gpu)
                return 1;
        if (!pci_is_display(j->gpu))
                return refuse(j, -EINVAL, "'lspci -Dnn -d ::0300' and 'lspci -Dnn -d ::0302' list the GPUs",
                              "%s is no GPU", j->name);
        if (keep) {
                r = keep_find(j->p->root, &j->bus, &j->keep);
                if (r < 0)
                        return refuse(j, r, "Nothing was changed",
                                      "Cannot find out which PCI devices the host itself needs");
        }
        r = iommu_group_check(&j->bus, j->gpu, j->keep.items, j->keep.n,
                              conf_gpu_accept_siblings(j->q->conf, j->name, strempty(j->gpu->path)),
                              &j->group);
        if (r == -ENODEV)
                return refuse(j, -ENODEV,
                              "Turn the IOMMU on: 'systemctl start gpuvm-bootstrap.target' does that, and "
                              "'gpuvm-preflight' says what is in its way",
                              "%s is in no IOMMU group", j->name);
        j->todo = calloc(j->bus.n + 1, sizeof(*j->todo));
        return r < 0 ? r : j->todo ? 0 : -ENOMEM;
}

/* A card comes up function by function. Waits until udev has nothing in hand, as udevadm settle does. */
static int settle(Job *j) {
        uint64_t deadline = now_usec() + SETTLE_TIMEOUT_SEC * USEC_PER_SEC;
        int r;

        while ((r = fs_exists(j->p->root, "/run/udev/queue")) > 0 && now_usec() < deadline)
                (void) poll(NULL, 0, POLL_MSEC);
        return r < 0 ? r : 0;
}

/* One hand-over of a group at a time. The lock is ours alone: no child ever has it. */
static int lock_group(Job *j) {
        uint64_t deadline = now_usec() + LOCK_TIMEOUT_SEC * USEC_PER_SEC;
        _cleanup_free_ char *path = NULL;
        int r;

        r = str_printf(&path, LOCK_DIR "/group-%d", j->gpu->iommu_group);
        if (r >= 0)
                r = fs_mkdir_p(j->p->root, LOCK_DIR, 0755);
        if (r >= 0)
                r = j->lock = fs_open(j->p->root, path, O_RDWR | O_CREAT, 0600);
        if (r < 0)
                return r;
        while (flock(j->lock, LOCK_EX | LOCK_NB) < 0) {
                if (errno != EWOULDBLOCK && errno != EINTR)
                        return -errno;
                if (now_usec() >= deadline)
                        return refuse(j, -EBUSY, "See 'systemctl list-jobs' and try again",
                                      "Another hand-over of IOMMU group %d does not end",
                                      j->gpu->iommu_group);
                phase_alive(j->p);
                (void) poll(NULL, 0, POLL_MSEC);
        }
        return 0;
}

/* Looks again under the lock, and with all functions of the card there. */
static int lock_and_look(Job *j, bool keep) {
        int r, group = j->gpu->iommu_group;

        if (j->p->dry_run)
                return 0;
        r = settle(j);
        if (r >= 0)
                r = lock_group(j);
        if (r >= 0)
                r = look(j, keep);
        if (r == 0 && j->gpu->iommu_group != group)
                return refuse(j, -EAGAIN, "Try again", "%s changed its IOMMU group meanwhile", j->name);
        return r;
}

static int check_poisoned(Job *j) {
        for (size_t i = 0; i < j->n_todo; i++) {
                _cleanup_free_ char *why = NULL;
                int r;

                r = binding_poisoned(j->p->root, j->todo[i], &why);
                if (r > 0)
                        return refuse(j, -EBUSY, "Restart the machine: only that frees the device",
                                      "%s is left alone since its driver hangs: %s", j->todo[i]->name, why);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Virtual functions in use by somebody go down with their parent. */
static int check_virtual_functions(Job *j) {
        for (size_t i = 0; i < j->n_todo; i++) {
                _cleanup_free_ char *path = NULL;
                uint64_t n = 0;

                if (str_printf(&path, PCI_DEVICES "/%s/sriov_numvfs", j->todo[i]->name) < 0)
                        return -ENOMEM;
                if (fs_read_u64(j->p->root, path, &n) >= 0 && n > 0)
                        return refuse(j, -EBUSY, "Write 0 to its sriov_numvfs after their users have ended",
                                      "%s has %llu virtual functions", j->todo[i]->name,
                                      (unsigned long long) n);
        }
        return 0;
}

/* Nobody uses what is to be changed, at once or within IdleWaitSec=. */
static int wait_idle(Job *j) {
        _cleanup_free_ const PciDevice **leaving = calloc(j->n_todo + 1, sizeof(*leaving));
        uint64_t deadline = now_usec() + j->q->conf->idle_wait_usec;
        size_t n = 0;

        if (!leaving)
                return -ENOMEM;
        for (size_t i = 0; i < j->n_todo; i++) {
                const HandoverFunction *was = handover_find(&j->before, j->todo[i]->bdf);

                /* A release that was cut: this one is back already, and may well be used again. */
                if (!was || !streq_ptr(was->driver, j->todo[i]->driver))
                        leaving[n++] = j->todo[i];
        }
        if (j->p->dry_run && geteuid() != 0)
                return 0; /* other users' files cannot be seen, and would all count */
        for (;;) {
                _cleanup_(holders_done) Holders holders = {};
                _cleanup_free_ char *who = NULL;
                int r;

                r = holders_scan(j->p->root, leaving, n, &holders);
                if (r < 0)
                        return refuse(j, r, "Nothing was changed", "Cannot find out who uses %s", j->name);
                if (holders.n == 0)
                        return 0;
                r = holders_describe(&holders, &who);
                if (r < 0)
                        return r;
                if (j->p->dry_run || now_usec() >= deadline)
                        return refuse(j, -EBUSY,
                                      "Stop what uses it and try again, or give IdleWaitSec= in "
                                      "/etc/gpuvm.conf; nothing was changed",
                                      "%s is in use: %s", j->name, who);
                phase_status(j->p, "Waiting until %s is idle: %s", j->name, who);
                (void) poll(NULL, 0, IDLE_POLL_MSEC);
        }
}

/* The VFIO driver that fits the function; its module is loaded if the driver is not there. */
static int find_driver(Job *j, const PciDevice *d, char **ret) {
        _cleanup_free_ char *path = NULL, *modalias = NULL, *driver = NULL, *dir = NULL;
        int r;

        if (str_printf(&path, PCI_DEVICES "/%s/modalias", d->name) < 0)
                return -ENOMEM;
        r = fs_read_line(j->p->root, path, &modalias);
        if (r >= 0)
                r = module_find_vfio(j->p->root, modalias, &driver);
        if (r == -ENOENT || r == -EINVAL)
                r = free_and_strdup(&driver, "vfio_pci");
        if (r < 0)
                return r;
        for (char *c = driver; *c; c++)
                if (*c == '_')
                        *c = '-'; /* a module has underscores, its driver has not */
        r = str_printf(&dir, PCI_DRIVERS "/%s", driver);
        if (r >= 0)
                r = fs_exists(j->p->root, dir);
        if (r == 0) {
                r = phase_change(j->p, "load", driver, "the driver that gives devices to VMs");
                if (r > 0)
                        r = module_load(j->p->root, driver);
                if (r < 0)
                        return refuse(j, r,
                                      r == -EPERM ? "See 'modprobe --showconfig' for what forbids it, and "
                                                    "/sys/kernel/security/lockdown"
                                                  : "Install a kernel that has it: Debian's and Ubuntu's do, "
                                                    "except for Debian's cloud kernel",
                                      "Cannot load the kernel module %s", driver);
        }
        if (r < 0)
                return r;
        *ret = TAKE_PTR(driver);
        return 0;
}

/* What the kernel did not come back from is the reason, whatever was being done. Returns error. */
static int tell(Job *j, int error, const PciDevice *d, const char *doing) {
        if (j->binder.hang)
                return refuse(j, error,
                              "Restart the machine: only that frees the device. Other GPUs are not concerned",
                              "%s", j->binder.hang);
        return refuse(j, error, "'dmesg' has the kernel's reason", "Cannot %s %s", doing, d->name);
}

static int read_overrides(Job *j) {
        for (size_t i = 0; i < j->n_todo; i++) {
                const PciDevice *d = j->todo[i];
                _cleanup_free_ char *override = NULL;
                int r;

                if (handover_find(&j->before, d->bdf))
                        continue;
                r = binder_get_override(&j->binder, d, &override);
                if (r < 0)
                        return tell(j, r, d, "read driver_override of");
                r = handover_add(&j->before, d->bdf, d->driver, override);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* After an error: everything as before, or in ret_left what could not be. */
static int put_back_all(Job *j, char ***ret_left) {
        _cleanup_strv_ char **left = NULL;
        int r;

        j->binder.timeout_usec = MIN(j->binder.timeout_usec, PUT_BACK_TIMEOUT_SEC * USEC_PER_SEC);
        for (size_t i = j->n_todo; i > 0; i--) {
                const PciDevice *d = j->todo[i - 1];

                if (binder_put_back(&j->binder, d, handover_find(&j->before, d->bdf)) >= 0)
                        continue;
                r = strv_extend(&left, d->name);
                if (r < 0)
                        return r;
        }
        *ret_left = TAKE_PTR(left);
        return 0;
}

/* An error on the way: as before, or the user knows what is not. Returns error. */
static int fail_and_put_back(Job *j, int error, const PciDevice *d) {
        _cleanup_strv_ char **left = NULL;
        _cleanup_free_ char *names = NULL, *remedy = NULL;
        int r;

        (void) tell(j, error, d, "give to VFIO the function");
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
        if (!left && handover_remove(j->p->root, j->group.owner->bdf) < 0)
                log_debug("Cannot remove the record of %s", j->group.owner->name);
        return error;
}

static int announce(Job *j, const char *action, char *const *drivers) {
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
static int plan_attach(Job *j) {
        if (!j->group.viable)
                return refuse(j, -EPERM,
                              "Put the GPU into another slot, or change the firmware's PCIe settings",
                              "%s cannot be given to a VM: %s", j->name, strna(j->group.blocker));
        for (size_t i = 0; i < j->group.n_endpoints; i++) {
                const PciDevice *d = j->group.endpoints[i];

                if (!d->driver || !nodes_is_vfio_driver(d->driver))
                        j->todo[j->n_todo++] = d;
        }
        return j->n_todo > 0 ? 1 : 0;
}

static int attach_all(Job *j) {
        _cleanup_strv_ char **drivers = calloc(j->n_todo + 1, sizeof(char *));
        int r = drivers ? 0 : -ENOMEM;

        for (size_t i = 0; i < j->n_todo && r >= 0; i++)
                r = find_driver(j, j->todo[i], &drivers[i]);
        if (r >= 0)
                r = announce(j, "bind", drivers);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = handover_load(j->p->root, j->group.owner->bdf, &j->before);
        if (r == -EBADMSG)
                r = 0; /* nothing to go by: what is there now counts */
        if (r >= 0)
                r = read_overrides(j);
        if (r >= 0)
                r = handover_save(j->p->root, j->group.owner->bdf, &j->before);
        if (r < 0)
                return refuse(j, r, "Make /run/gpuvm writable; nothing was changed",
                              "Cannot record what %s had before", j->name);
        for (size_t i = 0; i < j->n_todo; i++) {
                phase_status(j->p, "Binding %s to %s", j->todo[i]->name, drivers[i]);
                r = binder_bind(&j->binder, j->todo[i], drivers[i]);
                if (r < 0)
                        return fail_and_put_back(j, r, j->todo[i]);
        }
        return 1;
}

static int attach(Job *j) {
        int r;

        r = look(j, true);
        if (r > 0)
                return refuse(j, -ENODEV, "'lspci -D' lists what there is", "There is no PCI device %s",
                              j->name);
        if (r >= 0)
                r = plan_attach(j);
        if (r <= 0)
                return r;
        j->n_todo = 0;
        r = lock_and_look(j, true);
        if (r > 0)
                return refuse(j, -ENODEV, "Plug it in again", "%s is gone", j->name);
        if (r >= 0)
                r = plan_attach(j);
        if (r <= 0)
                return r;
        r = check_poisoned(j);
        if (r >= 0)
                r = check_virtual_functions(j);
        if (r >= 0)
                r = wait_idle(j);
        return r < 0 ? r : attach_all(j);
}

/* What is on VFIO, and what a cut hand-over left between. Returns 1 if there is something to do. */
static int plan_detach(Job *j) {
        int r;

        handover_done(&j->before);
        r = handover_load(j->p->root, j->group.owner->bdf, &j->before);
        if (r < 0 && r != -EBADMSG)
                return r;
        for (size_t i = 0; i < j->bus.n; i++) {
                const PciDevice *d = &j->bus.devices[i];
                bool endpoint = false;

                if (d->iommu_group != j->gpu->iommu_group)
                        continue;
                for (size_t k = 0; k < j->group.n_endpoints; k++)
                        endpoint = endpoint || j->group.endpoints[k] == d;
                if (handover_find(&j->before, d->bdf) ||
                    (endpoint && d->driver && nodes_is_vfio_driver(d->driver)))
                        j->todo[j->n_todo++] = d;
        }
        return j->n_todo > 0 ? 1 : 0;
}

static int detach_all(Job *j) {
        int r;

        r = announce(j, "release", NULL);
        if (r <= 0)
                return r < 0 ? r : 1;
        for (size_t i = 0; i < j->n_todo; i++) {
                const PciDevice *d = j->todo[i];

                phase_status(j->p, "Giving %s back to the host", d->name);
                r = binder_put_back(&j->binder, d, handover_find(&j->before, d->bdf));
                if (r < 0)
                        return tell(j, r, d, "give back to the host the function");
        }
        r = handover_remove(j->p->root, j->group.owner->bdf);
        return r < 0 ? r : 1;
}

static int detach(Job *j) {
        int r;

        r = look(j, false);
        if (r == -ENODEV)
                return vfio_failure_done(&j->failure), 0; /* no group: nothing of it can be on VFIO */
        if (r != 0) {
                /* Gone: what it had is of no use to anybody. */
                if (r > 0 && !j->p->dry_run)
                        r = handover_remove(j->p->root, j->q->gpu);
                return r < 0 ? r : 0;
        }
        r = plan_detach(j);
        if (r <= 0)
                return r;
        j->n_todo = 0;
        r = lock_and_look(j, false);
        if (r != 0)
                return r < 0 ? r : 0;
        r = plan_detach(j);
        if (r <= 0)
                return r;
        r = check_poisoned(j);
        if (r >= 0)
                r = wait_idle(j);
        return r < 0 ? r : detach_all(j);
}

static int run_job(Phase *p, const VfioRequest *q, int (*work)(Job *j), VfioFailure *reterr) {
        _cleanup_(job_done) Job j = {
                .p = p,
                .q = q,
                .lock = -EBADF,
                .binder = {
                        .root = p->root,
                        .timeout_usec = q->write_timeout_usec ?: VFIO_WRITE_TIMEOUT_SEC * USEC_PER_SEC,
                        .tick = phase_alive,
                        .userdata = p,
                },
        };
        int r;

        (void) bdf_format(q->gpu, j.name);
        r = work(&j);
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
