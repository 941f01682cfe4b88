/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "vmchoice.h"
#include "fs.h"
#include "gpuchoice.h"
#include "gpulease.h"
#include "hostdevs.h"
#include "queue.h"
#include "stop.h"
#include "virtgpus.h"
#include "vmgpu.h"
#include "vmtaken.h"

/* Who chooses several does so at once: two that have half of what they need would both go without. */
#define CHOICE_LOCK "/run/gpuvm/choice.lock"

enum { LOCK_PATIENCE_SEC = 60 };

/* One look at the host, and what is chosen by it. */
typedef struct Chooser {
        Phase *p;
        Virt *v;
        const char *machine;
        GpuWish wish;
        Conf conf;
        GpuStates states;
        GpuChoice choice;
        char **picked;
        char **refused, **why; /* by their units since the last wait, and what those said */
        VmChoice *made;
} Chooser;

static void drop_leases(VmChoice *s) {
        for (size_t i = 0; i < s->n_leases; i++)
                (void) safe_close(s->leases[i]);
        s->n_leases = 0;
}

void vmchoice_done(VmChoice *s) {
        drop_leases(s);
        free(s->leases);
        free(s->xml);
        *s = (VmChoice){};
}

static void forget(char ***l) {
        strv_free(*l);
        *l = NULL;
}

static void forget_look(Chooser *c) {
        drop_leases(c->made);
        forget(&c->picked);
        if (c->choice.s)
                gpuchoice_done(&c->choice);
        gpustate_done(&c->states);
}

static void chooser_done(Chooser *c) {
        strv_free(c->picked);
        strv_free(c->refused);
        strv_free(c->why);
        if (c->choice.s)
                gpuchoice_done(&c->choice);
        gpustate_done(&c->states);
        gpuwish_done(&c->wish);
        conf_done(&c->conf);
}

static int fail_look(Chooser *c, int r, const char *culprit) {
        return phase_fail(c->p, r, "'vmctl gpu status' shows the GPUs, and who has them",
                          "Cannot choose GPUs for '%s'%s%s", c->machine, culprit ? ": who has what, of " : "",
                          strempty(culprit));
}

static int look(Chooser *c) {
        _cleanup_strv_ char **own = NULL;
        _cleanup_free_ char *culprit = NULL;
        int r;

        r = gpustate_read(c->p->root, &c->conf, false, &c->states);
        if (r >= 0)
                r = virtgpus_mark(c->v, c->p->root, &c->states, &culprit);
        if (r >= 0)
                r = vmtaken_list(c->p->root, c->machine, &own);
        if (r >= 0)
                r = gpuchoice_init(&c->states, &c->wish, c->machine, own, &c->choice);
        for (size_t i = 0; r >= 0 && c->refused && c->refused[i]; i++)
                r = gpuchoice_refuse(&c->choice, c->refused[i], vmgpu_may_pass(c->why[i]), c->why[i]);
        return r < 0 ? fail_look(c, r, culprit) : 0;
}

/* Returns 1, or 0 if somebody else has it: that is noted. */
static int lease(Chooser *c, const char *gpu) {
        _cleanup_free_ char *other = NULL, *why = NULL;
        int r = gpulease_take(c->p->root, gpu, c->machine, &other);

        if (r >= 0) {
                c->made->leases[c->made->n_leases++] = r;
                return 1;
        }
        if (r != -EBUSY)
                return r;
        r = str_printf(&why, "it is on its way to machine '%s', or from it", strempty(other));
        return r < 0 ? r : gpuchoice_refuse(&c->choice, gpu, true, why);
}

/* Returns 1 with all of a choice leased, 0 if there is none. */
static int lease_choice(Chooser *c) {
        for (;;) {
                int r;

                drop_leases(c->made);
                forget(&c->picked);
                r = gpuchoice_pick(&c->choice, &c->picked);
                if (r <= 0)
                        return r;
                STRV_FOREACH(gpu, c->picked)
                        if (r > 0)
                                r = lease(c, *gpu);
                if (r != 0)
                        return r;
        }
}

/* Who has what is looked at with the lock: a machine that was just started is in libvirt's list, or has the
 * lease still. */
static int pick(Chooser *c) {
        _cleanup_close_ int lock = -EBADF;
        int r;

        r = fs_mkdir_p(c->p->root, "/run/gpuvm", 0755);
        lock = r < 0 ? r
                     : queue_enter(c->p->root, CHOICE_LOCK, 1, LOCK_PATIENCE_SEC * USEC_PER_SEC, stop_asked);
        if (lock < 0)
                return phase_fail(c->p, lock, "'fuser -v " CHOICE_LOCK "' names who has it",
                                  "Cannot lock " CHOICE_LOCK);
        r = look(c);
        if (r < 0)
                return r;
        free(c->made->leases);
        c->made->leases = calloc(c->states.n + 1, sizeof(*c->made->leases));
        if (!c->made->leases)
                return log_oom();
        r = lease_choice(c);
        return r < 0 ? fail_look(c, r, NULL) : r;
}

/* Returns 1 with all on VFIO, 0 if a unit has refused: that is noted. */
static int hand_over(Chooser *c) {
        int r = 1;

        STRV_FOREACH(gpu, c->picked) {
                _cleanup_free_ char *why = NULL;

                r = vmgpu_try(c->p, c->machine, *gpu, &why);
                if (r == 0 &&
                    (strv_extend(&c->refused, *gpu) < 0 ||
                     strv_extend(&c->why, isempty(why) ? "its unit refuses it" : why) < 0))
                        return log_oom();
                if (r <= 0)
                        break;
        }
        return r;
}

/* What was taken for a choice that came to nothing, or for one before. */
static int give_back_rest(Chooser *c, char *const *named) {
        _cleanup_strv_ char **taken = NULL;
        int r = vmtaken_list(c->p->root, c->machine, &taken);

        STRV_FOREACH(gpu, taken)
                if (r >= 0 && !strv_contains(c->picked, *gpu) && !(named && strv_contains(named, *gpu)))
                        r = vmgpu_return(c->p, c->machine, *gpu);
        return MIN(r, 0);
}

/* Each time that a unit refuses, the next best: who has what may have changed meanwhile. Returns 1, or 0 if
 * there are not enough. */
static int choose_once(Chooser *c) {
        forget(&c->refused);
        forget(&c->why);
        for (;;) {
                int r;

                forget_look(c);
                r = pick(c);
                if (r > 0)
                        r = hand_over(c) ?: -EAGAIN;
                if (r != -EAGAIN)
                        return r;
        }
}

static int choose(Chooser *c, uint64_t until_usec) {
        for (unsigned round = 0;; round++) {
                _cleanup_free_ char *all = NULL;
                int r = choose_once(c);

                if (r != 0)
                        return MIN(r, 0);
                if (gpuchoice_describe(&c->choice, &all) < 0)
                        return log_oom();
                if (!gpuchoice_may_wait(&c->choice) || monotonic_usec() >= until_usec)
                        return phase_fail(c->p, 0, "'vmctl gpu status' shows more",
                                          "No GPUs for '%s', which asks for %s", c->machine, all);
                phase_status(c->p, "Waiting for GPUs: %s", all);
                r = vmgpu_nap(c->p, round);
                if (r < 0)
                        return r;
        }
}

/* All functions in its slot. */
static void add_card(const Chooser *c, const char *gpu, HostdevCard *card) {
        const PciBus *bus = &c->states.bus;

        for (size_t i = 0; i < c->states.n; i++) {
                const PciDevice *d = c->states.list[i].gpu;

                if (!streq(d->name, gpu))
                        continue;
                card->is_gpu = true;
                for (size_t k = 0; k < bus->n && card->n < ELEMENTSOF(card->functions); k++)
                        if (pci_same_slot(&bus->devices[k], d))
                                card->functions[card->n++] = bus->devices[k].bdf;
        }
}

/* A start that leaves the saved memory behind would let a later one take it for the truth. */
static int check_saved(Chooser *c) {
        int r = virtvm_is_saved(c->v, c->machine);

        if (r > 0)
                return phase_fail(
                                c->p, 0,
                                "'virsh managedsave-remove' forgets it; 'virsh start' goes on from it, without GPUs",
                                "The memory of '%s' was saved", c->machine);
        return r < 0 ? phase_fail(c->p, r, "'vmctl list' shows what there is",
                                  "Cannot tell whether '%s' was saved", c->machine)
                     : 0;
}

static int describe(Chooser *c) {
        size_t n = strv_length(c->picked);
        _cleanup_free_ HostdevCard *cards = calloc(n + 1, sizeof(*cards));
        _cleanup_free_ char *definition = NULL;
        int r;

        if (!cards)
                return log_oom();
        r = check_saved(c);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++)
                add_card(c, c->picked[i], &cards[i]);
        r = virtvm_definition(c->v, c->machine, &definition);
        if (r < 0)
                return phase_fail(c->p, r, "'vmctl list' shows what there is",
                                  "Cannot read the definition of '%s'", c->machine);
        r = hostdevs_add(definition, cards, n, &c->made->xml);
        if (r >= 0)
                return 0;
        return phase_fail(c->p, r,
                          "Its machine type has to be q35, or virt on ARM, with root ports of PCI Express",
                          "Cannot give GPUs to '%s'", c->machine);
}

static int choose_all(Chooser *c, const Metadata *m, uint64_t until_usec) {
        const char *why = NULL;
        int r;

        r = gpuwish_parse((char *const[]){ m->gpu_wish, NULL }, &c->wish, &why);
        if (r == 0 || r == -EINVAL)
                return phase_fail(c->p, EINVAL, "'virsh edit' corrects gpuvm's element in its definition",
                                  "'%s' asks for GPUs '%s', which means nothing", c->machine, m->gpu_wish);
        if (r < 0 || conf_load_and_warn(c->p->root, &c->conf) < 0)
                return log_oom();
        r = choose(c, until_usec);
        if (r >= 0)
                r = give_back_rest(c, m->gpus);
        if (r < 0)
                return r;
        STRV_FOREACH(gpu, c->picked)
                phase_note(c->p, "'%s' gets GPU %s", c->machine, *gpu);
        return describe(c);
}

int vmchoice_make(Phase *p, Virt *v, const char *machine, const Metadata *m, uint64_t until_usec,
                  VmChoice *ret) {
        Chooser c = { .p = p, .v = v, .machine = machine, .made = ret };
        int r = choose_all(&c, m, until_usec);

        chooser_done(&c);
        return r;
}
