/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The part of apt.h that completes what an interrupted dpkg left. */

#include <fcntl.h>

#include "apt.h"
#include "aptrun.h"
#include "fs.h"

/* Seconds. */
enum { LOCK_SEC = 15 * 60, LOCK_POLL_SEC = 2, DPKG_SEC = 60 * 60 };

#define DPKG          "/usr/bin/dpkg"
#define FRONTEND_LOCK "/var/lib/dpkg/lock-frontend"

/* Takes the lock that every front end of dpkg takes, waiting for who holds it. Looking at dpkg's status
 * without it would take another program's work for an interrupted one. */
static int lock_frontend(Phase *p, int *ret) {
        _cleanup_close_ int fd = -EBADF;

        fd = fs_open(p->root, FRONTEND_LOCK, O_RDWR | O_CREAT, 0640);
        if (fd < 0)
                return phase_fail(p, fd, "See that /var/lib/dpkg is there and can be written.",
                                  "Cannot open '%s'", FRONTEND_LOCK);
        for (unsigned waited = 0;; waited += LOCK_POLL_SEC) {
                struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
                _cleanup_free_ char *name = NULL;
                pid_t pid = 0;

                if (fcntl(fd, F_SETLK, &l) >= 0) {
                        *ret = TAKE_FD(fd);
                        return 0;
                }
                if (aptrun_lock_holder(p->root, &pid, &name) < 0)
                        return log_oom();
                if (waited >= LOCK_SEC)
                        return phase_fail(p, -EBUSY, "Let it finish, then start this phase again.",
                                          "'%s' (PID %d) has held dpkg's lock for %u minutes", strna(name),
                                          pid, waited / 60);
                phase_status(p, "Waiting for '%s' (PID %d) to finish with dpkg", strna(name), pid);
                aptrun_pause(p, LOCK_POLL_SEC);
        }
}

/* Reads the status while nobody else is changing it. */
static int read_quiet_status(Phase *p, DpkgStatus *ret, int *ret_lock) {
        _cleanup_close_ int lock = -EBADF;
        int r;

        r = lock_frontend(p, &lock);
        if (r < 0)
                return r;
        r = aptrun_status(p, ret);
        if (r < 0)
                return r;
        *ret_lock = TAKE_FD(lock);
        return 0;
}

static int configure_pending(Phase *p, AptRun *a) {
        static const char *const argv[] = { DPKG, "--force-confdef", "--force-confold", "--configure", "-a",
                                            NULL };
        /* dpkg's word for: the caller has the lock. */
        static const char *const locked[] = { "DPKG_FRONTEND_LOCKED=1", NULL };

        phase_status(p, "Completing what an interrupted dpkg left");
        return aptrun_program(a, (char *const *) argv, (char *const *) locked, DPKG_SEC, APT_JOB_CHANGE);
}

static int fail_broken(Phase *p, const DpkgStatus *s) {
        _cleanup_strv_ char **names = NULL;
        _cleanup_free_ char *list = NULL;

        for (size_t i = 0; i < s->n; i++)
                if (s->packages[i].state == PACKAGE_BROKEN && strv_extend(&names, s->packages[i].name) < 0)
                        return log_oom();
        list = strv_join(names, ", ");
        return phase_fail(
                        p, 0,
                        "Run 'dpkg --audit' and 'apt-get --fix-broken install', then start this phase again.",
                        "Packages are not completely installed: %s", isempty(list) ? "see dpkg" : list);
}

int apt_repair(Phase *p) {
        _cleanup_(aptrun_done) AptRun a = { .phase = p, .status_fd = -EBADF };
        _cleanup_(dpkg_done) DpkgStatus s = {}, after = {}, end = {};
        _cleanup_close_ int lock = -EBADF;
        int r;

        r = aptrun_status(p, &s);
        if (r < 0 || (!s.broken && !s.interrupted))
                return r;
        if (p->dry_run) {
                r = phase_change(p, "repair", "dpkg", "packages are not completely installed");
                return r < 0 ? log_oom() : 1;
        }
        dpkg_done(&s);
        r = read_quiet_status(p, &s, &lock);
        if (r < 0 || (!s.broken && !s.interrupted))
                return r;
        r = phase_change(p, "repair", "dpkg", "dpkg was interrupted");
        if (r < 0)
                return log_oom();
        r = configure_pending(p, &a);
        lock = safe_close(lock);
        if (r != 0)
                log_debug("'dpkg --configure -a' ended with %d", r);
        r = aptrun_status(p, &after);
        if (r < 0 || (!after.broken && !after.interrupted))
                return r < 0 ? r : 1;
        /* Cut before what a package needs was unpacked: only apt knows where that comes from. */
        r = aptrun_apt(&a, VERB("--no-remove", "--fix-broken", "install"), NULL, DPKG_SEC);
        if (r != 0)
                log_debug("'apt-get --fix-broken install' ended with %d", r);
        r = aptrun_status(p, &end);
        if (r < 0)
                return r;
        return end.broken || end.interrupted ? fail_broken(p, &end) : 1;
}
