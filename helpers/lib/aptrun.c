/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <time.h>

#include "aptrun.h"
#include "child.h"
#include "fs.h"
#include "logind.h"

/* Seconds. */
enum {
        UPDATE_SEC = 10 * 60,
        RETRY_SEC = 5, /* three times as long each time */
        LOCK_SEC = 15 * 60,
};

enum { TRIES = 4, LOCK_TRIES = LOCK_SEC / RETRY_SEC, STATUS_PIPE_BYTES = 1024 * 1024 };

#define APT_GET       "/usr/bin/apt-get"
#define FRONTEND_LOCK "/var/lib/dpkg/lock-frontend"

void aptrun_done(AptRun *a) {
        for (size_t i = 0; i < a->n_steps; i++)
                apt_step_done(&a->steps[i]);
        free(a->steps);
        free(a->cause);
        (void) safe_close(a->status_fd);
        *a = (AptRun){ .phase = a->phase, .status_fd = -EBADF, .lock_since_usec = a->lock_since_usec };
}

/* Without the full stop: it becomes part of a sentence. */
static void keep_cause(AptRun *a, const char *line) {
        size_t n = strlen(line);

        while (n > 0 && strchr(". ", line[n - 1]))
                n--;
        free(a->cause);
        a->cause = strndup(line, n);
}

/* For the journal as if the program had written there itself; its words are also the only reason it gives. */
static void on_complaint(const char *line, void *userdata) {
        AptRun *a = userdata;
        AptTrouble t = apt_classify(line);

        fprintf(stderr, "%s\n", line);
        if (t != APT_TROUBLE_NONE && a->trouble == APT_TROUBLE_NONE) {
                a->trouble = t;
                keep_cause(a, line);
        } else if (!a->cause &&
                   (startswith(line, "E: ") || startswith(line, "Error: ") ||
                    startswith(line, "dpkg: error")))
                keep_cause(a, line);
}

static void on_step(const char *line, void *userdata) {
        AptRun *a = userdata;
        AptStep step, *t;
        int r;

        r = apt_parse_step(line, &step);
        if (r == 0)
                return;
        t = r < 0 ? NULL : reallocarray(a->steps, a->n_steps + 1, sizeof(*t));
        if (!t) {
                a->error = -ENOMEM;
                if (r > 0)
                        apt_step_done(&step);
                return;
        }
        a->steps = t;
        a->steps[a->n_steps++] = step;
}

int aptrun_lock_holder(int root, pid_t *ret_pid, char **ret_name) {
        struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
        _cleanup_free_ char *path = NULL, *name = NULL;
        _cleanup_close_ int fd = -EBADF;

        fd = fs_open(root, FRONTEND_LOCK, O_RDONLY, 0);
        if (fd < 0 || fcntl(fd, F_GETLK, &l) < 0 || l.l_type == F_UNLCK)
                return 0;
        if (str_printf(&path, "/proc/%d/comm", l.l_pid) < 0)
                return -ENOMEM;
        if (fs_read_line(root, path, &name) == -ENOMEM)
                return -ENOMEM;
        *ret_pid = MAX(l.l_pid, 0);
        *ret_name = TAKE_PTR(name);
        return 1;
}

/* The parent: what is behind the name and the state in stat of proc(5). */
static bool is_child(int root, pid_t pid) {
        _cleanup_free_ char *path = NULL, *stat = NULL;
        const char *end;

        if (str_printf(&path, "/proc/%d/stat", pid) < 0 || fs_read_line(root, path, &stat) < 0)
                return false;
        end = strrchr(stat, ')');
        return end && strlen(end) > 4 && atoi(end + 4) == getpid();
}

/* apt-get waits for the lock without a word on its status descriptor. */
static void tell_waiting(const AptRun *a) {
        _cleanup_free_ char *name = NULL;
        pid_t pid;

        if (aptrun_lock_holder(a->phase->root, &pid, &name) > 0 &&
            !(pid > 0 && is_child(a->phase->root, pid)))
                phase_status(a->phase, "Waiting for '%s' (PID %d) to finish with dpkg",
                             name ?: "another program", pid);
}

/* Shows the last of the progress lines that have come since the last look. */
static void on_tick(void *userdata) {
        AptRun *a = userdata;
        char buf[4096 + 1], *save = NULL;
        const char *text;
        unsigned percent;
        ssize_t n;

        phase_alive(a->phase);
        while (a->status_fd >= 0 && (n = read(a->status_fd, buf, sizeof(buf) - 1)) > 0) {
                buf[n] = '\0';
                for (char *line = strtok_r(buf, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
                        if (apt_parse_progress(line, &text, &percent) > 0)
                                phase_status(a->phase, "%s (%u %%)", text, percent);
                a->quiet = false;
        }
        if (a->quiet)
                tell_waiting(a);
}

static int make_environment(char ***ret) {
        static const char *const proxies[] = { "http_proxy", "https_proxy", "ftp_proxy", "no_proxy" };
        _cleanup_strv_ char **l = NULL;
        int r;

        /* Nobody is there to answer a question; services are not to be restarted below our feet. */
        r = strv_split("DEBIAN_FRONTEND=noninteractive DEBIAN_PRIORITY=critical APT_LISTCHANGES_FRONTEND=none "
                       "NEEDRESTART_SUSPEND=1 NEEDRESTART_MODE=l UCF_FORCE_CONFFOLD=1 HOME=/root",
                       " ", &l);
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(proxies); i++) {
                const char *v = secure_getenv(proxies[i]);

                if (v)
                        r = strv_extendf(&l, "%s=%s", proxies[i], v);
        }
        if (r < 0)
                return r;
        *ret = TAKE_PTR(l);
        return 0;
}

/* A shutdown in the middle of a maintainer script is what dpkg recovers from worst. Without a logind there is
 * nobody who would shut down in good order either. */
static void keep_running(const Phase *p, int *ret_fd) {
        _cleanup_bus_ Bus *b = NULL;
        int r;

        if (!fs_is_host(p->root))
                return;
        r = bus_open(&b);
        if (r >= 0)
                r = logind_inhibit(b, "Packages are being installed or removed", ret_fd);
        if (r < 0)
                log_debug("Cannot keep the machine from shutting down meanwhile: %s", strerror(-r));
}

int aptrun_program(AptRun *a, char *const *argv, char *const *more_environment, unsigned timeout_sec,
                   AptJob job) {
        _cleanup_close_ int write_end = -EBADF, inhibitor = -EBADF;
        _cleanup_strv_ char **environment = NULL;
        Child c = { PHASE_CHILD(a->phase) };
        int r, p[2];

        aptrun_done(a);
        r = make_environment(&environment);
        STRV_FOREACH(e, more_environment)
                if (r >= 0)
                        r = strv_extend(&environment, *e);
        if (r < 0)
                return r;
        if (pipe2(p, O_CLOEXEC | O_NONBLOCK) < 0)
                return -errno;
        a->status_fd = p[0];
        write_end = p[1];
        /* Nobody reads between two ticks, so the pipe has to hold some seconds of progress. */
        (void) fcntl(write_end, F_SETFL, 0);
        (void) fcntl(write_end, F_SETPIPE_SZ, STATUS_PIPE_BYTES);

        c.argv = (const char *const *) argv;
        c.environment = (const char *const *) environment;
        c.timeout_usec = timeout_sec * USEC_PER_SEC;
        c.on_stdout = job == APT_JOB_SIMULATE ? on_step : NULL;
        c.on_stderr = on_complaint;
        c.tick = on_tick;
        c.userdata = a;
        c.pass_fd = write_end;
        a->quiet = job == APT_JOB_CHANGE;
        if (job == APT_JOB_CHANGE)
                keep_running(a->phase, &inhibitor);
        r = child_run(&c);
        a->quiet = false;
        on_tick(a);
        return r >= 0 && a->error < 0 ? a->error : r;
}

int aptrun_apt(AptRun *a, const char *const *verb, char *const *packages, unsigned timeout_sec) {
        AptJob job = streq(verb[0], "--simulate")  ? APT_JOB_SIMULATE
                        : streq(verb[0], "update") ? APT_JOB_FETCH
                                                   : APT_JOB_CHANGE;
        _cleanup_strv_ char **argv = NULL;
        int r;

        /* Configuration files that somebody changed stay; packages that only would be nice are left out. */
        r = strv_split(APT_GET
                       " -q -y --no-install-recommends -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3 "
                       "-o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "
                       "-o APT::Color=0 -o Dpkg::Use-Pty=0 -o APT::Status-Fd=3",
                       " ", &argv);
        for (; r >= 0 && *verb; verb++)
                r = strv_extend(&argv, *verb);
        if (r >= 0 && packages)
                r = strv_extend(&argv, "--");
        STRV_FOREACH(p, packages)
                if (r >= 0)
                        r = strv_extend(&argv, *p);
        if (r < 0)
                return r;
        return aptrun_program(a, argv, NULL, timeout_sec, job);
}

void aptrun_pause(const Phase *p, unsigned sec) {
        struct timespec ts = { .tv_sec = sec };

        if (fs_is_host(p->root))
                (void) nanosleep(&ts, NULL);
}

bool aptrun_again(AptRun *a, unsigned attempt, const char *what) {
        unsigned tries = a->trouble == APT_TROUBLE_LOCK ? LOCK_TRIES : TRIES, sec = RETRY_SEC;
        uint64_t now = monotonic_usec();

        /* A run may have waited for the lock for minutes, or not at all. */
        if (a->trouble != APT_TROUBLE_LOCK)
                a->lock_since_usec = 0;
        else if (a->lock_since_usec == 0)
                a->lock_since_usec = now;
        else if (now - a->lock_since_usec > LOCK_SEC * USEC_PER_SEC)
                return false;
        if (attempt + 1 >= tries ||
            !(a->trouble == APT_TROUBLE_LOCK || a->trouble == APT_TROUBLE_NETWORK ||
              a->trouble == APT_TROUBLE_STALE))
                return false;
        for (unsigned i = 0; a->trouble == APT_TROUBLE_NETWORK && i < attempt; i++)
                sec *= 3;
        phase_status(a->phase, "%s: %s; trying again in %u s", what, strna(a->cause), sec);
        aptrun_pause(a->phase, sec);
        return true;
}

int aptrun_update(AptRun *a) {
        int r;

        phase_status(a->phase, "Fetching the package lists");
        for (unsigned attempt = 0;; attempt++) {
                r = aptrun_apt(a, VERB("update"), NULL, UPDATE_SEC);
                if (r == 0 && a->trouble == APT_TROUBLE_NONE)
                        return 0;
                if (r < 0 || !aptrun_again(a, attempt, "Fetching the package lists"))
                        return r;
        }
}

int aptrun_status(Phase *p, DpkgStatus *ret) {
        int r;

        r = dpkg_read(p->root, ret);
        if (r < 0)
                return phase_fail(p, r, "gpuvm needs a Debian or Ubuntu system with dpkg.",
                                  "Cannot read /var/lib/dpkg/status");
        return 0;
}
