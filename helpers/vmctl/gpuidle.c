/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Gpuidle: what is asked of those who use a GPU of the host's: nothing, but that somebody waits for them
 * (--when-idle) or stops the services among them (--stop-units). The GPU's own unit looks again, and refuses
 * what is in use: this proves nothing. */

#include <signal.h>

#include "bus.h"
#include "fs.h"
#include "gpumove.h"
#include "nodes.h"
#include "parse.h"
#include "stop.h"
#include "vmgpu.h"
#include "vmtaken.h"

enum { WAIT_SEC = 10 * 60, LOOK_SEC = 1, STOP_SEC = 100, LEAVE_SEC = 10, QUIET_SEC = 5 };

/* The host's driver has it, and they have it open. */
static bool is_used(const GpuState *g) {
        return g->gpu->driver && !nodes_is_vfio_driver(g->gpu->driver) && g->holders.n > 0;
}

/* Returns 1 and who uses any of the cards, for a user; 0 if nobody does. */
static int describe(const Move *m, const GpuStates *s, char **ret) {
        _cleanup_strv_ char **l = NULL;
        int r = 0;

        for (size_t i = 0; i < s->n && r >= 0; i++) {
                _cleanup_free_ char *who = NULL;

                if (!move_has(m, s->list[i].gpu->name) || !is_used(&s->list[i]))
                        continue;
                r = holders_describe(&s->list[i].holders, &who);
                if (r >= 0)
                        r = strv_extendf(&l, "%s: %s", s->list[i].gpu->name, who);
        }
        if (r < 0 || !l)
                return r;
        *ret = strv_join(l, "; ");
        return *ret ? 1 : -ENOMEM;
}

bool move_tell_users(const Move *m) {
        _cleanup_(gpustate_done) GpuStates s = {};
        _cleanup_free_ char *who = NULL;

        if (move_read(m, &s) < 0 || describe(m, &s, &who) <= 0)
                return false;
        log_error("It is in use: %s. --when-idle waits", who);
        return true;
}

/* Who is not root cannot see them, and waits once. */
void move_wait_let_go(const Move *m, const char *gpu) {
        if (geteuid() != 0)
                (void) sleep(1);
        for (unsigned i = 0; i < QUIET_SEC * 10; i++) {
                _cleanup_(gpustate_done) GpuStates s = {};
                GpuState *g;

                if (move_read(m, &s) < 0 || gpustate_find(&s, gpu, &g) <= 0 || g->holders.n == 0)
                        return;
                (void) usleep(100 * USEC_PER_MSEC);
        }
}

/* Tells each time that they have changed. Returns 0 when nobody is left. */
static int wait_idle(const Move *m, uint64_t timeout_usec) {
        uint64_t end = monotonic_usec() + timeout_usec;
        _cleanup_free_ char *before = NULL;

        for (;;) {
                _cleanup_(gpustate_done) GpuStates s = {};
                _cleanup_free_ char *who = NULL;
                int r;

                r = move_read(m, &s);
                if (r >= 0)
                        r = describe(m, &s, &who);
                if (r <= 0)
                        return r;
                if (!streq_ptr(who, before))
                        log_notice("Waiting for %s", who);
                free(before);
                before = TAKE_PTR(who);
                if (monotonic_usec() >= end)
                        return log_full_errno(LOG_ERR, EBUSY, "Still in use after %llu s: %s",
                                              (unsigned long long) (timeout_usec / USEC_PER_SEC), before);
                r = virtwatch_wait(m->watch, LOOK_SEC * USEC_PER_SEC);
                if (r < 0 || (r & VIRTWATCH_LOST))
                        return log_full_errno(LOG_ERR, ECONNRESET, "libvirt went away meanwhile");
                r = move_check_stop(m);
                if (r < 0)
                        return r;
        }
}

/* Whose end would be the end of more than was asked for: a user's session, a container, a machine, ourselves.
 */
static bool may_stop(const char *unit) {
        static const char *const never[] = { "user@", "user-runtime-dir@", "gpuvm-", "systemd-", "libvirt",
                                             "virt", "dbus", "ssh",
                                             /* Xorg of a session is theirs, containers' processes may be. */
                                             "display-manager", "gdm", "greetd", "lightdm", "lxdm", "sddm",
                                             "xdm", "containerd", "crio", "docker", "podman" };

        for (size_t i = 0; i < ELEMENTSOF(never); i++)
                if (startswith(unit, never[i]))
                        return false;
        return endswith(unit, ".service");
}

/* Those of all who use the GPU, or a message about one that is in the way. */
static int collect_units(Bus *bus, const GpuState *g, char ***l) {
        for (size_t i = 0; i < g->holders.n; i++) {
                const Holder *h = &g->holders.list[i];
                _cleanup_free_ char *unit = NULL;
                int r;

                if (h->pid == 0)
                        return log_full_errno(
                                        LOG_ERR, EBUSY,
                                        "GPU %s: %s, and no unit of systemd's could be stopped for that",
                                        g->gpu->name, h->what);
                r = bus_unit_of(bus, h->pid, &unit);
                if (r == -ESRCH || (r == -ENOENT && kill(h->pid, 0) < 0))
                        continue; /* it has gone */
                if (r == -ENOENT)
                        return log_full_errno(
                                        LOG_ERR, EBUSY,
                                        "GPU %s is used by %s (%d), which is in no unit that could be stopped",
                                        g->gpu->name, strna(h->comm), (int) h->pid);
                if (r < 0)
                        return log_error_errno(r, "Cannot tell which unit process %d belongs to: %m",
                                               (int) h->pid);
                if (!may_stop(unit))
                        return log_full_errno(
                                        LOG_ERR, EBUSY,
                                        "GPU %s is used by %s (%d) in %s, which is not stopped. Ask whoever it is, or wait by --when-idle",
                                        g->gpu->name, strna(h->comm), (int) h->pid, unit);
                if (!strv_contains(*l, unit) && strv_extend(l, unit) < 0)
                        return log_oom();
        }
        return 0;
}

static int confirm(const Move *m, char *const *units) {
        int r = 1;

        STRV_FOREACH(unit, units)
                log_notice("%s uses the GPU, and %s stopped until the host has it again", *unit,
                           m->phase.dry_run ? "would be" : "is going to be");
        if (!m->phase.dry_run && !vmctl_has(m->c, OPT_YES))
                r = vmctl_ask("Stop them?");
        if (r == 0)
                return log_full_errno(LOG_NOTICE, ECANCELED, "Nothing was changed");
        return MIN(r, 0);
}

static int stop_all(Move *m, Bus *bus, const char *gpu, char *const *units) {
        int r = vmtaken_note_stopped(m->phase.root, m->vm.name, gpu, units);

        if (r < 0)
                return log_error_errno(r, "Cannot note in " VMTAKEN_DIR " what is stopped for GPU %s: %m",
                                       gpu);
        STRV_FOREACH(unit, units) {
                log_info("stop %s: it uses GPU %s", *unit, gpu);
                r = bus_stop_unit(bus, *unit, STOP_SEC * USEC_PER_SEC, phase_alive, &m->phase);
                if (r < 0)
                        return log_error_errno(r, "Cannot stop %s: %m", *unit);
                r = move_check_stop(m);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* The lowest GPU of a group has the record: its unit owns the group. */
static const char *find_owner(const Move *m, const Card *card) {
        for (size_t i = 0; i < m->n; i++)
                if (m->cards[i].state && m->cards[i].state->gpu->iommu_group >= 0 &&
                    m->cards[i].state->gpu->iommu_group == card->state->gpu->iommu_group)
                        return m->cards[i].gpu;
        return card->gpu;
}

static int collect_all(const Move *m, Bus *bus, char ***l) {
        int r = 0;

        for (size_t i = 0; i < m->n && r >= 0; i++)
                if (m->cards[i].state && is_used(m->cards[i].state))
                        r = collect_units(bus, m->cards[i].state, l);
        return r;
}

/* GPUs come back in order, so what uses several is started with the last of them. */
static int stop_each(Move *m, Bus *bus) {
        _cleanup_strv_ char **done = NULL;
        int r = 0;

        for (size_t i = m->n; i > 0 && r >= 0; i--) {
                const Card *card = &m->cards[i - 1];
                _cleanup_strv_ char **units = NULL, **own = NULL;

                if (!card->state || !is_used(card->state))
                        continue;
                r = collect_units(bus, card->state, &units);
                STRV_FOREACH(unit, units)
                        if (r >= 0 && !strv_contains(done, *unit) &&
                            (strv_extend(&own, *unit) < 0 || strv_extend(&done, *unit) < 0))
                                r = log_oom();
                if (r >= 0 && own)
                        r = stop_all(m, bus, find_owner(m, card), own);
        }
        return r;
}

/* Who was asked may have taken his time, and libvirt lets go of who does not answer. */
static int check_connection(const Move *m) {
        VmState state;

        if (virtvm_state(m->c->virt, m->vm.name, &state) >= 0)
                return move_check_stop(m);
        return log_full_errno(LOG_ERR, ECONNRESET,
                              "libvirt went away meanwhile. Nothing was changed; try again, or with --yes");
}

static int stop_units(Move *m) {
        _cleanup_strv_ char **units = NULL;
        _cleanup_bus_ Bus *bus = NULL;
        int r;

        r = vmgpu_has_units(&m->phase) ? bus_open(&bus) : -ENOTCONN;
        if (r < 0)
                return log_error_errno(r, "--stop-units needs systemd, which does not answer: %m");
        r = collect_all(m, bus, &units);
        if (r < 0 || !units)
                return r;
        r = confirm(m, units);
        if (r < 0 || m->phase.dry_run)
                return r;
        r = check_connection(m);
        return r < 0 ? r : stop_each(m, bus);
}

int move_make_idle(Move *m) {
        const char *limit = vmctl_value(m->c, OPT_WHEN_IDLE);
        uint64_t timeout = LEAVE_SEC * USEC_PER_SEC;
        int r = 0;

        if (vmctl_has(m->c, OPT_STOP_UNITS))
                r = stop_units(m);
        if (r < 0 || m->phase.dry_run)
                return r;
        if (limit) {
                timeout = WAIT_SEC * USEC_PER_SEC;
                if (!isempty(limit) && parse_sec(limit, &timeout) < 0)
                        return -EINVAL; /* has been looked at */
        }
        return limit || vmctl_has(m->c, OPT_STOP_UNITS) ? wait_idle(m, timeout) : 0;
}
