/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Gpudetach: GPUs leave a machine. One that runs is asked for them and goes on running; its definition is
 * without them then, and the host gets back those that were taken from it for this machine.
 *
 * Nothing of this needs root where polkit and libvirt let somebody else do it. */

#include "fs.h"
#include "gpumove.h"
#include "parse.h"
#include "vmgpu.h"

/* Functions of all cards. */
static int unplug(Move *m, uint64_t timeout_usec) {
        _cleanup_free_ Bdf *functions = NULL;
        size_t n = 0;
        VmState state;
        int r;

        functions = calloc(m->n * ELEMENTSOF(m->cards->functions.functions) + 1, sizeof(*functions));
        if (!functions)
                return log_oom();
        for (size_t i = 0; i < m->n; i++)
                for (size_t k = 0; k < m->cards[i].functions.n; k++)
                        functions[n++] = m->cards[i].functions.functions[k];
        r = live_unplug(m, functions, n, timeout_usec);
        if (r >= 0 && virtvm_state(m->c->virt, m->vm.name, &state) >= 0)
                m->runs = vm_state_is_on(state);
        return r;
}

static int give_back(Move *m, bool *changed) {
        int r, result = 0;

        for (size_t i = 0; i < m->n; i++) {
                const Card *card = &m->cards[i];

                if (!card->functions.is_gpu)
                        continue;
                /* One that is machines' for good stays; what was stopped for it goes on without. */
                if (card->state && card->state->mode == GPU_EXCLUSIVE) {
                        r = vmgpu_settle(&m->phase, card->gpu);
                } else {
                        if (vmgpu_has_units(&m->phase))
                                move_wait_let_go(m, card->gpu);
                        r = vmgpu_return(&m->phase, m->vm.name, card->gpu);
                }
                *changed = *changed || r > 0;
                if (r < 0 && result == 0)
                        result = r;
        }
        return result;
}

static int change(Move *m, uint64_t timeout_usec, bool *changed) {
        _cleanup_free_ char *before = NULL;
        int r = 0;

        if (m->runs)
                r = unplug(m, timeout_usec);
        *changed = r > 0;
        if (r >= 0)
                r = lasting_define(m, false, &before);
        *changed = *changed || r > 0;
        if (r >= 0 && m->runs)
                r = live_note(m, false);
        if (r >= 0)
                r = lasting_order(m);
        if (r < 0)
                return r;
        lasting_declare(m, false);
        return give_back(m, changed);
}

static void show(const Move *m) {
        for (size_t i = 0; i < m->n; i++) {
                const Card *card = &m->cards[i];
                _cleanup_(gpustate_done) GpuStates s = {};
                GpuState *g;

                if (m->phase.dry_run)
                        printf("%s would lose %s\n", m->vm.name, card->gpu);
                else if (move_read(m, &s) < 0 || gpustate_find(&s, card->gpu, &g) <= 0)
                        printf("%s does not have %s any more, nor does this host\n", m->vm.name, card->gpu);
                else
                        printf("%s does not have %s any more; its driver is %s\n", m->vm.name, card->gpu,
                               g->gpu->driver ?: "none");
        }
}

int cmd_gpu_detach(Context *c, char **args) {
        const char *limit = vmctl_value(c, OPT_TIMEOUT);
        uint64_t timeout = GPUMOVE_TIMEOUT_SEC * USEC_PER_SEC;
        _cleanup_(move_done) Move m = {};
        bool changed = false;
        int r;

        if (limit && parse_sec(limit, &timeout) < 0) {
                log_error("'%s' is no time for --timeout; '90' or '5min' would be", limit);
                return VMCTL_USAGE;
        }
        r = move_open(c, args[0], &m);
        if (r >= 0)
                r = move_pick_for_detach(&m, args + 1);
        if (r >= 0)
                r = move_claim(&m);
        if (r >= 0 && m.phase.dry_run)
                lasting_declare(&m, false);
        else if (r >= 0)
                r = change(&m, timeout, &changed);
        if (r < 0)
                return r;
        if (vmctl_has(c, OPT_JSON))
                return move_show_json(&m, changed);
        if (!vmctl_has(c, OPT_QUIET))
                show(&m);
        return 0;
}
