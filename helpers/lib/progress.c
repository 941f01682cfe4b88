/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <inttypes.h>
#include <time.h>

#include "fs.h"
#include "phase.h"
#include "plan.h"
#include "progress.h"
#include "reboot.h"
#include "report.h"
#include "stopped.h"

enum { RECORD_MAX = 1024 * 1024 };

const char *progress_state_to_string(ProgressState s) {
        static const char *const names[_PROGRESS_MAX] = {
                [PROGRESS_NOT_STARTED] = "not started",
                [PROGRESS_RUNNING] = "running",
                [PROGRESS_RESTARTING] = "restarting",
                [PROGRESS_ASKED] = "waiting for a restart",
                [PROGRESS_FAILED] = "failed",
                [PROGRESS_STOPPED] = "stopped",
                [PROGRESS_DONE] = "done",
        };

        return (size_t) s < ELEMENTSOF(names) ? names[s] : NULL;
}

static const char *string_of(json_object *o, const char *key) {
        json_object *v;

        return json_object_object_get_ex(o, key, &v) && json_object_is_type(v, json_type_string)
                        ? json_object_get_string(v)
                        : "";
}

/* The record's word, in the words of a status. */
static const char *state_of(const char *result, size_t n_changes) {
        if (streq(result, "ok"))
                return n_changes > 0 ? "done" : "nothing to do";
        if (streq(result, "not-applicable"))
                return "not applicable";
        if (streq(result, "reboot-needed"))
                return "needs a restart";
        return streq(result, "failed") ? "failed" : "waiting";
}

static int look_at_record(int root, ProgressPhase *ph) {
        _cleanup_free_ char *path = NULL, *text = NULL;
        _cleanup_json_ json_object *o = NULL;
        json_object *v;
        int r;

        if (str_printf(&path, "/run/gpuvm/phases/%s.json", ph->noun) < 0)
                return -ENOMEM;
        r = fs_read(root, path, RECORD_MAX, &text, NULL);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        o = json_tokener_parse(text);
        if (!o || !json_object_is_type(o, json_type_object))
                return 0;
        if (json_object_object_get_ex(o, "changes", &v) && json_object_is_type(v, json_type_array))
                ph->n_changes = json_object_array_length(v);
        if (json_object_object_get_ex(o, "took_ms", &v))
                ph->took_msec = (uint64_t) MAX(json_object_get_int64(v), (int64_t) 0);
        ph->state = state_of(string_of(o, "result"), ph->n_changes);
        return free_and_strdup(&ph->text, string_of(o, "failure"));
}

static uint64_t realtime_usec(void) {
        struct timespec ts;

        (void) clock_gettime(CLOCK_REALTIME, &ts);
        return (uint64_t) ts.tv_sec * USEC_PER_SEC + (uint64_t) ts.tv_nsec / 1000;
}

/* systemd knows better than a record of the run before: what runs now, what never began, what was killed. */
static int look_at_unit(Bus *bus, ProgressPhase *ph) {
        _cleanup_(bus_unit_done) BusUnit u = {};
        _cleanup_free_ char *unit = NULL;
        uint64_t now = realtime_usec();

        if (str_printf(&unit, "gpuvm-%s.service", ph->noun) < 0)
                return -ENOMEM;
        if (bus_unit_state(bus, unit, &u) < 0)
                return 0;
        if (streq(u.active_state, "activating")) {
                ph->state = "running";
                ph->took_msec = now > u.since_usec ? (now - u.since_usec) / USEC_PER_MSEC : 0;
                return free_and_strdup(&ph->text, u.status_text);
        }
        if (u.has_job)
                ph->state = "waiting";
        else if (streq(u.active_state, "failed") && !streq(ph->state, "failed") &&
                 !streq(ph->state, "needs a restart")) {
                ph->state = "failed";
                return isempty(ph->text) ? free_and_strdup(&ph->text, u.result) : 0;
        }
        return 0;
}

static bool any_phase(const Progress *p, const char *state) {
        for (size_t i = 0; i < p->n; i++)
                if (streq(p->phases[i].state, state))
                        return true;
        return false;
}

static bool phase_runs(const Progress *p, const char *noun) {
        for (size_t i = 0; i < p->n; i++)
                if (streq(p->phases[i].noun, noun))
                        return streq(p->phases[i].state, "running");
        return false;
}

/* What the parts add up to. story: as reboot_story_load() returned. */
static ProgressState add_up(int root, const Progress *p, int story, const RebootStory *s) {
        if (phase_runs(p, "reboot"))
                return PROGRESS_RESTARTING;
        if (any_phase(p, "running"))
                return PROGRESS_RUNNING;
        if (any_phase(p, "needs a restart"))
                return PROGRESS_ASKED;
        if (any_phase(p, "failed"))
                return PROGRESS_FAILED;
        if (story < 0)
                return PROGRESS_STOPPED;
        if (story > 0) /* gpuvm-resume comes soon, or has given up */
                return s->resumes >= REBOOT_MAX_RESUMES ? PROGRESS_STOPPED : PROGRESS_RUNNING;
        if (fs_exists(root, STOPPED_PATH) > 0)
                return PROGRESS_FAILED; /* in an earlier boot, whose records are gone */
        return fs_exists(root, REPORT_PATH) > 0 ? PROGRESS_DONE : PROGRESS_NOT_STARTED;
}

int progress_look(int root, const Conf *c, Bus *bus, Progress *ret) {
        _cleanup_(progress_done) Progress p = {};
        _cleanup_(reboot_story_done) RebootStory s = {};
        const char *nouns[PLAN_PHASES_MAX];
        size_t n = plan_phases(c, nouns);
        int r = 0, story;

        p.phases = calloc(n + 1, sizeof(*p.phases));
        if (!p.phases)
                return -ENOMEM;
        for (; p.n < n && r >= 0; p.n++) {
                ProgressPhase *ph = &p.phases[p.n];

                *ph = (ProgressPhase){ .noun = nouns[p.n], .state = "waiting", .text = strdup("") };
                r = ph->text ? look_at_record(root, ph) : -ENOMEM;
                if (r >= 0 && bus)
                        r = look_at_unit(bus, ph);
        }
        if (r < 0)
                return r;
        story = reboot_story_load(root, &s);
        p.restarts = s.total;
        p.state = add_up(root, &p, story, &s);
        /* The records of an earlier boot are gone, but the end was proven. */
        for (size_t i = 0; p.state == PROGRESS_DONE && i < p.n; i++)
                if (streq(p.phases[i].state, "waiting"))
                        p.phases[i].state = "done";
        *ret = p;
        p = (Progress){};
        return 0;
}

void progress_done(Progress *p) {
        for (size_t i = 0; i < p->n; i++)
                free(p->phases[i].text);
        free(p->phases);
        *p = (Progress){};
}

int progress_to_json(const Progress *p, json_object **ret) {
        _cleanup_json_ json_object *o = json_object_new_object();
        json_object *phases = json_object_new_array();

        if (!o || !phases) {
                (void) json_object_put(phases);
                return -ENOMEM;
        }
        (void) json_object_object_add(o, "state", json_object_new_string(progress_state_to_string(p->state)));
        (void) json_object_object_add(o, "restarts", json_object_new_int((int) p->restarts));
        (void) json_object_object_add(o, "phases", phases);
        for (size_t i = 0; i < p->n; i++) {
                const ProgressPhase *ph = &p->phases[i];
                json_object *e = json_object_new_object();

                (void) json_object_object_add(e, "phase", json_object_new_string(ph->noun));
                (void) json_object_object_add(e, "state", json_object_new_string(ph->state));
                (void) json_object_object_add(e, "text", json_object_new_string(ph->text));
                (void) json_object_object_add(e, "took_ms", json_object_new_int64((int64_t) ph->took_msec));
                (void) json_object_object_add(e, "changes", json_object_new_int64((int64_t) ph->n_changes));
                (void) json_object_array_add(phases, e);
        }
        *ret = TAKE_PTR(o);
        return 0;
}

static const char *advice(ProgressState s) {
        switch (s) {
        case PROGRESS_NOT_STARTED:
                return "'gpu-vm-bootstrap --dry-run' shows what it would do, 'sudo gpu-vm-bootstrap' does it.";
        case PROGRESS_RUNNING:
                return "'gpu-vm-bootstrap --follow' shows it live.";
        case PROGRESS_RESTARTING:
                return "The machine restarts soon, and the bootstrap goes on by itself. 'shutdown -c' cancels it.";
        case PROGRESS_ASKED:
                return "'sudo systemctl reboot' restarts it, and the bootstrap goes on by itself.";
        case PROGRESS_FAILED:
                return "'journalctl -u \"gpuvm-*\"' tells more; 'sudo gpu-vm-bootstrap' tries again; 'sudo "
                       "gpuvm-undo --list' shows what can be taken back.";
        case PROGRESS_STOPPED:
                return "It did not come to its end after a restart and does not try again by itself: 'journalctl -u "
                       "\"gpuvm-*\"' tells why, 'sudo gpu-vm-bootstrap' tries again.";
        default:
                return NULL;
        }
}

void progress_print(const Progress *p, FILE *f) {
        fprintf(f, "GPU-VM bootstrap: %s", progress_state_to_string(p->state));
        if (p->restarts > 0)
                fprintf(f, ", %u restart%s so far", p->restarts, p->restarts == 1 ? "" : "s");
        fputc('\n', f);
        for (size_t i = 0; i < p->n; i++) {
                const ProgressPhase *ph = &p->phases[i];

                fprintf(f, "  %-10s %-15s", ph->noun, ph->state);
                if (ph->took_msec > 0)
                        fprintf(f, " %5" PRIu64 ".%" PRIu64 " s", ph->took_msec / 1000,
                                ph->took_msec / 100 % 10);
                else
                        fprintf(f, " %9s", "");
                fprintf(f, "%s%s\n", *ph->text ? "  " : "", ph->text);
        }
        if (advice(p->state))
                fprintf(f, "%s\n", advice(p->state));
}

int progress_exit_status(ProgressState s) {
        static const int exit_status[_PROGRESS_MAX] = {
                [PROGRESS_NOT_STARTED] = PROGRESS_NOT_FINISHED,
                [PROGRESS_RUNNING] = PROGRESS_NOT_FINISHED,
                [PROGRESS_RESTARTING] = PHASE_REBOOT_NEEDED,
                [PROGRESS_ASKED] = PHASE_REBOOT_NEEDED,
                [PROGRESS_FAILED] = EXIT_FAILURE,
                [PROGRESS_STOPPED] = EXIT_FAILURE,
                [PROGRESS_DONE] = EXIT_SUCCESS,
        };

        return exit_status[s];
}

int progress_show(int root, const Conf *c, bool json, FILE *f, ProgressState *ret) {
        _cleanup_json_ json_object *o = NULL, *report = NULL;
        _cleanup_(progress_done) Progress p = {};
        _cleanup_bus_ Bus *bus = NULL;
        int r;

        if (fs_is_host(root) && bus_open(&bus) < 0)
                bus = NULL; /* the files still tell much */
        r = progress_look(root, c, bus, &p);
        if (r >= 0 && json)
                r = progress_to_json(&p, &o);
        if (r < 0)
                return r;
        if (p.state == PROGRESS_DONE && report_read(root, &report) < 0)
                report = NULL; /* what follows from the records is told in any case */
        if (o && report)
                (void) json_object_object_add(o, "report", TAKE_PTR(report));
        if (o)
                (void) json_print(o, f);
        else
                progress_print(&p, f);
        if (report) {
                fputc('\n', f);
                report_print(report, f);
        }
        *ret = p.state;
        return 0;
}
