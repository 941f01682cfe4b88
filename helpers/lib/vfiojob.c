/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <poll.h>
#include <stdarg.h>
#include <sys/file.h>

#include "fs.h"
#include "grouplock.h"
#include "parse.h"
#include "strv.h"
#include "vfiojob.h"

#define PCI_DEVICES "/sys/bus/pci/devices"
#define PCI_DRIVERS "/sys/bus/pci/drivers"
#define HANG_REMEDY                                                                                       \
        "End who has it open, and it comes free by itself; where nobody is named, only a restart of the " \
        "machine helps. Other GPUs are not concerned"

enum {
        LOCK_TIMEOUT_SEC = 120,  /* longer than one attach that waits for a driver */
        SETTLE_TIMEOUT_SEC = 10, /* for the other functions of a card that is being plugged in */
        POLL_MSEC = 20,
};

static void job_forget(VfioJob *j) {
        iommu_verdict_done(&j->group);
        keep_done(&j->keep);
        free(j->todo);
        j->todo = NULL;
        j->n_todo = 0;
}

void vfiojob_done(VfioJob *j) {
        job_forget(j);
        pci_bus_done(&j->bus);
        handover_done(&j->before);
        free(j->driver_there);
        binder_done(&j->binder);
        vfio_failure_done(&j->failure);
        (void) safe_close(j->lock);
}

int vfiojob_refuse(VfioJob *j, int error, const char *remedy, const char *format, ...) {
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

int vfiojob_tell(VfioJob *j, int error, const PciDevice *d, const char *doing) {
        if (error == -EINTR)
                return vfiojob_check_stop(j);
        if (j->binder.hang)
                return vfiojob_refuse_hang(j, error);
        return vfiojob_refuse(j, error, "'dmesg' has the kernel's reason", "Cannot %s %s", doing, d->name);
}

int vfiojob_check_stop(VfioJob *j) {
        if (!j->binder.stopped || !j->binder.stopped())
                return 0;
        return vfiojob_refuse(j, -EINTR, "Start it again when it is wanted",
                              "The hand-over of %s was stopped", j->name);
}

/* What is known of the group, by now or by the caller, is only looked at again. A function that has come
 * since then without anybody waiting might as well come a moment later. */
static int read_group(VfioJob *j) {
        if (j->looked)
                return j->waited ? pcigroup_read_again(j->p->root, j->q->gpu, &j->bus)
                                 : pcigroup_look_again(j->p->root, j->q->gpu, &j->bus);
        j->looked = true;
        if (!j->q->group)
                return pcigroup_read(j->p->root, j->q->gpu, &j->bus);
        j->bus = *j->q->group;
        *j->q->group = (PciBus){};
        return 0;
}

int vfiojob_look(VfioJob *j, bool keep) {
        int r;

        job_forget(j);
        r = read_group(j);
        if (r < 0)
                return r;
        j->gpu = pci_find(&j->bus, j->q->gpu);
        if (!j->gpu)
                return 1;
        if (!pci_is_display(j->gpu))
                return vfiojob_refuse(j, -EINVAL,
                                      "'lspci -Dnn -d ::0300' and 'lspci -Dnn -d ::0302' list the GPUs",
                                      "%s is no GPU", j->name);
        if (keep) {
                r = keep_find(j->p->root, &j->bus, &j->keep);
                if (r < 0)
                        return vfiojob_refuse(j, r, "Nothing was changed",
                                              "Cannot find out which PCI devices the host itself needs");
        }
        r = iommu_group_check(&j->bus, j->gpu, j->keep.items, j->keep.n,
                              conf_gpu_accept_siblings(j->q->conf, j->name, strempty(j->gpu->path)),
                              &j->group);
        if (r == -ENODEV)
                return vfiojob_refuse(
                                j, -ENODEV,
                                "Turn the IOMMU on: 'systemctl start gpuvm-bootstrap.target' does that, and "
                                "'gpuvm-preflight' says what is in its way",
                                "%s is in no IOMMU group", j->name);
        j->todo = calloc(j->bus.n + 1, sizeof(*j->todo));
        return r < 0 ? r : j->todo ? 0 : -ENOMEM;
}

/* A card comes up function by function. Waits until udev has nothing in hand, as udevadm settle does. */
static int settle(VfioJob *j) {
        uint64_t deadline = monotonic_usec() + SETTLE_TIMEOUT_SEC * USEC_PER_SEC;
        int r;

        while ((r = fs_exists(j->p->root, "/run/udev/queue")) > 0 && monotonic_usec() < deadline) {
                j->waited = true;
                (void) poll(NULL, 0, POLL_MSEC);
                r = vfiojob_check_stop(j);
                if (r < 0)
                        return r;
        }
        return r < 0 ? r : 0;
}

/* One hand-over of a group at a time, known by its owner. The lock is ours alone: no child ever has it. */
static int lock_group(VfioJob *j) {
        uint64_t deadline = monotonic_usec() + LOCK_TIMEOUT_SEC * USEC_PER_SEC;
        int r;

        while ((r = j->lock = grouplock_try(j->p->root, j->group.owner->iommu_group)) == -EWOULDBLOCK) {
                if (monotonic_usec() >= deadline)
                        return vfiojob_refuse(j, -EBUSY, "See 'systemctl list-jobs' and try again",
                                              "Another hand-over of IOMMU group %d does not end",
                                              j->group.owner->iommu_group);
                j->waited = true;
                r = vfiojob_check_stop(j);
                if (r < 0)
                        return r;
                phase_alive(j->p);
                (void) poll(NULL, 0, POLL_MSEC);
        }
        return MIN(r, 0);
}

int vfiojob_lock_and_look(VfioJob *j, bool keep) {
        int r, group = j->group.owner->iommu_group;

        if (j->p->dry_run)
                return 0;
        r = settle(j);
        if (r >= 0)
                r = lock_group(j);
        if (r >= 0)
                r = vfiojob_look(j, keep);
        if (r == 0 && j->group.owner->iommu_group != group)
                return vfiojob_refuse(j, -EAGAIN, "Try again", "%s changed its IOMMU group meanwhile",
                                      j->name);
        return r;
}

int vfiojob_refuse_hang(VfioJob *j, int error) {
        return vfiojob_refuse(j, error, HANG_REMEDY, "%s", j->binder.hang);
}

static int check_function(VfioJob *j, const PciDevice *d) {
        _cleanup_free_ char *why = NULL;
        int r;

        r = binder_check(&j->binder, d, &why);
        if (r > 0)
                return vfiojob_refuse(j, -EBUSY, HANG_REMEDY, "%s is left alone since its driver hangs: %s",
                                      d->name, why);
        if (r == -EINTR)
                return vfiojob_check_stop(j);
        return r < 0 && j->binder.hang ? vfiojob_refuse_hang(j, r) : r;
}

int vfiojob_check_poisoned(VfioJob *j) {
        for (size_t i = 0; i < j->group.n_members; i++) {
                int r = check_function(j, j->group.members[i]);

                if (r < 0)
                        return r;
        }
        return 0;
}

int vfiojob_check_virtual_functions(VfioJob *j) {
        for (size_t i = 0; i < j->n_todo; i++) {
                _cleanup_free_ char *line = NULL;
                uint64_t n = 0;
                int r;

                if (j->todo[i]->names && !strv_contains(j->todo[i]->names, "sriov_numvfs"))
                        continue;
                /* Some kernels take the device's lock for it (drivers/pci/iov.c, sriov_numvfs_show()). */
                r = binder_get(&j->binder, j->todo[i], "sriov_numvfs", &line);
                if (r == -ETIMEDOUT || r == -ENOMEM)
                        return vfiojob_refuse(j, r, "End what holds it, or restart the machine", "%s",
                                              j->binder.hang ?: "Cannot look at its virtual functions");
                if (r >= 0 && parse_u64(line, &n) >= 0 && n > 0)
                        return vfiojob_refuse(j, -EBUSY,
                                              "Write 0 to its sriov_numvfs after their users have ended",
                                              "%s has %llu virtual functions", j->todo[i]->name,
                                              (unsigned long long) n);
        }
        return 0;
}

static int load_driver(VfioJob *j, const PciDevice *d, const char *driver) {
        int r = binder_load(&j->binder, d, driver);

        if (r >= 0 || j->binder.hang)
                return r;
        return vfiojob_refuse(
                        j, r,
                        r == -EPERM ? "See 'modprobe --showconfig' for what forbids it, and "
                                      "/sys/kernel/security/lockdown; nothing was changed"
                                    : "Install a kernel that has it: Debian's and Ubuntu's do; nothing was "
                                      "changed",
                        "Cannot load the kernel module %s", driver);
}

static int see_to_driver(VfioJob *j, const PciDevice *d, const char *driver) {
        _cleanup_free_ char *dir = NULL;
        int r;

        r = str_printf(&dir, PCI_DRIVERS "/%s", driver);
        if (r >= 0)
                r = streq_ptr(j->driver_there, driver) ? 1 : fs_exists(j->p->root, dir);
        if (r == 0) {
                r = phase_change(j->p, "load", driver, "the driver that gives devices to VMs");
                if (r > 0)
                        r = load_driver(j, d, driver);
        }
        return r < 0 ? r : free_and_strdup(&j->driver_there, driver);
}

int vfiojob_find_drivers(VfioJob *j, char ***ret) {
        _cleanup_strv_ char **drivers = NULL;
        int r = 0;

        if (j->n_todo > 0)
                r = binder_find_vfio(&j->binder, j->todo, j->n_todo, &drivers);
        for (size_t i = 0; i < j->n_todo && r >= 0; i++)
                r = see_to_driver(j, j->todo[i], drivers[i]);
        if (r < 0)
                return j->binder.hang ? vfiojob_refuse_hang(j, -EBUSY) : r;
        *ret = TAKE_PTR(drivers);
        return 0;
}
