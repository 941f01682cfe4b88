/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Metrics: how the host, its machines and its GPUs are, in Prometheus' text format: on standard output, or in
 * a file that node_exporter reads.
 *
 * A look that is made every minute must not change what it looks at: a GPU is asked only if the host's driver
 * has it, somebody has it open already, and nobody is about to take it. Where a driver has hung nobody asks
 * it again for ten minutes: each question leaves a process behind. */

#include <math.h>
#include <time.h>

#include "bus.h"
#include "fs.h"
#include "gpu.h"
#include "gpulease.h"
#include "handover.h"
#include "metrics.h"
#include "nvml.h"
#include "progress.h"
#include "virtverdict.h"

#define HUNG_FILE "/run/gpuvm/metrics.hung"

enum { ANSWER_SEC = 5, REST_SEC = 10 * 60 };

typedef struct Gathering {
        Context *c;
        int root;
        Conf conf;
        Metrics m;
} Gathering;

static void gathering_done(Gathering *g) {
        conf_done(&g->conf);
        metrics_done(&g->m);
        (void) safe_close(g->root);
}

/* One sample for each of the names, 1 for the one that it is. */
static void add_states(Metrics *m, const char *name, const char *const *states, size_t n, size_t is) {
        for (size_t i = 0; i < n; i++)
                metrics_add(m, name, METRICS_LABELED({ "state", states[i] }), i == is);
}

static void add_bootstrap(Gathering *g) {
        const char *states[_PROGRESS_MAX];
        _cleanup_bus_ Bus *bus = NULL;
        Progress p = {};

        if (fs_is_host(g->root) && bus_open(&bus) < 0)
                log_debug("systemd is not asked how far the bootstrap is");
        if (progress_look(g->root, &g->conf, bus, &p) < 0)
                return;
        for (ProgressState s = 0; s < _PROGRESS_MAX; s++)
                states[s] = progress_state_to_string(s);
        metrics_gauge(&g->m, "gpuvm_bootstrap_state",
                      "How far the bootstrap of the host is; 1 for the state.");
        add_states(&g->m, "gpuvm_bootstrap_state", states, _PROGRESS_MAX, p.state);
        metrics_gauge(&g->m, "gpuvm_bootstrap_restarts", "Restarts of the host that the bootstrap has made.");
        metrics_add(&g->m, "gpuvm_bootstrap_restarts", NULL, p.restarts);
        progress_done(&p);
}

/* 1, 0, or NAN for one that nobody has looked at since its start. */
static double readiness(Context *c, const VirtVm *vm) {
        _cleanup_(verdict_done) Verdict v = {};

        if (!vm_state_is_on(vm->state))
                return 0;
        return virtverdict_get(c->virt, vm->name, &v) > 0 ? streq(v.level, "ok") : NAN;
}

/* Each metric with all of its samples: that is the format's rule. */
static void add_each_machine(Gathering *g, const VirtVms *l) {
        Metrics *m = &g->m;

        metrics_gauge(m, "gpuvm_vm_up", "Whether the virtual machine is on.");
        for (size_t i = 0; i < l->n; i++)
                metrics_add(m, "gpuvm_vm_up", METRICS_LABELED({ "vm", l->vms[i].name }),
                            vm_state_is_on(l->vms[i].state));
        metrics_gauge(m, "gpuvm_vm_ready", "Whether it was ready, and well, at the last look at it.");
        for (size_t i = 0; i < l->n; i++)
                metrics_add(m, "gpuvm_vm_ready", METRICS_LABELED({ "vm", l->vms[i].name }),
                            readiness(g->c, &l->vms[i]));
        metrics_gauge(m, "gpuvm_vm_cpus", "Its virtual CPUs.");
        for (size_t i = 0; i < l->n; i++)
                metrics_add(m, "gpuvm_vm_cpus", METRICS_LABELED({ "vm", l->vms[i].name }), l->vms[i].vcpus);
        metrics_gauge(m, "gpuvm_vm_memory_bytes", "Its memory.");
        for (size_t i = 0; i < l->n; i++)
                metrics_add(m, "gpuvm_vm_memory_bytes", METRICS_LABELED({ "vm", l->vms[i].name }),
                            (double) l->vms[i].memory_kib * 1024);
}

/* Drops those of others. */
static void keep_ours(VirtVms *l) {
        size_t n = 0;

        for (size_t i = 0; i < l->n; i++)
                if (l->vms[i].metadata)
                        l->vms[n++] = l->vms[i];
                else
                        virtvm_done(&l->vms[i]);
        l->n = n;
}

/* That it does not answer is a metric, and no error that somebody reads twice a minute. */
static int connect_quietly(Context *c) {
        _cleanup_free_ char *message = NULL;
        int r = c->virt ? 0 : vmctl_open(vmctl_uri(c), &c->virt, &message);

        if (r < 0)
                log_debug("libvirt does not answer: %s", strempty(message));
        return r;
}

static void add_machines(Gathering *g) {
        unsigned counts[_VM_STATE_MAX] = {};
        _cleanup_(virtvms_done) VirtVms l = {};
        int r = connect_quietly(g->c);
        size_t missing = 0;

        if (r >= 0)
                r = virtvm_list_known(g->c->virt, METADATA_URI, &l, &missing);
        metrics_gauge(&g->m, "gpuvm_libvirt_up", "Whether libvirt answers.");
        metrics_add(&g->m, "gpuvm_libvirt_up", NULL, r >= 0);
        if (r < 0)
                return;
        metrics_gauge(&g->m, "gpuvm_vms_unknown", "Virtual machines that libvirt does not tell about.");
        metrics_add(&g->m, "gpuvm_vms_unknown", NULL, (double) missing);
        keep_ours(&l);
        for (size_t i = 0; i < l.n; i++)
                counts[l.vms[i].state]++;
        metrics_gauge(&g->m, "gpuvm_vms", "Virtual machines of gpuvm's, by state.");
        for (VmState s = 0; s < _VM_STATE_MAX; s++)
                metrics_add(&g->m, "gpuvm_vms", METRICS_LABELED({ "state", vm_state_to_string(s) }),
                            counts[s]);
        add_each_machine(g, &l);
}

static void add_owners(Gathering *g, const GpuStates *s) {
        unsigned counts[_GPU_OWNER_MAX] = {};

        for (size_t i = 0; i < s->n; i++)
                counts[s->list[i].owner]++;
        metrics_gauge(&g->m, "gpuvm_gpus", "NVIDIA GPUs of the host, by who has them.");
        for (GpuOwner o = 0; o < _GPU_OWNER_MAX; o++)
                metrics_add(&g->m, "gpuvm_gpus", METRICS_LABELED({ "owner", gpu_owner_to_string(o) }),
                            counts[o]);
        metrics_gauge(&g->m, "gpuvm_gpu_info", "A GPU, and who has it; always 1.");
        for (size_t i = 0; i < s->n; i++) {
                const GpuState *x = &s->list[i];

                metrics_add(&g->m, "gpuvm_gpu_info",
                            METRICS_LABELED({ "gpu", x->gpu->name }, { "name", x->name },
                                            { "driver", x->gpu->driver },
                                            { "mode", gpu_mode_to_string(x->mode) },
                                            { "owner", gpu_owner_to_string(x->owner) }, { "vm", x->machine }),
                            1);
        }
}

static bool is_asleep(int root, const GpuState *x) {
        _cleanup_free_ char *path = NULL, *status = NULL;

        return (x->power && !streq(x->power, "D0") && !streq(x->power, "unknown")) ||
                        str_printf(&path, "/sys/bus/pci/devices/%s/power/runtime_status", x->gpu->name) < 0 ||
                        (fs_read_line(root, path, &status) >= 0 && startswith(status, "suspend"));
}

/* Somebody is handing it over, or is about to. */
static bool is_reserved(int root, const GpuState *x) {
        _cleanup_(handover_done) Handover h = {};
        _cleanup_free_ char *machine = NULL;

        return x->mode == GPU_EXCLUSIVE || gpulease_find(root, x->gpu->name, &machine) != 0 ||
                        handover_gather(root, x->functions, x->n_functions, &h) != 0 || h.n > 0;
}

static bool may_ask(int root, const GpuState *x) {
        return x->owner == GPU_OWNER_HOST && streq_ptr(x->gpu->driver, "nvidia") && x->looked &&
                        x->holders.n > 0 && !is_asleep(root, x) && !is_reserved(root, x);
}

/* Returns 0, or -ETIMEDOUT after which nobody is asked. */
static int sample(Gathering *g, const GpuStates *s, NvmlSample *samples) {
        static const NvmlSample unknown = { NAN, NAN, NAN, NAN, NAN, NAN };
        _cleanup_(worker_freep) Worker *w = NULL;
        int r = 0;

        for (size_t i = 0; i < s->n; i++) {
                const GpuState *x = &s->list[i];

                samples[i] = unknown;
                if (r == -ETIMEDOUT || r == -ENOPKG || !may_ask(g->root, x))
                        continue;
                r = w ? 0 : worker_start(g->root, NULL, NULL, &w);
                if (r >= 0)
                        r = nvml_sample(w, x->gpu->bdf, ANSWER_SEC * USEC_PER_SEC, &samples[i]);
                if (r < 0)
                        log_debug("GPU %s does not tell what it is at: %s", x->gpu->name, strerror(-r));
        }
        return r == -ETIMEDOUT ? r : 0;
}

static void add_samples(Gathering *g, const GpuStates *s, const NvmlSample *samples) {
        static const struct {
                const char *name, *help;
                size_t offset;
        } all[] = {
#define ROW(name, field, help) { "gpuvm_gpu_" name, help, offsetof(NvmlSample, field) }
                ROW("busy_ratio", busy, "Part of the last moment in which the GPU computed."),
                ROW("memory_used_bytes", memory_used, "Memory of the GPU that is in use."),
                ROW("memory_total_bytes", memory_total, "Memory of the GPU."),
                ROW("temperature_celsius", celsius, "Temperature of the GPU."),
                ROW("power_watts", watts, "What the GPU draws."),
                ROW("sm_clock_hertz", sm_hertz, "Clock of its multiprocessors."),
#undef ROW
        };

        for (size_t k = 0; k < ELEMENTSOF(all); k++) {
                metrics_gauge(&g->m, all[k].name, all[k].help);
                for (size_t i = 0; i < s->n; i++) {
                        double value;

                        memcpy(&value, (const char *) &samples[i] + all[k].offset, sizeof(value));
                        metrics_add(&g->m, all[k].name, METRICS_LABELED({ "gpu", s->list[i].gpu->name }),
                                    value);
                }
        }
}

/* A driver that has hung, and not long ago. */
static bool rests(int root) {
        struct stat st;
        time_t now = time(NULL);

        return fs_stat(root, HUNG_FILE, &st) >= 0 && st.st_mtim.tv_sec <= now &&
                        now - st.st_mtim.tv_sec < REST_SEC;
}

static bool any_hangs(const GpuStates *s) {
        for (size_t i = 0; i < s->n; i++)
                if (s->list[i].stuck && startswith(s->list[i].stuck, "the driver"))
                        return true;
        return false;
}

static void add_answers(Gathering *g, bool answers) {
        metrics_gauge(&g->m, "gpuvm_gpu_driver_answers",
                      "Whether drivers of GPUs answer; if not they are left alone for ten minutes.");
        metrics_add(&g->m, "gpuvm_gpu_driver_answers", NULL, answers);
}

static int add_gpus(Gathering *g) {
        _cleanup_(gpustate_done) GpuStates s = {};
        _cleanup_free_ NvmlSample *samples = NULL;
        bool hangs;
        int r;

        if (rests(g->root)) {
                add_answers(g, false);
                return 0;
        }
        r = gpustate_read(g->root, &g->conf, !fs_is_host(g->root) || geteuid() == 0, &s);
        if (r < 0)
                return log_error_errno(r, "Cannot look at the GPUs: %m");
        samples = calloc(s.n + 1, sizeof(*samples));
        if (!samples)
                return log_oom();
        if (g->c->virt && gpu_mark_machines(g->c, &s) < 0)
                log_debug("Which machine has a GPU is not known");
        hangs = any_hangs(&s);
        if (!hangs)
                hangs = sample(g, &s, samples) == -ETIMEDOUT;
        if (hangs && fs_write_atomic(g->root, HUNG_FILE, "", 0, 0644) < 0)
                log_debug("Cannot note in " HUNG_FILE " that a driver hangs");
        add_answers(g, !hangs);
        add_owners(g, &s);
        add_samples(g, &s, samples);
        return 0;
}

/* A recorded host has no libvirt but one that is named, and one elsewhere is not asked what is here. */
static int gather(Gathering *g) {
        const char *uri = vmctl_value(g->c, OPT_CONNECT);
        bool elsewhere = uri && virt_is_elsewhere(uri);
        int r = 0;

        metrics_gauge(&g->m, "gpuvm_info", "The version of gpuvm; always 1.");
        metrics_add(&g->m, "gpuvm_info", METRICS_LABELED({ "version", GPUVM_VERSION }), 1);
        if (!elsewhere)
                add_bootstrap(g);
        if (fs_is_host(g->root) || uri)
                add_machines(g);
        if (!elsewhere)
                r = add_gpus(g);
        return r < 0 ? r : g->m.error < 0 ? log_oom() : 0;
}

/* As whoever reads it needs it: whole, and for everybody. */
static int write_file(const char *path, const char *text) {
        _cleanup_close_ int root = fs_open_root(NULL);
        int r = root < 0 ? root : fs_write_atomic(root, path, text, strlen(text), 0644);

        return r < 0 ? log_error_errno(r, "Cannot write '%s': %m", path) : 0;
}

int cmd_metrics(Context *c, char **args) {
        const char *directory = vmctl_value(c, OPT_ROOT) ?: secure_getenv("GPUVM_ROOT");
        const char *file = vmctl_value(c, OPT_OUTPUT);
        _cleanup_(gathering_done) Gathering g = { .c = c, .root = fs_open_root(directory) };
        _cleanup_free_ char *text = NULL;
        int r;

        if (file && *file != '/') {
                log_error("--output takes an absolute path, not '%s'", file);
                return VMCTL_USAGE;
        }
        if (g.root < 0)
                return log_error_errno(g.root, "Cannot open '%s': %m", directory ?: "/");
        if (conf_load_and_warn(g.root, &g.conf) < 0)
                return log_oom();
        r = gather(&g);
        if (r < 0)
                return r;
        if (metrics_text(&g.m, &text) < 0)
                return log_oom();
        if (file)
                return write_file(file, text);
        return fputs(text, stdout) < 0 ? -EIO : 0;
}
