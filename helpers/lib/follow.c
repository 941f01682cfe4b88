/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <inttypes.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <systemd/sd-id128.h>
#include <systemd/sd-journal.h>

#include "follow.h"
#include "fs.h"
#include "phase.h"
#include "plan.h"

#define TARGET "gpuvm-bootstrap.target"

enum { TICK_MSEC = 250, JOIN_TICKS = 8 };

typedef struct Watched {
        const char *noun;
        char *unit;
        char *invocation; /* the last one seen */
        bool running;
        uint64_t began_usec;
} Watched;

typedef struct Follow {
        Bus *bus;
        FILE *out;
        bool live, drawn, told_restart;
        uint64_t began_usec;
        sd_journal *journal; /* NULL: may not be read */
        Watched watched[PLAN_PHASES_MAX];
        size_t n;
} Follow;

static volatile sig_atomic_t interrupted;

static void on_signal(int signal) {
        interrupted = signal;
}

int follow_prepare(void) {
        struct sigaction sa = { .sa_handler = on_signal };

        if (sigaction(SIGINT, &sa, NULL) < 0 || sigaction(SIGTERM, &sa, NULL) < 0)
                return -errno;
        return 0;
}

static void follow_done(Follow *f) {
        for (size_t i = 0; i < f->n; i++) {
                free(f->watched[i].unit);
                free(f->watched[i].invocation);
        }
        if (f->journal)
                sd_journal_close(f->journal);
}

static void erase(Follow *f) {
        if (f->drawn)
                fputs("\r\033[K", f->out);
        f->drawn = false;
}

static void say(Follow *f, const char *noun, const char *text, size_t size) {
        uint64_t msec = (boottime_usec() - f->began_usec) / USEC_PER_MSEC;

        erase(f);
        fprintf(f->out, "[%5" PRIu64 ".%" PRIu64 "] %s: ", msec / 1000, msec / 100 % 10, noun);
        /* The journal takes any bytes; a terminal must not. */
        for (size_t i = 0; i < size; i++)
                fputc((unsigned char) text[i] < ' ' || text[i] == 0x7f ? ' ' : text[i], f->out);
        fputc('\n', f->out);
        fflush(f->out);
}

static void draw(Follow *f, const Watched *w, const char *status) {
        static const char *const wheel[] = { "|", "/", "-", "\\" };
        uint64_t now = boottime_usec();
        struct winsize ws = {};
        int columns, width;

        if (!f->live)
                return;
        columns = ioctl(fileno(f->out), TIOCGWINSZ, &ws) >= 0 && ws.ws_col > 40 ? ws.ws_col : 80;
        erase(f);
        width = fprintf(f->out, "%s %s %" PRIu64 " s  ",
                        wheel[now / USEC_PER_MSEC / TICK_MSEC % ELEMENTSOF(wheel)], w->noun,
                        (now - w->began_usec) / USEC_PER_SEC);
        fprintf(f->out, "%.*s", columns - width - 1, status);
        fflush(f->out);
        f->drawn = true;
}

/* Lines of that unit in this boot. */
static int journal_add(sd_journal *j, const char *unit) {
        _cleanup_free_ char *match = NULL, *boot = NULL;
        char id[SD_ID128_STRING_MAX];
        sd_id128_t boot_id;
        int r;

        r = sd_id128_get_boot(&boot_id);
        if (r >= 0)
                r = str_printf(&boot, "_BOOT_ID=%s", sd_id128_to_string(boot_id, id));
        if (r >= 0)
                r = str_printf(&match, "_SYSTEMD_UNIT=%s", unit);
        if (r >= 0)
                r = sd_journal_add_match(j, boot, 0);
        if (r >= 0)
                r = sd_journal_add_match(j, match, 0);
        return r >= 0 ? sd_journal_add_disjunction(j) : r;
}

/* Behind the last line that is there; a tail without any line is no place to go on from. */
static int journal_to_end(sd_journal *j) {
        int r = sd_journal_seek_tail(j);

        if (r >= 0)
                r = sd_journal_previous(j);
        return r == 0 ? sd_journal_seek_head(j) : r;
}

/* Without the right to read the journal the units' states still tell the story. */
static void journal_begin(Follow *f) {
        sd_journal *j;
        int r;

        if (sd_journal_open(&j, SD_JOURNAL_LOCAL_ONLY | SD_JOURNAL_SYSTEM) < 0)
                return;
        r = sd_journal_get_fd(j); /* from here on new files are noticed */
        for (size_t i = 0; i < f->n && r >= 0; i++)
                r = journal_add(j, f->watched[i].unit);
        if (r >= 0)
                r = journal_to_end(j);
        if (r < 0) {
                sd_journal_close(j);
                return;
        }
        f->journal = j;
}

/* Returns the field's value without its name, or NULL. */
static const char *journal_field(sd_journal *j, const char *name, size_t *ret_size) {
        size_t size, skip = strlen(name) + 1;
        const void *data;

        if (sd_journal_get_data(j, name, &data, &size) < 0 || size < skip)
                return NULL;
        *ret_size = size - skip;
        return (const char *) data + skip;
}

static const char *noun_of(const Follow *f, const char *unit, size_t size) {
        for (size_t i = 0; i < f->n; i++)
                if (strlen(f->watched[i].unit) == size && memcmp(f->watched[i].unit, unit, size) == 0)
                        return f->watched[i].noun;
        return "?";
}

static void journal_show(Follow *f) {
        if (!f->journal)
                return;
        (void) sd_journal_process(f->journal);
        while (sd_journal_next(f->journal) > 0) {
                size_t unit_size = 0, size = 0, priority_size = 0;
                const char *priority, *noun, *unit, *text;

                priority = journal_field(f->journal, "PRIORITY", &priority_size);
                if (priority && priority_size == 1 && *priority > '6')
                        continue;
                unit = journal_field(f->journal, "_SYSTEMD_UNIT", &unit_size);
                noun = unit ? noun_of(f, unit, unit_size) : "?";
                text = journal_field(f->journal, "MESSAGE", &size);
                if (text)
                        say(f, noun, text, size);
        }
}

static void tell(Follow *f, const char *noun, const char *text) {
        say(f, noun, text, strlen(text));
}

static void phase_begins(Follow *f, Watched *w) {
        w->running = true;
        w->began_usec = boottime_usec();
        if (!f->live)
                tell(f, w->noun, "started");
}

static void phase_ends(Follow *f, Watched *w, const BusUnit *u) {
        _cleanup_free_ char *text = NULL;
        uint64_t msec = w->running ? (boottime_usec() - w->began_usec) / USEC_PER_MSEC : 0;

        journal_show(f); /* its last words come before its end */
        w->running = false;
        if (str_printf(&text, "%s after %" PRIu64 ".%" PRIu64 " s",
                       streq(u->active_state, "failed") ? "failed" : "finished", msec / 1000,
                       msec / 100 % 10) >= 0)
                tell(f, w->noun, text);
}

/* Says once what everybody wants to know who watches a machine go away. */
static void watch_restart(Follow *f, const Watched *w, const BusUnit *u) {
        if (f->told_restart || !streq(w->noun, "reboot") || !startswith(u->status_text, "Restarting"))
                return;
        f->told_restart = true;
        tell(f, "reboot",
             "The machine restarts and the bootstrap goes on by itself. Log in again after that: 'gpu-vm-bootstrap "
             "--status' tells how far it is");
}

/* Returns 1 if the phase runs, 0 if not. A phase may begin and end between two looks: the invocation tells.
 */
static int watch(Follow *f, Watched *w, bool first) {
        _cleanup_(bus_unit_done) BusUnit u = {};
        bool running, another;
        int r;

        r = bus_unit_state(f->bus, w->unit, &u);
        if (r < 0)
                return r;
        running = streq(u.active_state, "activating");
        another = !first && w->invocation && !streq(w->invocation, u.invocation);
        if (running && !w->running)
                phase_begins(f, w);
        else if (!running && (w->running || another))
                phase_ends(f, w, &u);
        if (running) {
                watch_restart(f, w, &u);
                journal_show(f);
                draw(f, w, u.status_text);
        }
        free(w->invocation);
        w->invocation = TAKE_PTR(u.invocation);
        return running;
}

/* Returns the number of phases that run, or -errno. */
static int watch_all(Follow *f, bool first) {
        int n = 0;

        for (size_t i = 0; i < f->n; i++) {
                int r = watch(f, &f->watched[i], first);

                if (r < 0)
                        return r;
                n += r;
        }
        journal_show(f);
        return n;
}

/* Which way a job that was not "done" went. */
static FollowResult judge_failure(Follow *f) {
        for (size_t i = 0; i < f->n; i++) {
                _cleanup_(bus_unit_done) BusUnit u = {};

                if (bus_unit_state(f->bus, f->watched[i].unit, &u) >= 0 && streq(u.active_state, "failed"))
                        return u.exit_status == PHASE_REBOOT_NEEDED ? FOLLOW_ASKED : FOLLOW_FAILED;
        }
        return FOLLOW_FAILED;
}

/* For who joined without a job: returns 1 when there is nothing more to come. */
static int joined_end(Follow *f, unsigned idle_ticks, FollowResult *ret) {
        _cleanup_(bus_unit_done) BusUnit target = {};
        int r = bus_unit_state(f->bus, TARGET, &target);

        if (r < 0)
                return r;
        if (target.has_job || idle_ticks < JOIN_TICKS)
                return 0;
        if (streq(target.active_state, "active"))
                *ret = FOLLOW_DONE;
        else
                *ret = f->began_usec > 0 ? judge_failure(f) : FOLLOW_IDLE;
        return 1;
}

static int wait_tick(Follow *f, const char *job, char **ret_result) {
        if (job)
                return bus_job_wait(f->bus, job, TICK_MSEC * USEC_PER_MSEC, ret_result);
        (void) usleep(TICK_MSEC * 1000);
        return 0;
}

static int loop(Follow *f, const char *job, FollowResult *ret) {
        unsigned idle = 0;
        bool seen = job != NULL;

        for (bool first = true;; first = false) {
                _cleanup_free_ char *result = NULL;
                int r = watch_all(f, first);

                if (r >= 0) {
                        seen = seen || r > 0;
                        idle = r > 0 ? 0 : idle + 1;
                        r = wait_tick(f, job, &result);
                }
                if (interrupted) {
                        *ret = f->told_restart ? FOLLOW_RESTARTING : FOLLOW_INTERRUPTED;
                        return 0;
                }
                if (r < 0 && f->told_restart) { /* the bus goes down with the machine */
                        *ret = FOLLOW_RESTARTING;
                        return 0;
                }
                if (r < 0)
                        return r;
                if (result) {
                        (void) !watch_all(f, false);
                        *ret = streq(result, "done") ? FOLLOW_DONE : judge_failure(f);
                        return 0;
                }
                if (!job) {
                        r = joined_end(f, idle, ret);
                        if (r > 0 && !seen && *ret != FOLLOW_DONE)
                                *ret = FOLLOW_IDLE;
                        if (r != 0)
                                return r < 0 ? r : 0;
                }
        }
}

int follow_run(Bus *bus, const Conf *c, const char *job, bool live, FILE *out, FollowResult *ret) {
        _cleanup_(follow_done)
                        Follow f = { .bus = bus, .out = out, .live = live, .began_usec = boottime_usec() };
        const char *nouns[PLAN_PHASES_MAX];
        size_t n = plan_phases(c, nouns);
        int r;

        for (; f.n < n; f.n++) {
                Watched *w = &f.watched[f.n];

                w->noun = nouns[f.n];
                r = str_printf(&w->unit, "gpuvm-%s.service", w->noun);
                if (r < 0)
                        return r;
        }
        journal_begin(&f);
        r = loop(&f, job, ret);
        erase(&f);
        return r;
}
