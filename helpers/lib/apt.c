/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <time.h>

#include "apt.h"
#include "aptrun.h"
#include "fs.h"
#include "osrelease.h"

/* Seconds, each for one program or one wait. */
enum {
        LISTS_FRESH_SEC = 60 * 60,
        SIMULATE_SEC = 10 * 60, /* seconds, but for machines that are emulated, or very busy */
        DPKG_SEC = 60 * 60,
};

#define LISTS_DIR "/var/lib/apt/lists"

/* Recent, and not empty: a new system has the directory but no list. */
static bool lists_are_fresh(int root) {
        _cleanup_strv_ char **names = NULL;
        time_t newest = 0, now = time(NULL);
        bool any = false;
        struct stat st;

        if (fs_list(root, LISTS_DIR, &names) < 0)
                return false;
        STRV_FOREACH(name, names)
                any |= strstr(*name, "_Packages") != NULL;
        if (fs_stat(root, LISTS_DIR, &st) >= 0)
                newest = st.st_mtime;
        /* Changes also when all lists turned out to be current. */
        if (fs_stat(root, LISTS_DIR "/partial", &st) >= 0)
                newest = MAX(newest, st.st_mtime);
        return any && newest <= now && now - newest < LISTS_FRESH_SEC;
}

/* Old lists may do, and one broken source need not be the one that counts: the plan will tell. */
static void refresh_lists(Phase *p, AptRun *a) {
        if (aptrun_update(a) != 0 || a->trouble != APT_TROUBLE_NONE)
                phase_note(p, "The package lists could not be refreshed, going on with those here: %s",
                           strna(a->cause));
}

/* What apt trips over most often, and does not name. */
static void tell_held(Phase *p) {
        _cleanup_(dpkg_done) DpkgStatus s = {};
        _cleanup_strv_ char **names = NULL;
        _cleanup_free_ char *list = NULL;

        if (dpkg_read(p->root, &s) < 0)
                return;
        for (size_t i = 0; i < s.n; i++)
                if (s.packages[i].held && strv_extend(&names, s.packages[i].name) < 0)
                        return;
        list = names ? strv_join(names, ", ") : NULL;
        if (list)
                phase_note(p, "On hold, so that apt may not change them: %s", list);
}

static int fail_apt(Phase *p, const AptRun *a, int status, const char *what, char *const *packages) {
        _cleanup_free_ char *list = strv_join(packages, ", ");

        if (!list)
                return log_oom();
        if (a->trouble == APT_TROUBLE_BROKEN)
                tell_held(p);
        if (status == -ETIMEDOUT)
                return phase_fail(p, 0,
                                  "Try again when the machine is less busy; nothing hangs on its network.",
                                  "Failed to %s %s: apt-get took too long and was ended", what, list);
        if (status < 0)
                return phase_fail(p, status, apt_remedy(a->trouble), "Failed to %s %s", what, list);
        if (a->cause)
                return phase_fail(p, 0, apt_remedy(a->trouble), "Failed to %s %s: %s", what, list, a->cause);
        return phase_fail(p, 0, apt_remedy(a->trouble), "Failed to %s %s: apt-get ended with exit status %d",
                          what, list, status);
}

/* Asks apt what it would do, and writes down each package that was not here before. */
static int plan_install(Phase *p, Undo *u, AptRun *a, char *const *packages) {
        bool fresh = lists_are_fresh(p->root);
        size_t n = 0;
        int r;

        if (!fresh)
                refresh_lists(p, a);
        r = aptrun_apt(a, VERB("--simulate", "--no-remove", "install"), packages, SIMULATE_SEC);
        if (r != 0 && fresh && a->trouble == APT_TROUBLE_MISSING) {
                /* A source may be newer than the lists. */
                refresh_lists(p, a);
                r = aptrun_apt(a, VERB("--simulate", "--no-remove", "install"), packages, SIMULATE_SEC);
        }
        if (r != 0)
                return fail_apt(p, a, r, "find a way to install", packages);
        for (size_t i = 0; i < a->n_steps; i++) {
                if (a->steps[i].kind != APT_STEP_INSTALL)
                        continue;
                r = undo_record_package(u, a->steps[i].package);
                if (r < 0)
                        return phase_fail(p, r, "See that /var/lib/gpuvm can be written.",
                                          "Cannot record package '%s' for undo", a->steps[i].package);
                n++;
        }
        if (n > strv_length(packages))
                phase_note(p, "%zu more packages come along because these need them",
                           n - strv_length(packages));
        return 0;
}

/* Returns 0 when dpkg says that all are there, or an error that has been told. */
static int install(Phase *p, AptRun *a, const char *const *packages) {
        int status = 0, r;

        for (unsigned attempt = 0;; attempt++) {
                _cleanup_(dpkg_done) DpkgStatus s = {};
                _cleanup_strv_ char **missing = NULL;

                r = aptrun_status(p, &s);
                if (r >= 0)
                        r = dpkg_missing(&s, packages, &missing);
                if (r < 0)
                        return r == -ENOMEM ? log_oom() : r;
                if (!missing) {
                        if (status != 0)
                                phase_note(p, "All is installed although apt-get complained: %s",
                                           strna(a->cause));
                        return 0;
                }
                if (attempt > 0 && !aptrun_again(a, attempt - 1, "Installing"))
                        return fail_apt(p, a, status, "install", missing);
                if (a->trouble == APT_TROUBLE_STALE && aptrun_update(a) < 0)
                        return fail_apt(p, a, status, "install", missing);
                phase_status(p, "Installing %zu package%s", strv_length(missing),
                             strv_length(missing) == 1 ? "" : "s");
                status = aptrun_apt(a, VERB("--no-remove", "install"), missing, DPKG_SEC);
        }
}

static int announce(Phase *p, const char *action, char *const *packages) {
        STRV_FOREACH(i, packages) {
                int r = phase_change(p, action, *i, NULL);

                if (r < 0)
                        return log_oom();
        }
        return 0;
}

/* The status of a dpkg that is whole. */
static int whole_status(Phase *p, DpkgStatus *ret) {
        DpkgStatus s = {};
        int r = aptrun_status(p, &s);

        if (r >= 0 && (s.broken || s.interrupted)) {
                dpkg_done(&s);
                r = apt_repair(p);
                if (r >= 0)
                        r = aptrun_status(p, &s);
        }
        if (r >= 0)
                *ret = s;
        return r;
}

int apt_ensure(Phase *p, Undo *u, const char *const *packages) {
        _cleanup_(aptrun_done) AptRun a = { .phase = p, .status_fd = -EBADF };
        _cleanup_(dpkg_done) DpkgStatus s = {};
        _cleanup_strv_ char **missing = NULL;
        int r;

        r = whole_status(p, &s);
        if (r >= 0)
                r = dpkg_missing(&s, packages, &missing);
        if (r < 0)
                return r == -ENOMEM ? log_oom() : r;
        if (!missing)
                return 0;
        r = announce(p, "install", missing);
        if (r < 0 || p->dry_run)
                return r < 0 ? r : 1;
        r = plan_install(p, u, &a, missing);
        if (r >= 0)
                r = install(p, &a, packages);
        return r < 0 ? r : 1;
}

int apt_check(Phase *p) {
        _cleanup_(aptrun_done) AptRun a = { .phase = p, .status_fd = -EBADF };
        int r;

        r = aptrun_apt(&a, VERB("--simulate", "check"), NULL, SIMULATE_SEC);
        if (r == -ENOENT && p->dry_run)
                return 0; /* a recorded machine has no programs */
        if (r < 0)
                return phase_fail(p, r, "gpuvm needs a Debian or Ubuntu system with apt.",
                                  "Failed to run apt-get");
        if (a.trouble != APT_TROUBLE_SOURCES)
                return 0;
        return phase_fail(p, 0, apt_remedy(a.trouble), "apt-get cannot use its sources: %s", strna(a.cause));
}

/* "bookworm-security": the suite that both distributions name so. */
static int security_suite(int root, char **ret) {
        _cleanup_free_ char *name = NULL;
        int r;

        r = osrelease_get(root, "VERSION_CODENAME", &name);
        if (r < 0)
                return r;
        /* It becomes an argument of apt. */
        if (!*name || name[strspn(name, "abcdefghijklmnopqrstuvwxyz")])
                return -EINVAL;
        return str_printf(ret, "%s-security", name);
}

/* The upgrades there are, as apt's own "NAME=VERSION". */
static int plan_upgrade(Phase *p, UpdateMode mode, AptRun *a, char ***ret) {
        _cleanup_strv_ char **l = NULL;
        _cleanup_free_ char *suite = NULL;
        int r;

        if (mode == UPDATE_SECURITY) {
                /* Preferring the suite shows its version also where another has a newer one. */
                r = security_suite(p->root, &suite);
                if (r < 0)
                        return phase_fail(p, r, "Set UpdateSystem=no or UpdateSystem=yes.",
                                          "Cannot tell the security archive's name from /etc/os-release");
                r = aptrun_apt(a,
                               VERB("--simulate", "--no-remove", "--with-new-pkgs", "-t", suite, "upgrade"),
                               NULL, SIMULATE_SEC);
        } else
                r = aptrun_apt(a, VERB("--simulate", "--no-remove", "--with-new-pkgs", "upgrade"), NULL,
                               SIMULATE_SEC);
        if (r != 0)
                return fail_apt(p, a, r, "plan the update of", (char *[]){ (char *) "the system", NULL });
        for (size_t i = 0; i < a->n_steps; i++) {
                const AptStep *step = &a->steps[i];

                if (step->kind == APT_STEP_UPGRADE && (mode == UPDATE_YES || step->security) &&
                    strv_extendf(&l, "%s=%s", step->package, step->version) < 0)
                        return log_oom();
        }
        *ret = TAKE_PTR(l);
        return 0;
}

/* How many of the "NAME[:ARCH]=VERSION" are installed in that version. */
static int count_upgraded(Phase *p, char *const *upgrades) {
        _cleanup_(dpkg_done) DpkgStatus s = {};
        int n = 0, r;

        r = aptrun_status(p, &s);
        if (r < 0)
                return r;
        STRV_FOREACH(i, upgrades) {
                const char *version = strchr(*i, '=') + 1;
                _cleanup_free_ char *name = strndup(*i, strcspn(*i, ":="));
                const DpkgPackage *q = name ? dpkg_find(&s, name) : NULL;

                n += q && q->state == PACKAGE_INSTALLED && streq_ptr(q->version, version);
        }
        return n;
}

/* Returns the number upgraded, or an error that has been told. */
static int do_upgrade(Phase *p, UpdateMode mode, AptRun *a, char *const *upgrades) {
        int status, n;

        for (unsigned attempt = 0;; attempt++) {
                phase_status(p, "Upgrading %zu packages", strv_length(upgrades));
                status = mode == UPDATE_YES ? aptrun_apt(a, VERB("--no-remove", "--with-new-pkgs", "upgrade"),
                                                         NULL, DPKG_SEC)
                                            : aptrun_apt(a, VERB("--no-remove", "--only-upgrade", "install"),
                                                         upgrades, DPKG_SEC);
                n = count_upgraded(p, upgrades);
                if (n < 0 || (size_t) n == strv_length(upgrades))
                        return n;
                if (status < 0 || !aptrun_again(a, attempt, "Upgrading"))
                        return fail_apt(p, a, status, "upgrade", upgrades);
        }
}

int apt_upgrade(Phase *p, UpdateMode mode) {
        _cleanup_(aptrun_done) AptRun a = { .phase = p, .status_fd = -EBADF };
        _cleanup_strv_ char **upgrades = NULL;
        _cleanup_free_ char *list = NULL;
        int r;

        assert(!p->dry_run);

        if (mode == UPDATE_NO)
                return 0;
        r = apt_repair(p);
        if (r < 0)
                return r;
        r = aptrun_update(&a);
        if (r != 0)
                return fail_apt(p, &a, r, "fetch", (char *[]){ (char *) "the package lists", NULL });
        r = plan_upgrade(p, mode, &a, &upgrades);
        if (r < 0 || !upgrades)
                return r;
        list = strv_join(upgrades, ", ");
        if (!list || phase_change(p, "upgrade", "packages", "%s", list) < 0)
                return log_oom();
        return do_upgrade(p, mode, &a, upgrades);
}

/* Names, with or without ":ARCH", that dpkg has. */
static int installed_of(const DpkgStatus *s, char *const *packages, char ***ret) {
        _cleanup_strv_ char **l = NULL;

        STRV_FOREACH(i, packages) {
                _cleanup_free_ char *name = strndup(*i, strcspn(*i, ":"));

                if (!name || (dpkg_state(s, name) != PACKAGE_ABSENT && strv_extend(&l, *i) < 0))
                        return -ENOMEM;
        }
        *ret = TAKE_PTR(l);
        return 0;
}

static int check_removal(Phase *p, AptRun *a, char *const *packages) {
        _cleanup_strv_ char **others = NULL;
        _cleanup_free_ char *list = NULL;
        int r;

        r = aptrun_apt(a, VERB("--simulate", "purge"), packages, SIMULATE_SEC);
        if (r != 0)
                return fail_apt(p, a, r, "find a way to remove", packages);
        for (size_t i = 0; i < a->n_steps; i++)
                if (a->steps[i].kind == APT_STEP_REMOVE && !strv_contains(packages, a->steps[i].package) &&
                    strv_extend(&others, a->steps[i].package) < 0)
                        return log_oom();
        if (!others)
                return 0;
        list = strv_join(others, ", ");
        return phase_fail(p, -EBUSY, "Remove those first if they are not wanted, or keep these packages.",
                          "Packages installed since need what would be removed: %s", strna(list));
}

int apt_remove(Phase *p, char *const *packages) {
        _cleanup_(aptrun_done) AptRun a = { .phase = p, .status_fd = -EBADF };
        _cleanup_(dpkg_done) DpkgStatus s = {}, after = {};
        _cleanup_strv_ char **present = NULL, **left = NULL;
        int r, status;

        r = aptrun_status(p, &s);
        if (r >= 0)
                r = installed_of(&s, packages, &present);
        if (r < 0)
                return r == -ENOMEM ? log_oom() : r;
        if (!present)
                return 0;
        if (!p->dry_run) {
                r = check_removal(p, &a, present);
                if (r < 0)
                        return r;
        }
        r = announce(p, "remove", present);
        if (r < 0 || p->dry_run)
                return r < 0 ? r : 1;
        phase_status(p, "Removing %zu packages", strv_length(present));
        status = aptrun_apt(&a, VERB("purge"), present, DPKG_SEC);
        r = aptrun_status(p, &after);
        if (r >= 0)
                r = installed_of(&after, present, &left);
        if (r < 0)
                return r == -ENOMEM ? log_oom() : r;
        return left ? fail_apt(p, &a, status, "remove", left) : 1;
}
