/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gpureset.h"

#include <sys/file.h>

#include "binding.h"
#include "fs.h"
#include "gpustate.h"
#include "grouplock.h"
#include "nodes.h"
#include "poison.h"
#include "stop.h"
#include "vfio.h"

#define PCI_DEVICES "/sys/bus/pci/devices"

#define DEAD_REMEDY                                                                                           \
        "Only power helps: shut the machine down, take its power away for a moment (a restart may leave the " \
        "card as it is), and start it"
#define STUCK_REMEDY                                                                                           \
        "End who has it open, if somebody is named, and run this again. Else only a restart of the machine "   \
        "helps, and 'systemctl reboot' may wait for that process for ever: stop the virtual machines and "     \
        "what else matters, 'sync', then 'systemctl reboot --force --force', or the power switch of its BMC. " \
        "Other GPUs are not concerned"

/* A function may take a second after a reset (PCI Express 4.0, 6.6.1), a GPU is slower after its power was
 * gone. */
enum { ANSWER_SEC = 10, RETURN_SEC = 30, POLL_MSEC = 50, NOBODY_THERE = 0xffff };

typedef struct Job {
        const GpuSwitch *s;
        Phase *p;
        const char *name;
        GpuStates states;
        GpuState *g; /* NULL: it is not there */
        Binder binder;
        int lock;
} Job;

static void job_done(Job *j) {
        gpustate_done(&j->states);
        binder_done(&j->binder);
        (void) safe_close(j->lock);
}

static Job job_new(const GpuSwitch *s, const char *name) {
        uint64_t timeout = s->write_timeout_usec ?: VFIO_WRITE_TIMEOUT_SEC * USEC_PER_SEC;

        return (Job){ .s = s,
                      .p = s->p,
                      .name = name,
                      .binder = { .root = s->p->root,
                                  .timeout_usec = timeout,
                                  .tick = phase_alive,
                                  .userdata = s->p,
                                  .dry_run = s->p->dry_run },
                      .lock = -EBADF };
}

static int look(Job *j, Bdf bdf) {
        int r;

        gpustate_done(&j->states);
        j->g = NULL;
        r = gpustate_read(j->p->root, j->s->conf, false, &j->states);
        for (size_t i = 0; i < j->states.n && r >= 0; i++)
                if (bdf_compare(j->states.list[i].gpu->bdf, bdf) == 0)
                        j->g = &j->states.list[i];
        return r < 0 ? phase_fail(j->p, r, "Look at /sys/bus/pci", "Cannot look at the GPUs") : 0;
}

/* No hand-over of its group meanwhile. */
static int lock(Job *j) {
        _cleanup_(iommu_verdict_done) IommuVerdict v = {};
        int r;

        if (j->p->dry_run)
                return 0;
        r = iommu_group_check(&j->states.bus, j->g->gpu, NULL, 0, NULL, &v);
        if (r == -ENODEV)
                return 0;
        if (r >= 0)
                r = j->lock = grouplock_try(j->p->root, v.owner->iommu_group);
        if (r == -EWOULDBLOCK)
                return phase_fail(j->p, 0, "See 'systemctl list-jobs' and try again",
                                  "%s is just being handed over", j->name);
        return r < 0 ? phase_fail(j->p, r, "Make /run/gpuvm writable", "Cannot lock %s", j->name) : 0;
}

/* The vendor, as the card itself says it. */
static int serve_vendor(int root, const char *request, _unused_ size_t n, _unused_ char *answer) {
        _cleanup_close_ int fd = fs_open(root, request, O_RDONLY, 0);
        unsigned char id[2];

        if (fd < 0)
                return fd;
        if (pread(fd, id, sizeof(id), 0) != (ssize_t) sizeof(id))
                return -EIO;
        return id[0] | id[1] << 8;
}

/* Returns 1 if it answers, 0 if it does not, or -errno; -ETIMEDOUT: it is marked now. */
static int answers(Job *j, const PciDevice *d) {
        static const char doing[] = "reading its configuration";
        _cleanup_free_ char *path = NULL;
        pid_t stuck;
        Worker *w;
        int r;

        if (str_printf(&path, PCI_DEVICES "/%s/config", d->name) < 0)
                return -ENOMEM;
        r = binder_worker(&j->binder, &w);
        if (r >= 0)
                r = worker_call(w, serve_vendor, path, strlen(path) + 1, j->binder.timeout_usec, NULL);
        if (r == -ENOENT)
                return 0;
        if (r >= 0)
                return r != NOBODY_THERE;
        if (r != -ETIMEDOUT && r != -ECHILD)
                return r;
        stuck = binder_end_worker(&j->binder);
        if (r == -ETIMEDOUT)
                binder_poison(&j->binder, d, d->driver ?: "n/a", doing, stuck);
        return r;
}

static int await_answer(Job *j, const PciDevice *d, unsigned sec) {
        uint64_t end = monotonic_usec() + sec * USEC_PER_SEC;
        int r;

        do {
                r = answers(j, d);
                if (r == 0)
                        (void) usleep(POLL_MSEC * 1000);
                phase_alive(j->p);
        } while (r == 0 && monotonic_usec() < end);
        return r;
}

/* What a child of ours did not come back from, or the kernel has refused. */
static int tell(Job *j, int error, const char *doing) {
        if (j->binder.hang)
                return phase_fail(j->p, 0, STUCK_REMEDY, "%s", j->binder.hang);
        return phase_fail(j->p, error, "'dmesg' has the kernel's reason", "Cannot %s %s", doing, j->name);
}

/* Links over NVSwitches are the host's fabric manager's to set up, and a GPU that is anew has to be
 * registered with it. */
static void note_fabric(const Job *j) {
        for (size_t i = 0; i < j->states.bus.n; i++)
                if (pci_is_nvswitch(&j->states.bus.devices[i])) {
                        phase_note(j->p,
                                   "This machine has NVSwitches: where the host uses them, 'nvidia-smi -q' tells whether the fabric of %s "
                                   "is complete, and 'systemctl restart nvidia-fabricmanager' sets it up",
                                   j->name);
                        return;
                }
}

/* Nobody has any function of the card open, be it through VFIO or a driver of the host's. */
static int check_idle(Job *j) {
        _cleanup_free_ char *who = NULL;
        int r;

        r = binder_who(&j->binder, j->g->functions, j->g->n_functions, NULL, true, &who);
        if (r > 0)
                return phase_fail(j->p, 0, "Stop that first; nothing was changed", "%s is in use: %s",
                                  j->name, who);
        return r < 0 ? tell(j, r, "find out who uses") : 0;
}

static int check_reset(Job *j) {
        const PciDevice *d = j->g->gpu;

        if (j->g->stuck)
                return phase_fail(j->p, 0, "'vmctl gpu recover' tells what can be done", "%s hangs: %s",
                                  j->name, j->g->stuck);
        if (d->driver && !nodes_is_vfio_driver(d->driver))
                return phase_fail(
                                j->p, 0,
                                "Hand it over first: 'systemctl start' of its unit gpuvm-vfio@ADDRESS.service",
                                "%s has the host's driver %s, and is not reset below it", j->name, d->driver);
        if (d->reset_method && isempty(d->reset_method))
                return phase_fail(j->p, 0, DEAD_REMEDY,
                                  "The kernel knows no way to reset %s (reset_method is empty)", j->name);
        return check_idle(j);
}

static int do_reset(Job *j) {
        const PciDevice *d = j->g->gpu;
        _cleanup_free_ char *path = NULL;
        int r;

        r = answers(j, d);
        if (r == 0)
                return phase_fail(j->p, 0, "'vmctl gpu recover' looks for it again",
                                  "%s does not answer: it fell off the bus", j->name);
        if (r < 0)
                return tell(j, r, "read");
        r = phase_change(j->p, "reset", j->name, "by %s", d->reset_method ?: "what the kernel knows");
        if (r <= 0)
                return r;
        if (str_printf(&path, PCI_DEVICES "/%s/reset", j->name) < 0)
                return log_oom();
        /* To wake it up and to read it may have taken its time, in which a machine may have started. */
        r = check_idle(j);
        if (r < 0)
                return r;
        phase_status(j->p, "Resetting %s", j->name);
        r = binder_put(&j->binder, d, path, "1", "resetting it");
        if (r == -ENOENT)
                return phase_fail(j->p, 0, DEAD_REMEDY, "The kernel knows no way to reset %s", j->name);
        if (r >= 0)
                r = await_answer(j, d, ANSWER_SEC);
        if (r == 0)
                return phase_fail(j->p, 0, "'vmctl gpu recover' looks for it again",
                                  "%s was reset and does not answer any more", j->name);
        return r < 0 ? tell(j, r, "reset") : 0;
}

int gpureset_reset(const GpuSwitch *s, Bdf gpu, const char *name) {
        _cleanup_(job_done) Job j = job_new(s, name);
        int r;

        r = look(&j, gpu);
        if (r >= 0 && !j.g)
                return phase_fail(s->p, -ENODEV, "'vmctl gpu status' lists the GPUs", "There is no GPU %s",
                                  name);
        if (r >= 0)
                r = lock(&j);
        if (r >= 0)
                r = check_reset(&j);
        if (r >= 0)
                r = do_reset(&j);
        if (r >= 0 && !s->p->dry_run) {
                phase_note(s->p, "GPU %s was reset and answers", name);
                note_fabric(&j);
        }
        return MIN(r, 0);
}

/* " Process 812 waits in the kernel (state D, nv_pci_remove) and cannot be killed": what there is to see. */
static int describe_child(pid_t pid, char **ret) {
        _cleanup_close_ int host = fs_open_root(NULL);
        _cleanup_free_ char *path = NULL, *where = NULL;

        if (pid <= 0)
                return str_printf(ret, "%s", "");
        if (str_printf(&path, "/proc/%d/wchan", (int) pid) < 0)
                return -ENOMEM;
        if (host < 0 || fs_read_line(host, path, &where) < 0 || streq(where, "0"))
                return str_printf(ret, "; process %d waits in the kernel and cannot be killed", (int) pid);
        return str_printf(ret, "; process %d waits in the kernel (in %s) and cannot be killed", (int) pid,
                          where);
}

/* Returns 1 if something was marked and hangs no more, 0 if nothing was. */
static int check_marks(Job *j) {
        bool was = false;

        for (size_t i = 0; i < j->g->n_functions; i++) {
                _cleanup_free_ char *why = NULL, *process = NULL;
                _cleanup_(poison_done) Poison mark = {};
                const PciDevice *d = j->g->functions[i];
                int r = poison_find(j->p->root, d, &mark);

                was = was || r > 0;
                if (r >= 0)
                        r = binder_check(&j->binder, d, &why);
                if (r == 0)
                        continue;
                if (r < 0)
                        return tell(j, MIN(r, -EIO), "look at");
                if (describe_child(mark.child, &process) < 0)
                        return log_oom();
                return phase_fail(j->p, 0, STUCK_REMEDY, "%s still hangs: %s%s", d->name, why, process);
        }
        return was;
}

/* Where to look for it again: the bus below its port. */
static int rescan_path(const PciDevice *d, char **ret) {
        _cleanup_free_ char *port = d->devpath ? strdup(d->devpath) : NULL;
        char *slash = port ? strrchr(port, '/') : NULL;
        Bdf b;

        if (!slash)
                return -ENOENT;
        *slash = '\0';
        slash = strrchr(port, '/');
        if (!slash || bdf_parse(slash + 1, &b) < 0)
                return -ENOENT;
        return str_printf(ret, "/sys%s/pci_bus/%04x:%02x/rescan", port, (unsigned) d->bdf.domain,
                          (unsigned) d->bdf.bus);
}

static int note_removed(Job *j, const char *path) {
        _cleanup_free_ char *file = NULL, *text = NULL;
        int r;

        r = str_printf(&file, REMOVED_DIR "/%s", j->name);
        if (r >= 0)
                r = str_printf(&text, "%s\n", path);
        if (r >= 0)
                r = fs_write_atomic(j->p->root, file, text, strlen(text), 0644);
        return r < 0 ? phase_fail(j->p, r, "Make /run/gpuvm writable", "Cannot note where %s was", j->name)
                     : 0;
}

/* d: for what has to be marked. */
static int rescan(Job *j, const PciDevice *d, const char *path) {
        _cleanup_free_ char *file = NULL;
        int r;

        r = phase_change(j->p, "rescan", path, "%s is looked for again", j->name);
        if (r <= 0)
                return r;
        phase_status(j->p, "Looking for %s again", j->name);
        r = binder_put(&j->binder, d, path, "1", "looking for it again");
        if (r >= 0)
                r = await_answer(j, d, RETURN_SEC);
        if (r == 0)
                return phase_fail(j->p, 0, DEAD_REMEDY, "%s did not come back below its port", j->name);
        if (r < 0)
                return tell(j, r, "find");
        if (str_printf(&file, REMOVED_DIR "/%s", j->name) < 0 || fs_remove(j->p->root, file) < 0)
                log_debug("The note of %s stays", j->name);
        phase_note(j->p, "GPU %s is back on the bus; udev and its unit see to its driver", j->name);
        note_fabric(j);
        return 0;
}

/* All functions of its slot, the first one last. */
static int remove_functions(Job *j) {
        for (size_t i = j->g->n_functions; i-- > 0;) {
                const PciDevice *d = j->g->functions[i];
                _cleanup_free_ char *path = NULL;
                int r;

                if (!pci_same_slot(d, j->g->gpu))
                        continue;
                if (str_printf(&path, PCI_DEVICES "/%s/remove", d->name) < 0)
                        return log_oom();
                r = phase_change(j->p, "remove", d->name, "its card fell off the bus");
                if (r > 0)
                        r = binder_put(&j->binder, d, path, "1", "removing it");
                if (r < 0)
                        return tell(j, r, "remove");
        }
        return 0;
}

/* What is noted outlives us: whoever is killed between finds the card again. */
static int find_anew(Job *j) {
        _cleanup_free_ char *path = NULL;
        int r;

        r = rescan_path(j->g->gpu, &path);
        if (r == -ENOENT)
                return phase_fail(j->p, 0, DEAD_REMEDY,
                                  "%s fell off the bus, and is below no port that could be looked at",
                                  j->name);
        if (r < 0)
                return log_oom();
        r = check_idle(j);
        if (r >= 0 && !j->p->dry_run)
                r = note_removed(j, path);
        if (r >= 0)
                r = remove_functions(j);
        return r < 0 ? r : rescan(j, j->g->gpu, path);
}

/* One that was removed, and has not come back. */
static int recover_removed(Job *j, Bdf bdf) {
        PciDevice d = { .bdf = bdf };
        _cleanup_free_ char *file = NULL, *path = NULL;
        int r;

        (void) bdf_format(bdf, d.name);
        r = str_printf(&file, REMOVED_DIR "/%s", d.name);
        if (r >= 0)
                r = fs_read_line(j->p->root, file, &path);
        if (r < 0)
                return phase_fail(j->p, -ENODEV, DEAD_REMEDY, "There is no GPU %s on the bus", j->name);
        return rescan(j, &d, path);
}

static int recover_present(Job *j) {
        int was, r;

        r = lock(j);
        was = r < 0 ? r : check_marks(j);
        if (was < 0)
                return was;
        r = answers(j, j->g->gpu);
        if (r < 0)
                return tell(j, r, "read");
        if (r == 0)
                return find_anew(j);
        if (was == 0 && j->g->stuck) /* not by us: there is no mark that could be taken away */
                return phase_fail(j->p, 0, STUCK_REMEDY, "%s answers, and %s", j->name, j->g->stuck);
        phase_note(j->p, was > 0 ? "GPU %s answers, and hangs no more" : "GPU %s answers, and nothing hangs",
                   j->name);
        return 0;
}

int gpureset_recover(const GpuSwitch *s, Bdf gpu, const char *name) {
        _cleanup_(job_done) Job j = job_new(s, name);
        int r;

        stop_catch();
        r = look(&j, gpu);
        if (r >= 0)
                r = j.g ? recover_present(&j) : recover_removed(&j, gpu);
        j.lock = safe_close(j.lock);
        /* What a hand-over that hung has left between. */
        return r < 0 ? r : gpuswitch_settle(s, gpu, name, NULL, 0);
}
