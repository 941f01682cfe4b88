/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Check --fix: the phases of the bootstrap put right what is theirs. They are systemd's to start, one after
 * the other; a restart of the machine that one of them asks for is left to the user. */

#include "bus.h"
#include "check.h"
#include "fs.h"
#include "plan.h"
#include "reboot.h"

/* The longest that a phase may take is half an hour; its unit ends it then. */
#define PHASE_USEC (31 * 60 * USEC_PER_SEC)

/* The phases that are asked for, in the bootstrap's order. Returns 0 or -ENOMEM. */
static int list_phases(const Conf *conf, const Checkup *u, char ***ret) {
        const char *phases[PLAN_PHASES_MAX];
        size_t n = plan_phases(conf, phases);
        int r = 0;

        for (size_t i = 0; i < n; i++)
                for (size_t k = 0; k < u->findings.n && r >= 0; k++) {
                        const Finding *x = &u->findings.items[k];

                        if (x->level >= FINDING_WARN && streq_ptr(x->phase, phases[i]) &&
                            !streq(phases[i], "reboot") && !strv_contains(*ret, phases[i]))
                                r = strv_extend(ret, phases[i]);
                }
        return r;
}

static int start(Bus *bus, const char *phase) {
        _cleanup_free_ char *unit = NULL;
        int r;

        if (asprintf(&unit, "gpuvm-%s.service", phase) < 0)
                return log_oom();
        log_notice("Starting %s", unit);
        r = bus_start_alone(bus, unit, PHASE_USEC);
        if (r == -EPROTO)
                return log_full_errno(LOG_ERR, EPROTO,
                                      "%s failed. 'journalctl -u %s' says why, and what helps", unit, unit);
        if (r < 0)
                return log_error_errno(r, "Cannot start %s: %s", unit,
                                       *bus_message(bus) ? bus_message(bus) : strerror(-r));
        return 0;
}

static bool wants_restart(int root) {
        _cleanup_strv_ char **requests = NULL;

        if (reboot_requests(root, &requests) < 0 || !requests)
                return false;
        log_notice("The machine has to be restarted before anything else: 'sudo systemctl reboot'");
        return true;
}

static int ask(const Context *c, char *const *phases) {
        _cleanup_free_ char *list = strv_join(phases, ", "), *question = NULL;

        if (vmctl_has(c, OPT_YES))
                return 1;
        if (!list || str_printf(&question, "Start these phases of the bootstrap: %s?", list) < 0)
                return log_oom();
        return vmctl_ask(question);
}

int check_fix(Context *c, const CheckHost *h) {
        _cleanup_strv_ char **phases = NULL;
        _cleanup_bus_ Bus *bus = NULL;
        int r;

        if (list_phases(&h->conf, &h->checkup, &phases) < 0)
                return log_oom();
        if (!phases) {
                log_notice("There is nothing here that gpuvm can put right by itself");
                return 0;
        }
        if (vmctl_has(c, OPT_DRY_RUN)) {
                STRV_FOREACH(p, phases)
                        log_notice("gpuvm-%s.service would be started", *p);
                return 0;
        }
        if (!fs_is_host(h->root))
                return log_full_errno(LOG_ERR, EOPNOTSUPP, "A record cannot be put right, only a machine");
        if (geteuid() != 0)
                return log_full_errno(LOG_ERR, EPERM, "Only root may put it right. Use sudo");
        r = ask(c, phases);
        if (r <= 0)
                return r;
        r = bus_open(&bus);
        if (r < 0)
                return log_error_errno(r, "Cannot reach systemd: %m. Is this a system that it runs?");
        STRV_FOREACH(p, phases)
                if (start(bus, *p) < 0 || wants_restart(h->root))
                        break; /* the next one needs it */
        return 1;
}
