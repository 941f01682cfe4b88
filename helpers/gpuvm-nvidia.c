/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* gpuvm-nvidia: NVIDIA's driver for the GPUs that the host itself uses, with CUDA's toolkit and the one for
 * containers.
 *
 * What to install is decided in the room nvidia; this is the doing: sources that can be taken back, packages,
 * and a look whether each kernel that may start next has the module. */

#include "apt.h"
#include "aptrun.h"
#include "child.h"
#include "conf.h"
#include "containerengine.h"
#include "etcfile.h"
#include "fs.h"
#include "initramfs.h"
#include "kernelswap.h"
#include "known.h"
#include "nvidiamodule.h"
#include "nvidiasource.h"
#include "phase.h"

#define NOUVEAU_PATH   "/etc/modprobe.d/gpuvm-nouveau.conf"
#define UBUNTU_DRIVERS "/usr/bin/ubuntu-drivers"

enum { OFFERS_SEC = 60 };

/* What all steps need. */
typedef struct State {
        Phase *p;
        Undo *u;
        Conf conf;
        DpkgStatus packages;
        AptSources sources;
        NvidiaFacts facts;
        UbuntuDrivers offers;
        NvidiaPlan plan;
} State;

static void state_done(State *s) {
        undo_free(s->u);
        conf_done(&s->conf);
        dpkg_done(&s->packages);
        aptsources_done(&s->sources);
        nvidia_facts_done(&s->facts);
        ubuntu_drivers_done(&s->offers);
        nvidia_plan_done(&s->plan);
}

static int read_machine(State *s) {
        _cleanup_strv_ char **notes = NULL, **refusals = NULL;
        Phase *p = s->p;
        int r;

        r = known_apply(p->root, &s->conf, &notes, &refusals);
        if (r < 0)
                return phase_fail(p, r, "Make " KNOWN_PATH " readable.", "Cannot tell which GPUs are which");
        STRV_FOREACH(n, notes)
                phase_note(p, "%s", *n);
        if (refusals)
                return phase_fail(p, 0, KNOWN_REMEDY, "%s", *refusals);
        r = aptrun_status(p, &s->packages);
        if (r < 0)
                return r;
        r = aptsources_load(p->root, NULL, &s->sources);
        if (r >= 0)
                r = nvidia_facts_read(p->root, &s->conf, &s->packages, &s->sources, &s->facts);
        return r < 0 ? phase_fail(p, r, "Make /etc, /proc and /sys readable for it.",
                                  "Cannot tell which GPUs and which driver are here")
                     : 0;
}

static void on_offer(const char *line, void *userdata) {
        State *s = userdata;

        if (ubuntu_drivers_add_line(&s->offers, line) < 0)
                log_debug("Out of memory, leaving out: %s", line);
}

/* Its exit status is 0 also when it finds nothing, so only what it says counts. */
static int ask_ubuntu(State *s) {
        static const char *const package[] = { "ubuntu-drivers-common", NULL };
        /* userdata is the one of on_stdout, so no tick: it is done long before systemd's patience is. */
        const Child c = {
                .root = s->p->root,
                .root_path = s->p->root_path,
                .argv = (const char *const[]){ UBUNTU_DRIVERS, "list", "--gpgpu", NULL },
                .timeout_usec = OFFERS_SEC * USEC_PER_SEC,
                .on_stdout = on_offer,
                .userdata = s,
        };
        int r;

        r = apt_ensure(s->p, s->u, package);
        if (r < 0)
                return r;
        if (r > 0 && s->p->dry_run) {
                phase_note(s->p, "Which driver it is to be, ubuntu-drivers tells when it is installed");
                return 1;
        }
        phase_status(s->p, "Asking ubuntu-drivers which drivers there are");
        r = child_run(&c);
        if (r < 0)
                return phase_fail(s->p, r, "Run 'ubuntu-drivers list --gpgpu' to see what is wrong with it.",
                                  "Failed to run ubuntu-drivers");
        s->facts.host.offers = &s->offers;
        return 0;
}

/* Returns 1 to go on, or what run() shall return. */
static int decide(State *s, int *ret_end) {
        int r;

        r = nvidia_decide(&s->facts.host, &s->conf, &s->plan);
        if (r >= 0 && s->plan.verdict == NVIDIA_ASK) {
                nvidia_plan_done(&s->plan);
                r = ask_ubuntu(s);
                if (r != 0) {
                        *ret_end = MIN(r, PHASE_OK);
                        return 0;
                }
                r = nvidia_decide(&s->facts.host, &s->conf, &s->plan);
        }
        if (r < 0) {
                *ret_end = log_oom();
                return 0;
        }
        STRV_FOREACH(n, s->plan.notes)
                phase_note(s->p, "%s", *n);
        if (s->plan.verdict == NVIDIA_INSTALL)
                return 1;
        if (s->plan.verdict == NVIDIA_REFUSED)
                *ret_end = phase_fail(s->p, 0, s->plan.remedy, "%s", s->plan.reason);
        else {
                phase_note(s->p, "No driver of NVIDIA's is installed: %s", s->plan.reason);
                *ret_end = PHASE_NOT_APPLICABLE;
        }
        return 0;
}

/* nouveau, and its successor, take a card before NVIDIA's module can. */
static int keep_nouveau_away(State *s) {
        int r, holds;

        r = etcfile_put(s->p, s->u, NOUVEAU_PATH,
                        "# Written by gpuvm: NVIDIA's own driver is used here; 'gpuvm-undo nvidia' takes it back.\n"
                        "blacklist nouveau\nblacklist nova_core\nblacklist nova_drm\noptions nouveau modeset=0\n",
                        "nouveau leaves the GPUs to NVIDIA's driver");
        if (r <= 0 || s->p->dry_run)
                return r;
        holds = initramfs_holds(s->p, "nouveau.ko*");
        if (holds <= 0)
                return holds;
        return initramfs_update(s->p, s->u, "nouveau leaves the GPUs to NVIDIA's driver");
}

/* Returns 1 if one of them is not here. */
static int is_missing(const State *s, char *const *packages) {
        _cleanup_strv_ char **missing = NULL;
        int r;

        if (!packages)
                return 0;
        r = dpkg_missing(&s->packages, (const char *const *) packages, &missing);
        return r < 0 ? log_oom() : missing != NULL;
}

static const char *const containers[] = { "nvidia-container-toolkit", NULL };

/* First of all: whether there is a way to these packages shows here, and nothing else has been changed then.
 */
static int add_sources(State *s) {
        const NvidiaPlan *plan = &s->plan;
        int driver = is_missing(s, plan->packages), toolkit = is_missing(s, plan->toolkit), r = 0,
            container = plan->container_toolkit ? is_missing(s, (char *const *) containers) : 0;

        if (driver < 0 || toolkit < 0 || container < 0)
                return -ENOMEM;
        if (driver || toolkit || container)
                r = apt_check(s->p);
        if (r >= 0 && (driver || toolkit))
                r = nvidia_source_add(s->p, s->u, &s->facts, plan, &s->sources);
        if (r >= 0 && container)
                r = nvidia_source_add_containers(s->p, s->u, &s->facts, &s->sources);
        return r;
}

static int ensure(State *s, char *const *packages) {
        return packages ? apt_ensure(s->p, s->u, (const char *const *) packages) : 0;
}

static int install_all(State *s) {
        int r;

        r = add_sources(s);
        if (r >= 0)
                r = nvidia_source_keep_together(s->p, s->u, &s->plan);
        if (r >= 0)
                r = keep_nouveau_away(s);
        if (r >= 0)
                r = ensure(s, s->plan.packages);
        if (r >= 0)
                r = ensure(s, s->plan.toolkit);
        if (r < 0 || !s->plan.container_toolkit)
                return r;
        r = ensure(s, (char *const *) containers);
        return r < 0 ? r : containerengine_configure(s->p, s->u);
}

static int run(Phase *p, int argc, char *argv[]) {
        _cleanup_(state_done) State s = { .p = p };
        int r, end = PHASE_OK;

        r = conf_load_and_warn(p->root, &s.conf);
        if (r >= 0)
                r = undo_open(p->root, p->name, &s.u);
        if (r < 0)
                return log_oom();
        if (!s.conf.nvidia) {
                phase_note(p, "Nvidia=no: nothing to do");
                return PHASE_NOT_APPLICABLE;
        }
        if (kernelswap_is_pending(p->root)) {
                phase_note(p, "The driver comes after the restart, for the kernel that is tried then");
                return PHASE_NOT_APPLICABLE;
        }
        r = read_machine(&s);
        if (r < 0)
                return r;
        if (decide(&s, &end) == 0)
                return end;
        r = install_all(&s);
        if (r < 0 || p->dry_run)
                return MIN(r, PHASE_OK);
        r = nvidiamodule_ensure(p, &s.plan, &s.facts);
        if (r >= 0)
                r = nvidiamodule_bind(p, &s.facts);
        return MIN(r, PHASE_OK);
}

static const Helper helper = {
        .name = "gpuvm-nvidia",
        .summary = "Install NVIDIA's driver for the GPUs that the host uses, and CUDA's toolkits.",
        .run = run,
};

DEFINE_HELPER(helper)
