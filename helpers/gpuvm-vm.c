/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* gpuvm-vm: stays with a virtual machine as the main process of gpuvm-vm@NAME.service.
 *
 * "run" takes the machine's GPUs through their units, starts it, and ends when it does: with success when it
 * was shut down or somebody wanted it off, with a failure when it crashed. QEMU is libvirt's child: neither
 * this process nor libvirtd takes it along by its own end, and a second "run" finds it running. Now and then
 * it looks whether the machine is well, and the unit is active once that is ready for what its file asks. A
 * seed with secrets in it goes once the guest has read it.
 * Told to stop, it asks the guest to shut down, and pulls the plug shortly before systemd's patience ends.
 * "look" comes before that, outside the unit's sandbox, in which all is read-only: whether what the machine
 * shares is so on the host. "release" comes after that in every case and gives back the GPUs that were taken,
 * or leaves them to the machine that starts next; "settle" comes after that one's start, and gives them back
 * if there was none. */

#include <systemd/sd-daemon.h>

#include "cloudinit.h"
#include "fs.h"
#include "metadata.h"
#include "phase.h"
#include "virtvm.h"
#include "vmprobe.h"
#include "vmrelease.h"
#include "vmseed.h"
#include "vmstart.h"
#include "vmstop.h"
#include "vmunit.h"
#include "vmwatch.h"

enum {
        LOOK_AGAIN_SEC = 60,
        TELL_AGAIN_SEC = 30, /* what has not changed */
};

typedef struct Machine {
        Phase *p;
        const char *name;
        Metadata metadata;
        VmWatch watch;
        VmProbe probe;
        VmSeed seed;
        VmStop stop;
        bool told_ready;
        bool not_well, again; /* again: it is stopped to be started again */
        uint64_t told_usec;
        char *told;
} Machine;

static void machine_done(Machine *m) {
        vmwatch_done(&m->watch);
        metadata_done(&m->metadata);
        vmprobe_done(&m->probe);
        vmseed_done(&m->seed);
        free(m->told);
}

/* Of libvirt's, which may have gone meanwhile. */
static const char *message(const Machine *m) {
        return m->watch.v ? virt_message(m->watch.v) : "libvirt does not answer";
}

/* What cannot be read costs the machine nothing. */
static void open_log(Machine *m) {
        int r = m->metadata.log ? vmwatch_open_log(&m->watch, m->metadata.log) : 0;

        if (r < 0)
                log_warning_errno(r, "Failed to follow '%s', ignoring: %m", m->metadata.log);
}

static void tell_ready(Machine *m) {
        if (!m->told_ready)
                (void) sd_notify(false, "READY=1");
        m->told_ready = true;
}

static void tell(Machine *m, const char *what, const char *how) {
        uint64_t now = monotonic_usec();
        _cleanup_free_ char *text = NULL;

        if (m->stop.begun || str_printf(&text, "%s%s", what, how) < 0)
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
                tell(m, VMUNIT_WAITS, m->probe.text);
        else if (m->not_well && m->probe.text)
                tell(m, "The machine is not well: it ", m->probe.text);
        else
                tell(m, "The machine is ", look->text);
}

/* Returns 1 when it is over, 0 as long as it is on, or nobody can say. */
static int look_at(Machine *m, VmLook *ret) {
        int r = vmwatch_look(&m->watch, ret);

        if (r < 0)
                tell(m, "libvirt does not answer; the machine runs on", "");
        if (r == 0)
                tell_state(m, ret);
        return MAX(r, 0);
}

static void tell_pull(const Machine *m) {
        phase_status(m->p, "The guest did not shut down in time: stopping it as if its plug were pulled");
        if (m->stop.pulls == 1)
                log_warning("'%s' did not shut down in time, and is stopped as if its plug were pulled",
                            m->name);
}

/* Returns 0, or an error after a message: whoever waits for this unit does not wait for ever. */
static int go_on_stopping(Machine *m) {
        int r = vmstop_go_on(&m->stop, m->watch.v, m->name);

        if (r == VMSTOP_PULLED || r == VMSTOP_NOT_PULLED || r == -EBUSY)
                tell_pull(m);
        switch (r) {
        case -EHOSTDOWN:
                return phase_fail(m->p, EHOSTDOWN, "Once libvirt runs again, 'vmctl stop' stops it",
                                  "libvirt does not answer, and '%s' runs on", m->name);
        case -EBUSY:
                return phase_fail(m->p, EBUSY, "The host may have to be restarted, by force in the end",
                                  "QEMU of '%s' cannot be ended, and keeps its GPUs: %s", m->name,
                                  message(m));
        case VMSTOP_NOT_PULLED:
                log_warning("Failed to stop '%s': %s", m->name, message(m));
                break;
        case VMSTOP_ASKED:
        case VMSTOP_NOT_ASKED:
                phase_status(m->p, "Asked the guest to shut down");
                if (r == VMSTOP_NOT_ASKED)
                        log_debug("Cannot ask '%s' to shut down: %s", m->name, message(m));
                break;
        }
        return 0;
}

static int stop_if_told(Machine *m) {
        if (vmwatch_told_to_stop(&m->watch)) {
                vmstop_begin(&m->stop, vmstop_patience(m->p, m->name));
                m->again = false;
        }
        return m->stop.begun ? go_on_stopping(m) : 0;
}

/* first: nobody has been told yet. */
static void start_again(Machine *m, bool first) {
        const char *refusal;

        if (m->probe.health.watchdog != VMWATCHDOG_RESTART)
                return;
        refusal = vmprobe_may_restart(&m->probe);
        if (refusal) {
                if (first)
                        log_warning("'%s' is left as it is: %s", m->name, refusal);
                return;
        }
        log_warning("'%s' is going to be started again", m->name);
        m->again = true;
        vmstop_begin(&m->stop, vmstop_patience(m->p, m->name));
}

static void tell_late(Machine *m) {
        log_warning("'%s' is not ready after %llu s: it %s. It goes on; 'vmctl console %s' shows what it is at",
                    m->name,
                    (unsigned long long) ((monotonic_usec() - m->probe.health.begin_usec) / USEC_PER_SEC),
                    m->probe.text, m->name);
}

/* What goes down is not well, and none of our business. */
static int probe(Machine *m) {
        int r = m->watch.v && !m->stop.begun ? vmprobe_look(&m->probe, m->watch.v) : 0;

        if (r < 0)
                log_debug("Cannot look how '%s' is: %s", m->name, r == -ENOMEM ? "no memory" : message(m));
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
                start_again(m, r == VMHEALTH_UNHEALTHY);
        return r == -ENOMEM ? log_oom() : 0;
}

/* Costs the machine nothing, whatever comes of it. */
static void take_seed(Machine *m) {
        int r = m->watch.v && !m->stop.begun ? vmseed_look(&m->seed, m->watch.v) : 0;

        if (r > 0)
                log_info("'%s' has read its seed, which is removed with the secrets in it", m->name);
        if (r < 0 && !m->seed.told)
                log_warning("Failed to remove the seed of '%s', which has secrets in it: %s. 'vmctl apply --wait %s' does it",
                            m->name, r == -ENXIO ? "it is in no storage pool" : message(m), m->name);
        m->seed.told = m->seed.told || r < 0;
}

static uint64_t patience(const Machine *m) {
        uint64_t work = MIN(vmprobe_wait_usec(&m->probe), vmseed_wait_usec(&m->seed));

        return m->stop.begun ? USEC_PER_SEC : MIN(LOOK_AGAIN_SEC * USEC_PER_SEC, work);
}

static int wait_for_news(Machine *m) {
        int r = vmwatch_wait(&m->watch, patience(m));

        return r < 0 ? phase_fail(m->p, r, "Start its unit again: the machine is found, and runs on",
                                  "Cannot wait for news of '%s'", m->name)
                     : r;
}

/* Until it is over. Returns 0, or an error after a message. */
static int stay(Machine *m, VmLook *ret) {
        int r = 0;

        for (;;) {
                r = vmwatch_is_due(&m->watch, r) ? look_at(m, ret) : 0;
                vmwatch_copy_log(&m->watch);
                if (r > 0)
                        return 0;
                r = stop_if_told(m);
                if (r >= 0)
                        r = probe(m);
                take_seed(m);
                if (r >= 0)
                        r = wait_for_news(m);
                if (r < 0)
                        return r;
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

        if (m->again && !vmwatch_told_to_stop(&m->watch)) {
                log_info("'%s' %s, and starts again", m->name, words[end == VM_END_CRASHED ? 0 : end]);
                return VMRELEASE_START_AGAIN;
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
        _cleanup_(machine_done) Machine m = { .p = p, .name = name, .watch.signals = -EBADF };
        VmLook look;
        int r;

        r = vmprobe_init(&m.probe, p->root, name);
        if (r < 0)
                return vmstart_fail_file(p, name, r);
        r = vmwatch_init(&m.watch, p->root, name);
        if (r < 0)
                return phase_fail(p, r, "Is the package " VIRT_LIBRARY_PACKAGE " installed?",
                                  "Cannot use libvirt's library");
        r = vmstart_connect(p, &m.watch);
        if (r >= 0)
                r = vmstart_read(p, &m.watch, &m.metadata);
        if (r >= 0 && !p->dry_run)
                open_log(&m);
        if (r >= 0)
                r = vmstart_machine(p, &m.watch, &m.metadata);
        if (r <= 0)
                return r;
        r = vmseed_init(&m.seed, p->root, name, &m.metadata);
        if (r < 0)
                log_warning_errno(r, "Failed to look for the seed of '%s', ignoring: %m", name);
        vmprobe_begin(&m.probe);
        if (m.probe.health.ready == VMREADY_STARTED)
                tell_ready(&m);
        r = stay(&m, &look);
        if (r < 0)
                return r;
        /* To systemd it is a failure of a unit (service_sigchld_event()) to end well before it was ready. */
        if (look.end != VM_END_CRASHED)
                tell_ready(&m);
        return tell_end(&m, look.end);
}

static bool is_verb(const char *word) {
        return streq(word, "look") || streq(word, "run") || streq(word, "release") || streq(word, "settle");
}

static int run(Phase *p, int argc, char *argv[]) {
        int r;

        p->no_record = true;
        if (argc != 2 || !is_verb(argv[0])) {
                log_error("Usage: gpuvm-vm look NAME | run NAME | release NAME | settle NAME");
                return PHASE_USAGE;
        }
        if (cloudinit_check_hostname(argv[1]) < 0) {
                log_error("'%s' is no name of a virtual machine", argv[1]);
                return PHASE_USAGE;
        }
        if (streq(argv[0], "release")) {
                (void) unsetenv("NOTIFY_SOCKET"); /* why it has not started stays the unit's status */
                return vmrelease_gpus(p, argv[1]);
        }
        p->quiet_record = p->quiet_record || streq(argv[0], "look") || streq(argv[0], "settle");
        if (streq(argv[0], "settle"))
                return vmrelease_left(p, argv[1]);
        r = streq(argv[0], "look") ? vmstart_look(p, argv[1]) : run_machine(p, argv[1]);
        if (r < 0 && p->failure)
                (void) sd_notifyf(false, "STATUS=%s", p->failure);
        return r;
}

static const Helper helper = {
        .name = "gpuvm-vm",
        .arguments = "look|run|release|settle NAME",
        .summary = "Runs a virtual machine as a unit, and gives back its GPUs.",
        .run = run,
        .no_turn = true,
};

DEFINE_HELPER(helper)
