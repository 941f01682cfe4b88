/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* gpuvm-tune: persistence mode and application clocks of the GPUs that are on NVIDIA's driver, as gpuvm.conf
 * asks for. The driver forgets both when it lets go of a GPU, so this is done at each boot, and again when a
 * GPU has come back from VFIO. */

#include "conf.h"
#include "grouplock.h"
#include "iommu.h"
#include "known.h"
#include "nvml.h"
#include "strv.h"

enum { CALL_SEC = 60 };

#define CALL_USEC (CALL_SEC * USEC_PER_SEC)

/* What all calls for one GPU need. */
typedef struct Tuning {
        Phase *p;
        const PciDevice *gpu;
        Worker *worker;
} Tuning;

/* What the GPU or its driver cannot do is left out; only what it does not do is a failure. */
static int tell(const Tuning *t, int r, const char *what) {
        const char *name = t->gpu->name;

        if (r == -EOPNOTSUPP || r == -ENODEV) {
                phase_note(t->p, "%s: its driver does not know %s", name, what);
                return 0;
        }
        if (r == -EINVAL)
                return phase_fail(
                                t->p, 0,
                                "'nvidia-smi -q -d SUPPORTED_CLOCKS -i' and its address lists those it has; write "
                                "two of them into ApplicationClocks= of its own section in gpuvm.conf",
                                "%s has no such %s", name, what);
        if (r == -ETIMEDOUT)
                return phase_fail(t->p, r, "See 'dmesg' and 'vmctl gpu status'; nothing else waits for it",
                                  "NVIDIA's driver does not answer for %s", name);
        return r < 0 ? phase_fail(t->p, r, "See what 'nvidia-smi' says", "Cannot set %s of %s", what, name)
                     : 0;
}

static int tune_persistence(const Tuning *t, bool on) {
        NvmlState state;
        int r;

        r = nvml_get(t->worker, t->gpu->bdf, CALL_USEC, &state);
        if (r >= 0 && (state.persistent == on || state.draining))
                return 0;
        if (r >= 0)
                r = phase_change(t->p, "set", t->gpu->name, "persistence mode %s", on ? "on" : "off");
        if (r > 0)
                r = nvml_set_persistent(t->worker, t->gpu->bdf, on, CALL_USEC);
        return r;
}

static int tune_clocks(const Tuning *t, const char *wanted) {
        NvmlClocks now, want;
        int r;

        if (sscanf(wanted, "%u,%u", &want.memory, &want.graphics) != 2)
                return -EINVAL;
        r = nvml_get_clocks(t->worker, t->gpu->bdf, CALL_USEC, &now);
        if (r >= 0 && now.memory == want.memory && now.graphics == want.graphics)
                return 0;
        if (r >= 0)
                r = phase_change(t->p, "set", t->gpu->name,
                                 "application clocks %u,%u MHz (memory, graphics) instead of %u,%u",
                                 want.memory, want.graphics, now.memory, now.graphics);
        if (r > 0)
                r = nvml_set_clocks(t->worker, t->gpu->bdf, &want, CALL_USEC);
        return r;
}

/* Both are tried, whatever becomes of the first. */
static int tune(const Tuning *t, const Conf *c) {
        const char *wanted = conf_gpu_clocks(c, t->gpu->name, strempty(t->gpu->path));
        int r = 0, failed = 0;

        if (c->persistence != PERSISTENCE_KEEP)
                r = tune_persistence(t, c->persistence == PERSISTENCE_YES);
        if (r == -ENOPKG)
                return r;
        failed = tell(t, r, "persistence mode");
        r = wanted && r != -ETIMEDOUT ? tune_clocks(t, wanted) : 0;
        if (r == -ENOPKG)
                return r;
        return tell(t, r, "application clocks") ?: failed;
}

/* Nobody hands it over meanwhile: a GPU that the library has open looks like one that is used. Returns 1 to
 * go on, 0 if somebody does; ret_lock may stay what it is. */
static int lock(Phase *p, const PciBus *bus, const PciDevice *d, int *ret_lock) {
        _cleanup_(iommu_verdict_done) IommuVerdict v = {};
        int r;

        r = iommu_group_check(bus, d, NULL, 0, NULL, &v);
        if (r == -ENODEV || (r >= 0 && p->dry_run))
                return 1;
        if (r >= 0)
                r = grouplock_try(p->root, v.owner->iommu_group);
        if (r < 0)
                return r == -EWOULDBLOCK ? 0 : r;
        *ret_lock = r;
        return 1;
}

/* As it is now, under its lock. */
static int tune_gpu(Phase *p, const Conf *c, const PciDevice *seen, const PciBus *bus) {
        _cleanup_(worker_freep) Worker *worker = NULL;
        _cleanup_(pci_bus_done) PciBus now = {};
        _cleanup_close_ int fd = -EBADF;
        Tuning t = { .p = p };
        int r;

        r = lock(p, bus, seen, &fd);
        if (r == 0) {
                phase_note(p, "%s is just being handed over", seen->name);
                return 0;
        }
        if (r >= 0)
                r = pci_scan(p->root, &now);
        t.gpu = r < 0 ? NULL : pci_find(&now, seen->bdf);
        if (r >= 0 && (!t.gpu || !streq_ptr(t.gpu->driver, "nvidia")))
                return 0;
        if (r >= 0)
                r = worker_start(p->root, phase_alive, p, &worker);
        if (r < 0)
                return phase_fail(p, r, "Make /run/gpuvm writable, and /sys readable", "Cannot look at %s",
                                  seen->name);
        phase_status(p, "Setting up GPU %s", seen->name);
        t.worker = worker;
        r = tune(&t, c);
        (void) worker_end(TAKE_PTR(worker));
        return r;
}

static int run(Phase *p, int argc, char *argv[]) {
        _cleanup_strv_ char **notes = NULL, **refusals = NULL;
        _cleanup_(conf_done) Conf conf = {};
        _cleanup_(pci_bus_done) PciBus bus = {};
        int failed = 0, r;

        r = conf_load_and_warn(p->root, &conf);
        if (r < 0)
                return log_oom();
        if (!conf_tunes(&conf)) {
                phase_note(p, "gpuvm.conf has neither Persistence= nor ApplicationClocks=: nothing to do");
                return PHASE_NOT_APPLICABLE;
        }
        r = known_apply(p->root, &conf, &notes, &refusals);
        if (r >= 0)
                r = pci_scan(p->root, &bus);
        if (r < 0)
                return phase_fail(p, r, "Look at /sys/bus/pci and make " KNOWN_PATH " readable",
                                  "Cannot tell which GPUs are here");
        for (size_t i = 0; i < bus.n && r != -ENOPKG; i++) {
                const PciDevice *d = &bus.devices[i];

                if (!pci_is_nvidia_gpu(d) || !streq_ptr(d->driver, "nvidia"))
                        continue;
                r = tune_gpu(p, &conf, d, &bus);
                failed = failed ?: r == -ENOPKG ? 0 : MIN(r, 0);
        }
        if (r == -ENOPKG)
                phase_note(p, "NVIDIA's management library (libnvidia-ml.so.1) is not installed");
        return failed;
}

static const Helper helper = {
        .name = "gpuvm-tune",
        .summary = "Sets persistence mode and application clocks of the host's GPUs.",
        .run = run,
        .no_record = true,
        .no_turn = true,
};

DEFINE_HELPER(helper)
