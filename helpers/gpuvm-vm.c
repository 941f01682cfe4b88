/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* gpuvm-vm: stays with a virtual machine as the main process of gpuvm-vm@NAME.service.
 *
 * "run" takes the machine's GPUs through their units, starts it, and ends when it does: with success when it
 * was shut down or somebody wanted it off, with a failure when it crashed. QEMU is libvirt's child: neither
 * this process nor libvirtd takes it along by its own end, and a second "run" finds it running. Now and then
 * it looks whether the machine is well, and the unit is active once that is ready for what its file asks.
 * Told to stop, it asks the guest to shut down, and pulls the plug shortly before systemd's patience ends.
 * "release" comes after that in every case and gives back the GPUs that were taken. */

#include <signal.h>
#include <sys/signalfd.h>
#include <systemd/sd-daemon.h>

#include "bus.h"
#include "cloudinit.h"
#include "fs.h"
#include "guestlog.h"
#include "journal.h"
#include "metadata.h"
#include "parse.h"
#include "phase.h"
#include "stop.h"
#include "virtvm.h"
#include "virtwatch.h"
#include "vmgpu.h"
#include "vmprobe.h"
#include "vmstart.h"

enum {
        STOP_TIMEOUT_SEC = 3 * 60,
        STOP_MARGIN_SEC = 20, /* for pulling the plug, before systemd kills this process */
        ASK_AGAIN_SEC = 20,   /* a guest that was still starting has not heard it */
        CONNECT_AGAIN_SEC = 2,
        LOOK_AGAIN_SEC = 60,
        LOOK_MIN_SEC = 1,    /* however much the guest writes */
        TELL_AGAIN_SEC = 30, /* what has not changed */
        AGENT_SEC = 65,      /* in which the guest's agent may be asked to shut it down */
        PLUG_PULLS = 3,      /* a QEMU that hangs in the kernel cannot be killed */
        UNIT_MAX = 128,
        EXIT_START_AGAIN = 69, /* the unit's RestartForceExitStatus= */
};

typedef struct Machine {
        Phase *p;
        const char *name;
        Metadata metadata;
        VirtWatch *watch;
        Virt *v; /* NULL: libvirt is away */
        GuestLog *log;
        int signals;
        VmProbe probe;
        bool stopping, log_has_more;
        bool told_ready;
        bool not_well, again;         /* again: it is stopped to be started again */
        uint64_t plug_usec, ask_usec; /* when it is pulled, when the guest is asked again */
        unsigned pulls;
        uint64_t looked_usec, told_usec;
        char *told;
} Machine;

static void disconnect(Machine *m) {
        if (m->watch)
                virtwatch_leave(m->watch);
        virt_close(m->v);
        m->v = NULL;
}

static void machine_done(Machine *m) {
        disconnect(m);
        guestlog_free(m->log);
        virtwatch_free(m->watch);
        metadata_done(&m->metadata);
        vmprobe_done(&m->probe);
        free(m->told);
        (void) safe_close(m->signals);
}

static int connect_to_libvirt(Machine *m, char **reterr) {
        int r = virt_open_root(m->p->root, &m->v, reterr);

        if (r >= 0)
                r = virtwatch_join(m->watch, m->v, m->name);
        if (r < 0 && m->v && reterr)
                *reterr = strdup(virt_message(m->v));
        if (r < 0)
                disconnect(m);
        return r;
}

/* A libvirtd that dies while it is written to is one that does not answer. */
static int open_signals(Machine *m) {
        sigset_t s;

        (void) signal(SIGPIPE, SIG_IGN);
        (void) sigemptyset(&s);
        (void) sigaddset(&s, SIGTERM);
        (void) sigaddset(&s, SIGINT);
        if (sigprocmask(SIG_BLOCK, &s, NULL) < 0)
                return negative_errno();
        m->signals = signalfd(-1, &s, SFD_CLOEXEC | SFD_NONBLOCK);
        return m->signals < 0 ? negative_errno() : virtwatch_add_file(m->watch, m->signals);
}

/* The first time, before anything has begun. */
static int connect_or_tell(Machine *m) {
        _cleanup_free_ char *message = NULL;
        int r = connect_to_libvirt(m, &message);

        if (r == -ENOENT)
                return phase_fail(m->p, 0, "'vmctl list' shows what there is",
                                  "There is no virtual machine '%s'", m->name);
        return r < 0 ? phase_fail(m->p, r, "'systemctl status libvirtd' may tell why",
                                  "libvirt does not answer: %s", strempty(message))
                     : 0;
}

static bool told_to_stop(const Machine *m) {
        struct signalfd_siginfo i;

        return read(m->signals, &i, sizeof(i)) > 0;
}

/* A machine without our mark is somebody else's. */
static int read_metadata(Machine *m) {
        _cleanup_(virtvm_done) VirtVm vm = {};
        int r;

        r = virtvm_find(m->v, m->name, METADATA_URI, &vm);
        if (r >= 0)
                r = vm.metadata ? metadata_parse(vm.metadata, &m->metadata) : 0;
        if (r < 0)
                return phase_fail(m->p, r, "'vmctl list --all' shows what there is",
                                  "Cannot look at virtual machine '%s'", m->name);
        return r > 0 ? 0
                     : phase_fail(m->p, EPERM, "Use virsh", "Virtual machine '%s' was not made by gpuvm",
                                  m->name);
}

/* While others are waited for. */
static void look_around(void *userdata) {
        Machine *m = userdata;

        virtwatch_answer(m->watch);
        if (told_to_stop(m))
                stop_ask();
}

static int fail_file(Machine *m, int r) {
        return phase_fail(m->p, r, "'vmctl validate' may tell more", "Cannot read the file of '%s'", m->name);
}

/* Its GPUs, whatever that takes. */
static int prepare(Machine *m, VmStart *s) {
        uint64_t patience;
        int r = vmstart_patience(m->p->root, m->name, &patience);

        if (r < 0)
                return fail_file(m, r);
        m->p->alive = look_around;
        m->p->alive_userdata = m;
        r = vmstart_prepare(m->p, m->v, m->name, &m->metadata, patience, s);
        look_around(m);
        m->p->alive = NULL;
        if (r >= 0 && stop_asked())
                return phase_fail(m->p, ECANCELED, "Start it again", "Stopped before '%s' was started",
                                  m->name);
        return r;
}

/* libvirtd may have been restarted in the minutes that GPUs take. */
static int connect_again(Machine *m) {
        VmLook look;

        if (virtwatch_look(m->v, m->name, &look) >= 0)
                return 0;
        disconnect(m);
        return connect_or_tell(m);
}

static int start(Machine *m) {
        _cleanup_(vmstart_done) VmStart s = {};
        VmLook look;
        int r;

        r = virtwatch_look(m->v, m->name, &look);
        if (r < 0)
                return phase_fail(m->p, r, "'vmctl list' shows what there is",
                                  "Cannot tell whether '%s' runs: %s", m->name, virt_message(m->v));
        if (look.on) {
                phase_note(m->p, "'%s' runs already, and is watched from now on", m->name);
                return 0;
        }
        r = prepare(m, &s);
        if (r >= 0)
                r = connect_again(m);
        if (r >= 0)
                r = phase_change(m->p, "start", m->name, "a virtual machine of kind %s", m->metadata.kind);
        if (r <= 0)
                return r;
        phase_status(m->p, "Starting");
        r = s.xml ? virtvm_start_as(m->v, s.xml) : virtvm_start(m->v, m->name);
        return r < 0 ? phase_fail(m->p, 0, "'journalctl -u libvirtd' may tell more", "Cannot start '%s': %s",
                                  m->name, virt_message(m->v))
                     : 0;
}

/* GuestLine */
static void on_line(const char *line, void *userdata) {
        const Machine *m = userdata;
        char field[UNIT_MAX];

        (void) snprintf(field, sizeof(field), "GPUVM_VM=%s", m->name);
        journal_line(m->name, field, line);
}

/* What cannot be read costs the machine nothing. */
static void open_log(Machine *m) {
        int r;

        if (!m->metadata.log)
                return;
        r = guestlog_open(m->p->root, m->metadata.log, &m->log);
        if (r >= 0)
                r = virtwatch_add_file(m->watch, guestlog_fd(m->log));
        if (r < 0)
                log_warning_errno(r, "Failed to follow '%s', ignoring: %m", m->metadata.log);
}

static void copy_log(Machine *m) {
        m->log_has_more = m->log && guestlog_read(m->log, on_line, m) > 0;
}

static void tell_ready(Machine *m) {
        if (!m->told_ready)
                (void) sd_notify(false, "READY=1");
        m->told_ready = true;
}

static void tell(Machine *m, const char *what, const char *how) {
        uint64_t now = monotonic_usec();
        _cleanup_free_ char *text = NULL;

        if (m->stopping || str_printf(&text, "%s%s", what, how) < 0)
                return;
        if (streq_ptr(m->told, text) && now - m->told_usec < TELL_AGAIN_SEC * USEC_PER_SEC)
                return;
        phase_status(m->p, "%s", text);
        free(m->told);
        m->told = TAKE_PTR(text);
        m->told_usec = now;
}

static void tell_state(Machine *m, const VmLook *look) {
        if (!m->told_ready && m->probe.text)
                tell(m, "Waiting until it is ready: it ", m->probe.text);
        else if (m->not_well && m->probe.text)
                tell(m, "The machine is not well: it ", m->probe.text);
        else
                tell(m, "The machine is ", look->text);
}

/* Returns 1 when it is over, 0 as long as it is on, or nobody can say. */
static int look_at(Machine *m, VmLook *ret) {
        int r;

        if (!m->v && connect_to_libvirt(m, NULL) == -ENOENT)
                r = -ENOENT;
        else
                r = m->v ? virtwatch_look(m->v, m->name, ret) : -ENOTCONN;
        if (r == -ENOENT) {
                *ret = (VmLook){ .end = VM_END_UNKNOWN };
                return 1;
        }
        if (r < 0) {
                disconnect(m);
                tell(m, "libvirt does not answer; the machine runs on", "");
                return 0;
        }
        tell_state(m, ret);
        return !ret->on;
}

/* Below the unit's own patience, so that there is time to pull the plug. */
static uint64_t stop_timeout(const Machine *m) {
        uint64_t timeout = STOP_TIMEOUT_SEC * USEC_PER_SEC;
        _cleanup_bus_ Bus *bus = NULL;
        char unit[UNIT_MAX];

        (void) snprintf(unit, sizeof(unit), "gpuvm-vm@%s.service", m->name);
        if (vmgpu_has_units(m->p) && bus_open(&bus) >= 0 && bus_unit_stop_timeout(bus, unit, &timeout) < 0)
                timeout = STOP_TIMEOUT_SEC * USEC_PER_SEC;
        return timeout > 2 * STOP_MARGIN_SEC * USEC_PER_SEC ? timeout - STOP_MARGIN_SEC * USEC_PER_SEC
                                                            : timeout / 2;
}

/* Returns 0, or an error after a message: whoever waits for this unit does not wait for ever. */
static int pull_plug(Machine *m) {
        phase_status(m->p, "The guest did not shut down in time: stopping it as if its plug were pulled");
        if (m->pulls++ == 0)
                log_warning("'%s' did not shut down in time, and is stopped as if its plug were pulled",
                            m->name);
        m->plug_usec = monotonic_usec() + STOP_MARGIN_SEC * USEC_PER_SEC;
        if (virtvm_destroy(m->v, m->name) >= 0)
                return 0;
        if (m->pulls >= PLUG_PULLS)
                return phase_fail(m->p, EBUSY, "The host may have to be restarted, by force in the end",
                                  "QEMU of '%s' cannot be ended, and keeps its GPUs: %s", m->name,
                                  virt_message(m->v));
        log_warning("Failed to stop '%s': %s", m->name, virt_message(m->v));
        return 0;
}

/* Its agent keeps libvirt for a minute if it hangs: there is that time, or nobody asks it. */
static int ask_guest(Machine *m, uint64_t now) {
        if (m->plug_usec - now > AGENT_SEC * USEC_PER_SEC)
                return virtvm_shutdown(m->v, m->name);
        return virtvm_press_button(m->v, m->name);
}

/* Returns 0, or an error after a message. */
static int go_on_stopping(Machine *m) {
        uint64_t now = monotonic_usec();

        if (now >= m->plug_usec && !m->v)
                return phase_fail(m->p, EHOSTDOWN, "Once libvirt runs again, 'vmctl stop' stops it",
                                  "libvirt does not answer, and '%s' runs on", m->name);
        if (now >= m->plug_usec)
                return pull_plug(m);
        if (now >= m->ask_usec && m->v) {
                m->ask_usec = now + ASK_AGAIN_SEC * USEC_PER_SEC;
                phase_status(m->p, "Asked the guest to shut down");
                if (ask_guest(m, now) < 0)
                        log_debug("Cannot ask '%s' to shut down: %s", m->name, virt_message(m->v));
        }
        return 0;
}

static void begin_stopping(Machine *m) {
        uint64_t timeout = stop_timeout(m);

        if (m->stopping)
                return;
        m->stopping = true;
        m->plug_usec = timeout > UINT64_MAX / 2 ? UINT64_MAX : monotonic_usec() + timeout;
}

static int stop_if_told(Machine *m) {
        if (told_to_stop(m)) {
                begin_stopping(m);
                m->again = false;
        }
        return m->stopping ? go_on_stopping(m) : 0;
}

/* Why not, or NULL. One that is paused may be so because somebody wants it. */
static const char *find_refusal(const VmProbe *p) {
        int r;

        if (p->stopped)
                return "somebody may want it so";
        if (p->agent_left)
                return "the guest has ended its agent itself, and may be shutting down";
        r = vmprobe_may_restart(p);
        return r > 0            ? NULL
                        : r < 0 ? "how often it was started again cannot be noted in " VMPROBE_DIR
                                : "it was started again for that three times within an hour";
}

/* first: nobody has been told yet. */
static int start_again(Machine *m, bool first) {
        const char *refusal;

        if (m->probe.health.watchdog != VMWATCHDOG_RESTART)
                return 0;
        refusal = find_refusal(&m->probe);
        if (refusal) {
                if (first)
                        log_warning("'%s' is left as it is: %s", m->name, refusal);
                return 0;
        }
        log_warning("'%s' is going to be started again", m->name);
        m->again = true;
        begin_stopping(m);
        return 0;
}

static void tell_late(Machine *m) {
        log_warning("'%s' is not ready after %llu s: it %s. It goes on; 'vmctl console %s' shows what it is at",
                    m->name, (unsigned long long) (m->probe.health.ready_usec / USEC_PER_SEC), m->probe.text,
                    m->name);
}

/* What goes down is not well, and none of our business. */
static int probe(Machine *m) {
        int r = m->v && !m->stopping ? vmprobe_look(&m->probe, m->v) : 0;

        if (r < 0)
                log_debug("Cannot look how '%s' is: %s", m->name, m->v ? virt_message(m->v) : "no memory");
        m->not_well = r == VMHEALTH_UNHEALTHY || r == VMHEALTH_STILL || (m->not_well && r <= VMHEALTH_SAME);
        if (r == VMHEALTH_LATE)
                tell_late(m);
        if (r == VMHEALTH_UNHEALTHY)
                log_warning("'%s' is not well: it %s", m->name, m->probe.text);
        if (r == VMHEALTH_WELL)
                log_info("'%s' is well again", m->name);
        if (r == VMHEALTH_READY || r == VMHEALTH_LATE)
                tell_ready(m);
        if (r == VMHEALTH_UNHEALTHY || r == VMHEALTH_STILL)
                return start_again(m, r == VMHEALTH_UNHEALTHY);
        return r == -ENOMEM ? log_oom() : 0;
}

static uint64_t patience(const Machine *m) {
        uint64_t look = USEC_PER_SEC *
                        (uint64_t) (m->stopping            ? 1
                                                    : m->v ? LOOK_AGAIN_SEC
                                                           : CONNECT_AGAIN_SEC);

        if (m->log_has_more)
                return 0;
        return m->stopping || !m->v ? look : MIN(look, vmprobe_wait_usec(&m->probe));
}

/* What the guest writes is no reason to ask libvirt each time: it may write without end. */
static bool is_due(Machine *m, int news) {
        uint64_t now = monotonic_usec();

        if ((news & ~VIRTWATCH_FILE) == 0 && now - m->looked_usec < LOOK_MIN_SEC * USEC_PER_SEC)
                return false;
        m->looked_usec = now;
        return true;
}

static int wait_for_news(Machine *m) {
        int r = virtwatch_wait(m->watch, patience(m));

        return r < 0 ? phase_fail(m->p, r, "Start its unit again: the machine is found, and runs on",
                                  "Cannot wait for news of '%s'", m->name)
                     : r;
}

/* Until it is over. Returns 0, or an error after a message. */
static int stay(Machine *m, VmLook *ret) {
        int r = 0;

        for (;;) {
                r = is_due(m, r) ? look_at(m, ret) : 0;
                copy_log(m);
                if (r > 0)
                        return 0;
                r = stop_if_told(m);
                if (r >= 0)
                        r = probe(m);
                if (r >= 0)
                        r = wait_for_news(m);
                if (r < 0)
                        return r;
                if (r & VIRTWATCH_LOST)
                        disconnect(m);
                if (r & VIRTWATCH_REBOOT)
                        vmprobe_begin(&m->probe);
        }
}

static int tell_end(Machine *m, VmEnd end) {
        static const char *const words[] = {
                [VM_END_UNKNOWN] = "is off",
                [VM_END_SHUTDOWN] = "has shut down",
                [VM_END_DESTROYED] = "was stopped as if its plug were pulled",
                [VM_END_MOVED] = "was saved, or moved to another host",
        };

        if (m->again && !told_to_stop(m)) {
                log_info("'%s' %s, and starts again", m->name, words[end == VM_END_CRASHED ? 0 : end]);
                return EXIT_START_AGAIN;
        }
        if (end == VM_END_CRASHED)
                return phase_fail(m->p, 0, "'vmctl start' starts it again",
                                  "'%s' has crashed; /var/log/libvirt/qemu/%s.log may tell why", m->name,
                                  m->name);
        phase_status(m->p, "The machine %s", words[end]);
        log_info("'%s' %s", m->name, words[end]);
        return 0;
}

static int run_machine(Phase *p, const char *name) {
        _cleanup_(machine_done) Machine m = { .p = p, .name = name, .signals = -EBADF };
        VmLook look;
        int r;

        r = vmprobe_init(&m.probe, p->root, name);
        if (r < 0)
                return fail_file(&m, r);
        r = virtwatch_new(&m.watch);
        if (r >= 0)
                r = open_signals(&m);
        if (r < 0)
                return phase_fail(p, r, "Is the package " VIRT_LIBRARY_PACKAGE " installed?",
                                  "Cannot use libvirt's library");
        r = connect_or_tell(&m);
        if (r >= 0)
                r = read_metadata(&m);
        if (r >= 0 && !p->dry_run)
                open_log(&m);
        if (r >= 0)
                r = start(&m);
        if (r < 0 || p->dry_run)
                return r;
        vmprobe_begin(&m.probe);
        if (m.probe.health.ready == VMREADY_STARTED)
                tell_ready(&m);
        r = stay(&m, &look);
        return r < 0 ? r : tell_end(&m, look.end);
}

/* Not as long as the machine runs, or nobody knows: this process may have been killed, and the machine not.
 */
static int may_release(Phase *p, const char *name) {
        _cleanup_(virt_closep) Virt *v = NULL;
        VmState state;
        int r;

        r = virt_open_root(p->root, &v, NULL);
        if (r >= 0)
                r = virtvm_state(v, name, &state);
        if (r == -ENOENT)
                return 1;
        return r < 0 ? r : !vm_state_is_on(state);
}

/* The next run has the GPUs that this one had: the host does not get them for that moment, nor do its
 * services start. */
static bool starts_again(void) {
        const char *status = secure_getenv("EXIT_STATUS");
        unsigned n;

        return status && parse_uint(status, UINT8_MAX, &n) >= 0 && n == EXIT_START_AGAIN;
}

static int release(Phase *p, const char *name) {
        _cleanup_strv_ char **gpus = NULL;
        int r;

        if (starts_again())
                return 0;
        r = vmgpu_taken(p->root, name, &gpus);
        if (r < 0)
                return phase_fail(p, r, "Look at " VMGPU_DIR, "Cannot tell which GPUs '%s' has taken", name);
        if (!gpus || !vmgpu_has_units(p) || stop_is_shutdown(p->root))
                return 0;
        r = may_release(p, name);
        if (r > 0)
                return vmgpu_give_back(p, name, gpus);
        phase_note(p, "'%s' keeps its GPUs: %s", name,
                   r < 0 ? "libvirt does not say whether it is off" : "it runs");
        return 0;
}

static int run(Phase *p, int argc, char *argv[]) {
        int r;

        p->no_record = true;
        if (argc != 2 || (!streq(argv[0], "run") && !streq(argv[0], "release"))) {
                log_error("Usage: gpuvm-vm run NAME | release NAME");
                return PHASE_USAGE;
        }
        if (cloudinit_check_hostname(argv[1]) < 0) {
                log_error("'%s' is no name of a virtual machine", argv[1]);
                return PHASE_USAGE;
        }
        if (streq(argv[0], "release"))
                return release(p, argv[1]);
        r = run_machine(p, argv[1]);
        if (r < 0 && p->failure)
                (void) sd_notifyf(false, "STATUS=%s", p->failure);
        return r;
}

static const Helper helper = {
        .name = "gpuvm-vm",
        .arguments = "run|release NAME",
        .summary = "Runs a virtual machine as a unit, and gives back its GPUs.",
        .run = run,
        .no_turn = true,
};

DEFINE_HELPER(helper)
