/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Gpuattach: GPUs go to a machine, now and at its next start, or stay where they are.
 *
 * The order: what is in the way is told before anything is changed; then the GPU is taken from the host, by
 * its unit, which proves that nobody uses it; then the machine gets it, first as it runs and then in its
 * definition. For one that is off that is all: its start takes the GPU. What fails is undone at once. The
 * file that declares it comes last: what fails there is told, and the machine keeps its GPU. What is killed
 * leaves a GPU that is the machine's in part: the next attach goes on with it, a detach takes it back, and so
 * does the machine's end (vmgpu.h). */

#include "fs.h"
#include "gpumove.h"
#include "parse.h"
#include "vmgpu.h"

typedef struct Attach {
        Move m;
        Bdf *plugged;
        size_t n_plugged;
        char *before; /* its definition; NULL: it was not changed */
        bool took, noted;
} Attach;

static void attach_done(Attach *a) {
        free(a->plugged);
        free(a->before);
        move_done(&a->m);
}

/* All at once: the units of one group start each other. */
static int take(Attach *a) {
        Move *m = &a->m;
        _cleanup_strv_ char **gpus = NULL;
        int r = 0;

        for (size_t i = 0; i < m->n; i++)
                if (m->cards[i].functions.is_gpu && strv_extend(&gpus, m->cards[i].gpu) < 0)
                        return log_oom();
        r = vmgpu_take(&m->phase, m->vm.name, gpus, 0);
        if (r < 0 && r != -EINTR && move_tell_users(m))
                return -EBUSY;
        return r < 0 ? r : move_check_stop(m);
}

static size_t count_functions(const Move *m) {
        size_t n = 0;

        for (size_t i = 0; i < m->n; i++)
                n += m->cards[i].functions.n;
        return n;
}

static int plug(Attach *a) {
        a->plugged = calloc(count_functions(&a->m) + 1, sizeof(*a->plugged));
        return a->plugged ? live_plug(&a->m, a->plugged, &a->n_plugged) : log_oom();
}

static int define(Attach *a) {
        int r = lasting_define(&a->m, true, &a->before);

        if (r > 0)
                log_info("change the definition of '%s': it has the GPU at its next start as well",
                         a->m.vm.name);
        return r < 0 ? r : move_check_stop(&a->m);
}

static int note(Attach *a) {
        int r = live_note(&a->m, true);

        a->noted = r >= 0;
        return r;
}

/* What it had before stays. */
static void undo(Attach *a) {
        const uint64_t timeout = GPUMOVE_TIMEOUT_SEC * USEC_PER_SEC;
        Move *m = &a->m;
        bool kept;

        m->undoing = true;
        if (a->noted && live_note(m, false) < 0)
                log_warning("Failed to undo what '%s' says of itself, ignoring", m->vm.name);
        if (a->before && virtvm_define(m->c->virt, a->before) < 0)
                log_error("The definition of '%s' could not be undone: %s. 'vmctl gpu detach' does",
                          m->vm.name, virt_message(m->c->virt));
        if (a->before && lasting_order(m) < 0)
                log_debug("The order of '%s' is as the definition says", m->vm.name);
        kept = a->n_plugged > 0 && live_unplug(m, a->plugged, a->n_plugged, timeout) < 0;
        if (kept)
                log_error("'%s' keeps what it has got; 'vmctl gpu detach' takes it back", m->vm.name);
        for (size_t i = 0; i < m->n && a->took && !kept; i++) {
                if (m->cards[i].had || !m->cards[i].functions.is_gpu)
                        continue;
                if (a->n_plugged > 0)
                        move_wait_let_go(m, m->cards[i].gpu);
                (void) !vmgpu_return(&m->phase, m->vm.name, m->cards[i].gpu);
        }
}

/* One that is off gets it when it starts, from its unit: the host may use it meanwhile. */
static int hand_over(Attach *a) {
        int r;

        a->took = true; /* there may be a note of what was stopped */
        r = move_make_idle(&a->m);
        if (r >= 0)
                r = take(a);
        return r < 0 ? r : plug(a);
}

static int change(Attach *a) {
        Move *m = &a->m;
        int r;

        r = m->runs ? hand_over(a) : 0;
        if (r >= 0)
                r = define(a);
        if (r >= 0 && m->runs)
                r = note(a);
        if (r >= 0)
                r = lasting_order(m);
        if (r < 0) {
                undo(a);
                return r;
        }
        lasting_declare(m, true);
        lasting_watch(m);
        return 0;
}

static void show(const Move *m) {
        for (size_t i = 0; i < m->n; i++) {
                const HostdevCard *card = &m->cards[i].functions;

                printf("%s %s %s (", m->vm.name, m->phase.dry_run ? "would get" : "has", m->cards[i].gpu);
                for (size_t k = 0; k < card->n; k++) {
                        char name[BDF_STRING_MAX];

                        printf("%s%s", k > 0 ? ", " : "", bdf_format(card->functions[k], name));
                }
                printf(")%s\n", m->runs ? ", now and at its next start" : ", at its next start");
        }
}

/* What was given wrongly, before anything is looked at. */
static int check_words(const Context *c) {
        const char *limit = vmctl_value(c, OPT_WHEN_IDLE);
        uint64_t usec;

        if (isempty(limit) || parse_sec(limit, &usec) >= 0)
                return 0;
        log_error("'%s' is no time for --when-idle; '90' or '5min' would be", limit);
        return -EINVAL;
}

static int check_user(const Move *m) {
        if (m->phase.dry_run || !fs_is_host(m->phase.root) || geteuid() == 0)
                return 0;
        return log_full_errno(LOG_ERR, EACCES, "Who uses a GPU, and who gets it, is root's to see. Use sudo");
}

/* Its start takes the GPU, and has neither option. */
static void tell_unused(const Move *m) {
        bool waits = vmctl_has(m->c, OPT_WHEN_IDLE), stops = vmctl_has(m->c, OPT_STOP_UNITS);

        if (m->runs || (!waits && !stops))
                return;
        log_notice("'%s' is off: %s for one that runs. Its start takes the GPU, and is refused while the host uses it: 'WhenIdle=' in the file that declares it lets it wait, 'vmctl gpu holders' shows whom to stop",
                   m->vm.name,
                   waits && stops          ? "--when-idle and --stop-units are"
                                   : waits ? "--when-idle is"
                                           : "--stop-units is");
}

static int rehearse(Move *m) {
        int r = m->runs ? move_make_idle(m) : 0;

        if (r >= 0)
                lasting_declare(m, true);
        return r;
}

static int attach(Attach *a, char **words) {
        Move *m = &a->m;
        int r;

        r = check_user(m);
        if (r >= 0)
                r = move_pick_for_attach(m, words);
        if (r >= 0)
                r = move_claim(m);
        if (r >= 0)
                r = move_check(m);
        if (r >= 0)
                r = live_check(m);
        if (r >= 0)
                r = lasting_check(m);
        if (r < 0)
                return r;
        tell_unused(m);
        return m->phase.dry_run ? rehearse(m) : change(a);
}

int cmd_gpu_attach(Context *c, char **args) {
        _cleanup_(attach_done) Attach a = {};
        int r;

        if (check_words(c) < 0)
                return VMCTL_USAGE;
        r = move_open(c, args[0], &a.m);
        if (r >= 0)
                r = attach(&a, args + 1);
        if (r < 0)
                return r;
        if (vmctl_has(c, OPT_JSON))
                return move_show_json(&a.m, a.before || a.n_plugged > 0);
        if (!vmctl_has(c, OPT_QUIET))
                show(&a.m);
        return 0;
}
