/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* gpuvm-kvm: QEMU, libvirt and what a VM with a GPU needs beside them; libvirt up; the user who may use it.
 *
 * Whether libvirt is up is read from unit links and its socket: asking it would start a daemon that leaves
 * again when nobody needs it. */

#include <sys/utsname.h>

#include "account.h"
#include "apt.h"
#include "child.h"
#include "conf.h"
#include "fs.h"
#include "kvmcheck.h"
#include "osrelease.h"
#include "phase.h"
#include "undo.h"
#include "unitfile.h"

#define SYSTEMCTL   "/usr/bin/systemctl"
#define USERMOD     "/usr/sbin/usermod"
#define CHILD_USEC  (2 * 60 * USEC_PER_SEC)
#define LEDGER_HINT "See that " STATE_DIR " can be written."

/* libvirt comes as one daemon (Debian and Ubuntu) or as one for each driver. The services are enabled, not
 * only the sockets, because it is the service that starts networks and pools at boot. */
typedef struct Daemons {
        const char *unit; /* is there if this form is */
        const char *socket;
        const char *const *enable;
} Daemons;

static const Daemons forms[] = {
        { "libvirtd.service", "/run/libvirt/libvirt-sock",
          (const char *const[]){ "libvirtd.service", NULL } },
        { "virtqemud.service", "/run/libvirt/virtqemud-sock",
          (const char *const[]){ "virtqemud.service", "virtnetworkd.service", "virtstoraged.service",
                                 "virtnodedevd.service", NULL } },
};

static int install(Phase *p, Undo *u) {
        _cleanup_free_ char *codename = NULL;
        _cleanup_strv_ char **all = NULL;
        struct utsname name;
        int r;

        (void) uname(&name);
        r = osrelease_get(p->root, "VERSION_CODENAME", &codename);
        if (r != -ENOMEM)
                r = kvmcheck_packages(name.machine, codename, &all);
        if (r == -EOPNOTSUPP)
                return phase_fail(p, 0, "Set Kvm=no to go on without VMs.",
                                  "gpuvm runs VMs on amd64 and arm64, not on %s", name.machine);
        return r < 0 ? log_oom() : apt_ensure(p, u, (const char *const *) all);
}

static bool is_listening(int root, const char *path) {
        struct stat st;

        return fs_stat(root, path, &st) >= 0 && S_ISSOCK(st.st_mode);
}

static int systemctl(Phase *p, const char *verb, const char *unit) {
        const Child c = {
                PHASE_CHILD(p),
                .argv = (const char *const[]){ SYSTEMCTL, verb, unit, NULL },
                .timeout_usec = CHILD_USEC,
        };
        int r = child_run(&c);

        if (r == 0)
                return 0;
        return phase_fail(p, MIN(r, 0), "See 'systemctl status' and 'journalctl -u' of that unit.",
                          "Failed to %s %s", verb, unit);
}

/* was: what undo has to bring back. */
static int change_unit(Phase *p, Undo *u, const char *verb, const char *unit, const char *was) {
        int r = phase_change(p, verb, unit, NULL);

        if (r < 0)
                return log_oom();
        if (r == 0)
                return 0;
        r = undo_record_unit(u, unit, was);
        if (r < 0)
                return phase_fail(p, r, LEDGER_HINT, "Cannot record '%s' for undo", unit);
        phase_status(p, "systemctl %s %s", verb, unit);
        return systemctl(p, verb, unit);
}

static int bring_up(Phase *p, Undo *u) {
        const Daemons *d = NULL;
        int r;

        for (size_t i = 0; i < ELEMENTSOF(forms) && !d; i++)
                if (unitfile_exists(p->root, forms[i].unit) > 0)
                        d = &forms[i];
        if (!d && p->dry_run && phase_n_changes(p) > 0)
                return 0; /* the packages bring it, and start it */
        if (!d)
                return phase_fail(
                                p, 0, "Reinstall libvirt-daemon-system.",
                                "libvirt is installed but neither libvirtd.service nor virtqemud.service is there");
        for (const char *const *unit = d->enable; *unit; unit++) {
                if (unitfile_is_enabled(p->root, *unit) > 0 || unitfile_exists(p->root, *unit) <= 0)
                        continue;
                r = change_unit(p, u, "enable", *unit, "disabled");
                if (r < 0)
                        return r;
        }
        if (is_listening(p->root, d->socket))
                return 0;
        for (const char *const *unit = d->enable; *unit; unit++) {
                if (unitfile_exists(p->root, *unit) <= 0)
                        continue;
                r = change_unit(p, u, "start", *unit, "inactive");
                if (r < 0)
                        return r;
        }
        if (!p->dry_run && !is_listening(p->root, d->socket))
                return phase_fail(p, 0, "See 'journalctl -u libvirtd -u virtqemud'.",
                                  "libvirt was started but does not listen on '%s'", d->socket);
        return 0;
}

/* A daemon that ran before may lack drivers that were installed now. Running VMs do not notice. */
static int refresh_daemon(Phase *p) {
        int r;

        for (size_t i = 0; i < ELEMENTSOF(forms); i++) {
                if (unitfile_exists(p->root, forms[i].unit) <= 0)
                        continue;
                r = systemctl(p, "try-restart", forms[i].unit);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int join_group(Phase *p, Undo *u, const char *user, const char *group) {
        const Child c = {
                PHASE_CHILD(p),
                .argv = (const char *const[]){ USERMOD, "--append", "--groups", group, "--", user, NULL },
                .timeout_usec = CHILD_USEC,
        };
        int r;

        r = phase_change(p, "join", group, "user '%s'", user);
        if (r < 0)
                return log_oom();
        if (r == 0)
                return 0;
        r = undo_record_member(u, user, group);
        if (r < 0)
                return phase_fail(p, r, LEDGER_HINT, "Cannot record the group of '%s' for undo", user);
        r = child_run(&c);
        if (r != 0)
                return phase_fail(p, MIN(r, 0), "Run 'usermod -aG libvirt,kvm' for that user yourself.",
                                  "Failed to add user '%s' to group '%s'", user, group);
        return 1;
}

static int admit_user(Phase *p, Undo *u, const char *user) {
        static const char *const groups[] = { "libvirt", "kvm" };
        bool joined = false;
        uid_t uid;
        gid_t gid;
        int r;

        if (isempty(user))
                return 0;
        r = account_find_user(p->root, user, &uid, &gid);
        if (r < 0)
                return phase_fail(p, r, "Correct User= in gpuvm.conf.", "Cannot look up user '%s'", user);
        if (r == 0) {
                phase_note(p,
                           "User '%s' is not in /etc/passwd; add that account to the groups libvirt and kvm "
                           "where it is kept",
                           user);
                return 0;
        }
        if (uid == 0)
                return 0;
        for (size_t i = 0; i < ELEMENTSOF(groups); i++) {
                r = account_is_member(p->root, user, groups[i]);
                if (r == -ENOENT && p->dry_run)
                        r = 0; /* comes with the packages */
                if (r == 0)
                        r = join_group(p, u, user, groups[i]);
                else if (r < 0)
                        r = phase_fail(p, r, "Reinstall libvirt-daemon-system and qemu.",
                                       "Cannot look up group '%s'", groups[i]);
                else
                        r = 0;
                if (r < 0)
                        return r;
                joined |= r > 0;
        }
        if (joined)
                phase_note(p,
                           "User '%s' may now control VMs, which is as good as being root; it holds from the next "
                           "login on",
                           user);
        return 0;
}

/* Facts for the report; none of them keeps libvirt from working. */
static void look_at_kvm(Phase *p) {
        static const char *const modules[] = { "kvm_intel", "kvm_amd" };

        if (fs_exists(p->root, "/dev/kvm") == 0)
                phase_note(p,
                           "No /dev/kvm: VMs run slowly (TCG). Turn VT-x or AMD-V on in the firmware; in a VM, "
                           "nested virtualization of its host");
        for (size_t i = 0; i < ELEMENTSOF(modules); i++) {
                _cleanup_free_ char *path = NULL, *nested = NULL;

                if (str_printf(&path, "/sys/module/%s/parameters/nested", modules[i]) >= 0 &&
                    fs_read_line(p->root, path, &nested) >= 0 && (streq(nested, "N") || streq(nested, "0")))
                        phase_note(p,
                                   "Nested virtualization is off: guests have no /dev/kvm. If they are to have it, "
                                   "write 'options %s nested=1' into a file in /etc/modprobe.d and restart",
                                   modules[i]);
        }
}

static int run(Phase *p, int argc, char *argv[]) {
        _cleanup_(conf_done) Conf c = {};
        _cleanup_(undo_freep) Undo *u = NULL;
        bool ran;
        int r;

        r = conf_load_and_warn(p->root, &c);
        if (r >= 0)
                r = undo_open(p->root, p->name, &u);
        if (r < 0)
                return log_oom();
        if (!c.kvm) {
                phase_note(p, "Kvm=no: nothing to do");
                return PHASE_NOT_APPLICABLE;
        }
        ran = is_listening(p->root, forms[0].socket) || is_listening(p->root, forms[1].socket);
        r = install(p, u);
        if (r > 0 && ran && !p->dry_run)
                r = refresh_daemon(p);
        if (r >= 0)
                r = bring_up(p, u);
        if (r >= 0)
                r = admit_user(p, u, c.user);
        if (r < 0)
                return r;
        look_at_kvm(p);
        return PHASE_OK;
}

static const Helper helper = {
        .name = "gpuvm-kvm",
        .summary = "Install QEMU and libvirt, and bring libvirt up.",
        .run = run,
};

DEFINE_HELPER(helper)
