/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Events: how the machines are, and with --follow what becomes of them, and which GPUs come, go and change
 * hands, from then on. A libvirt that goes away is told, waited for, and asked how all is when it is back:
 * nothing is missed then.
 */

#include <signal.h>
#include <sys/signalfd.h>
#include <time.h>

#include "bus.h"
#include "fs.h"
#include "json.h"
#include "virtevent.h"
#include "virtwatch.h"
#include "vmctl.h"

enum { AGAIN_SEC = 2, WAIT_SEC = 3600 };

typedef struct Follower {
        Context *c;
        char *uri;
        VirtWatch *watch;
        VirtEvents *events;
        Bus *bus; /* NULL: units are not followed */
        int signals;
        int error; /* of writing: nothing is told any more */
} Follower;

static void leave(Follower *f) {
        virtevents_free(f->events);
        f->events = NULL;
        if (f->watch)
                virtwatch_leave(f->watch);
        virt_close(f->c->virt);
        f->c->virt = NULL;
}

static void follower_done(Follower *f) {
        leave(f);
        bus_free(f->bus);
        virtwatch_free(f->watch);
        (void) safe_close(f->signals);
        free(f->uri);
}

static int print_json(const char *when, const char *kind, const char *object, const char *what,
                      const char *detail) {
        _cleanup_json_ json_object *o = json_object_new_object();

        if (json_add_text(o, "time", when) < 0 || json_add_text(o, "kind", kind) < 0 ||
            json_add_text(o, "object", object) < 0 || json_add_text(o, "event", what) < 0 ||
            json_add_text(o, "detail", detail) < 0)
                return log_oom();
        return printf("%s\n", json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN)) < 0 ? -EIO : 0;
}

/* A line for each, at once: who reads them may be waiting for one. */
static void tell(Follower *f, const char *kind, const char *object, const char *what, const char *detail) {
        time_t now = time(NULL);
        char when[32] = "";
        struct tm tm;
        int r;

        if (gmtime_r(&now, &tm))
                (void) strftime(when, sizeof(when), "%FT%TZ", &tm);
        if (vmctl_has(f->c, OPT_JSON))
                r = print_json(when, kind, object, what, detail);
        else
                r = printf("%s %s %s %s%s%s\n", when, kind, object, what, *detail ? ": " : "", detail);
        if (r < 0 || fflush(stdout) != 0)
                f->error = -EIO;
}

static void on_machine(const VirtEvent *e, void *userdata) {
        tell(userdata, "vm", e->machine, e->what, e->detail);
}

/* What a unit's state says of its GPU; NULL: nothing. */
static const char *gpu_event(const char *unit, const char *state) {
        if (startswith(unit, "gpuvm-vfio@"))
                return state;
        if (!endswith(unit, ".device"))
                return NULL;
        return streq(state, "active") ? "added" : streq(state, "inactive") ? "removed" : NULL;
}

/* BusUnitChanged. "gpuvm-vfio@0000:01:00.0.service", "gpuvm-0000:01:00.0.device" */
static void on_unit(const char *unit, const char *state, void *userdata) {
        const char *what = gpu_event(unit, state);
        const char *address = what ? startswith(unit, "gpuvm-vfio@") ?: startswith(unit, "gpuvm-") : NULL;
        _cleanup_free_ char *gpu = address ? strndup(address, strcspn(address, ".") + 2) : NULL;

        if (gpu)
                tell(userdata, "gpu", gpu, what, "");
}

static int tell_all(Follower *f) {
        _cleanup_(virtvms_done) VirtVms l = {};
        int r = virtvm_list(f->c->virt, METADATA_URI, &l);

        if (r < 0)
                return r;
        for (size_t i = 0; i < l.n; i++)
                tell(f, "vm", l.vms[i].name, vm_state_to_string(l.vms[i].state), "");
        return 0;
}

/* First the events, then how all is: what happens in between is told twice, and not missed. */
static int join(Follower *f) {
        int r = virtwatch_join_all(f->watch, f->c->virt);

        if (r >= 0)
                r = virtevents_subscribe(f->c->virt, on_machine, f, &f->events);
        return r < 0 ? r : tell_all(f);
}

static int come_back(Follower *f) {
        _cleanup_free_ char *message = NULL;
        int r = vmctl_open(f->uri, &f->c->virt, &message);

        if (r < 0)
                return 0;
        tell(f, "libvirt", f->uri, "answers", "");
        r = join(f);
        if (r < 0)
                leave(f);
        return r == -ENOMEM ? log_oom() : 0;
}

static int open_signals(Follower *f) {
        sigset_t s;

        (void) sigemptyset(&s);
        (void) sigaddset(&s, SIGTERM);
        (void) sigaddset(&s, SIGINT);
        if (sigprocmask(SIG_BLOCK, &s, NULL) < 0)
                return negative_errno();
        f->signals = signalfd(-1, &s, SFD_CLOEXEC | SFD_NONBLOCK);
        return f->signals < 0 ? negative_errno() : virtwatch_add_file(f->watch, f->signals);
}

static bool told_to_stop(const Follower *f) {
        struct signalfd_siginfo i;

        return read(f->signals, &i, sizeof(i)) > 0;
}

/* Units are this machine's. Where systemd does not answer the machines are followed all the same. */
static void open_units(Follower *f) {
        int r;

        if (!vmctl_is_local(f->c) || access("/run/systemd/system", F_OK) < 0)
                return;
        r = bus_open(&f->bus);
        if (r >= 0)
                r = bus_follow_units(f->bus, on_unit, f);
        if (r >= 0)
                r = virtwatch_add_file(f->watch, bus_fd(f->bus));
        if (r >= 0)
                return;
        log_warning_errno(r, "systemd does not answer, GPUs are not followed: %m");
        bus_free(f->bus);
        f->bus = NULL;
}

static int follow(Follower *f) {
        while (f->error == 0 && !told_to_stop(f)) {
                uint64_t wait = USEC_PER_SEC * (uint64_t) (f->c->virt ? WAIT_SEC : AGAIN_SEC);
                int r = f->bus ? bus_process(f->bus) : 0;

                if (r >= 0)
                        r = virtwatch_wait(f->watch, wait);
                if (r < 0)
                        return log_error_errno(r, "Cannot wait for events: %m");
                if (r & VIRTWATCH_LOST) {
                        tell(f, "libvirt", f->uri, "is gone", "waiting for it");
                        leave(f);
                }
                if (!f->c->virt)
                        r = come_back(f);
                if (r < 0)
                        return r;
        }
        return f->error;
}

int cmd_events(Context *c, char **args) {
        _cleanup_(follower_done) Follower f = { .c = c, .signals = -EBADF };
        int r;

        r = virtwatch_new(&f.watch);
        if (r < 0)
                return log_error_errno(r,
                                       "Cannot use libvirt's library: %m. Is " VIRT_LIBRARY_PACKAGE
                                       " installed?");
        r = vmctl_connect(c);
        if (r < 0)
                return r;
        if (virt_uri(c->virt, &f.uri) < 0)
                return log_oom();
        if (!vmctl_has(c, OPT_FOLLOW))
                r = tell_all(&f);
        else {
                r = open_signals(&f);
                if (r < 0)
                        return log_error_errno(r, "Cannot wait for signals: %m");
                open_units(&f);
                r = join(&f);
        }
        if (r < 0)
                return vmctl_tell(c, r, "Cannot follow what becomes of the virtual machines");
        return vmctl_has(c, OPT_FOLLOW) ? follow(&f) : f.error;
}
