/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "bridgechange.h"
#include "bridgefilter.h"
#include "bridgezone.h"
#include "fs.h"
#include "journal.h"
#include "reboot.h"
#include "route.h"
#include "strv.h"
#include "undo.h"

enum {
        LOCK_TIMEOUT_SEC = 20,
        GOOD_IN_A_ROW = 3, /* once a second: a port that flaps, or a lease that goes, is not yet good */
};

#define POLL_INTERVAL (1 * USEC_PER_SEC)
#define REVERT_REMEDY "Run 'gpuvm-bridge revert', or restart the machine: the next boot takes it back first"

static const char *back_on(const BridgeState *s) {
        return s->routed ? s->uplink : s->bridge;
}

/* The lock, or an error, which has been told. */
static int lock(Phase *p) {
        int fd = bridge_lock(p->root, LOCK_TIMEOUT_SEC * USEC_PER_SEC);

        return fd < 0 ? phase_fail(p, fd, "See who holds it: 'fuser /run/gpuvm/bridge.lock'",
                                   "Cannot lock the network's change")
                      : fd;
}

/* Goes on, unless somebody has taken the change over: then it is his. */
static int advance(Phase *p, BridgeState *s, BridgeStage from, BridgeStage to) {
        _cleanup_close_ int fd = lock(p);
        int r;

        if (fd < 0)
                return fd;
        r = bridge_advance(p->root, s, from, to);
        if (r == -ESTALE)
                return phase_fail(p, r, "See 'journalctl -u " BRIDGE_REVERT_UNIT "'",
                                  "The change of the network was taken back meanwhile");
        return r < 0 ? phase_fail(p, r, REVERT_REMEDY, "Cannot write %s", BRIDGE_PENDING) : 0;
}

static int begin(Phase *p, const BridgePlan *plan, uint64_t revert_usec, BridgeState *s) {
        _cleanup_close_ int fd = -EBADF;
        int r;

        *s = (BridgeState){ .stage = BRIDGE_ARMED,
                            .owner = plan->owner,
                            .routed = plan->wish.routed,
                            .forwarding = bridgefilter_is_forwarding(p->root) };
        r = reboot_boot_id(p->root, &s->boot_id);
        if (r >= 0)
                r = free_and_strdup(&s->uplink, plan->wish.uplink);
        if (r >= 0)
                r = free_and_strdup(&s->bridge, plan->wish.bridge);
        if (r >= 0 && plan->owner == NETOWNER_NETWORKMANAGER && plan->owner_facts.nm_file)
                r = free_and_strdup(&s->profile, plan->owner_facts.nm_uuid);
        for (size_t i = 0; r >= 0 && i < plan->files.n; i++)
                r = strv_extend(&s->files, plan->files.items[i].path);
        if (r < 0)
                return phase_fail(p, r, "Try again", "Cannot begin the change of the network");
        fd = lock(p);
        if (fd < 0)
                return fd;
        r = bridge_save(p->root, s);
        if (r < 0)
                return phase_fail(p, r, "See that /var/lib/gpuvm can be written", "Cannot write %s",
                                  BRIDGE_PENDING);
        r = bridgeowner_arm(p, revert_usec);
        if (r >= 0)
                return 0;
        if (bridge_forget(p->root) < 0)
                log_debug("%s stays, and has nothing to take back", BRIDGE_PENDING);
        return phase_fail(p, r, "See 'systemctl status " BRIDGE_REVERT_UNIT ".timer'; nothing was changed",
                          "The timer that would take the network back cannot be started");
}

/* Writes what is there once more, before anything is taken down: what cannot be written could not be put
 * back. */
static int rehearse(Phase *p, const NetFile *f) {
        _cleanup_free_ char *data = NULL;
        struct stat st;
        size_t size;
        int r;

        r = fs_stat(p->root, f->path, &st);
        if (r == -ENOENT)
                return 0;
        if (r >= 0)
                r = fs_read(p->root, f->path, FS_FILE_MAX, &data, &size);
        if (r >= 0)
                r = fs_write_atomic_owned(p->root, f->path, data, size, st.st_mode & 07777, st.st_uid,
                                          st.st_gid);
        return r < 0 ? phase_fail(p, r, "See that it can be written; nothing was changed", "Cannot write %s",
                                  f->path)
                     : 0;
}

static int write_files(Phase *p, const BridgePlan *plan) {
        _cleanup_(undo_freep) Undo *u = NULL;
        int r;

        r = undo_open(p->root, BRIDGE_STEP, &u);
        if (r >= 0) /* files alone would not bring the network back */
                r = undo_record_refresh(u, "network");
        for (size_t i = 0; r >= 0 && i < plan->files.n; i++) {
                const NetFile *f = &plan->files.items[i];

                r = undo_write_file(u, f->path, f->text, strlen(f->text), f->mode);
                if (r < 0)
                        return phase_fail(p, r, "See that it and /var/lib/gpuvm can be written",
                                          "Cannot write %s", f->path);
        }
        return r < 0 ? phase_fail(p, r, "Try again", "Cannot record the change") : 0;
}

/* Returns 0 when it holds, 1 with what does not, or -errno. */
static int look(Phase *p, const NetProof *proof, const char **ret_missing) {
        _cleanup_(netstate_done) NetState now = {};
        _cleanup_(netpeer_done) NetPeers peers = {};
        NetProof q = *proof;
        int r;

        r = netstate_load(p->root, &now);
        if (r >= 0)
                r = netpeer_load(p->root, &peers);
        if (r < 0)
                return r;
        q.now = &now;
        q.peers_now = &peers;
        r = netproof_judge(&q, ret_missing);
        if (r > 0 && fs_is_host(p->root))
                netproof_ask(&now);
        return r;
}

/* Waits until it holds. Returns 0, 1 at the deadline with what was missing, or -errno. */
static int wait_for_proof(Phase *p, const NetProof *proof, uint64_t end, unsigned good,
                          const char **ret_missing) {
        unsigned n = 0;

        for (;;) {
                int r = look(p, proof, ret_missing);

                if (r < 0)
                        return r;
                n = r == 0 ? n + 1 : 0;
                if (n >= good)
                        return 0;
                if (monotonic_usec() >= end)
                        return 1;
                phase_status(p, "Waiting for the network%s%s", r > 0 ? ": " : "", r > 0 ? *ret_missing : "");
                /* A recorded machine does not change while one waits. */
                (void) usleep(fs_is_host(p->root) ? POLL_INTERVAL : POLL_INTERVAL / 50);
        }
}

/* The routes to machines went with the bridge; that the host answers for them is on the uplink. */
static void stop_routing(Phase *p, const BridgeState *s) {
        if (fs_is_host(p->root) && route_remove_all(p->root) < 0)
                phase_note(p, "The host may still answer for machines on %s; 'ip neigh show proxy' tells",
                           s->uplink);
        bridgefilter_stop_forwarding(p, s);
}

/* What rehearse() was writing. Nobody reads it, so the way home does not hang on it. */
static int sweep(Phase *p, const BridgeState *s) {
        int r = bridge_sweep(p->root, s);

        if (r < 0)
                log_debug("What was begun beside the files of %s may be there still: %d", s->uplink, r);
        return 0;
}

/* The old network, by the files and then by its owner. Under the lock. */
static int take_back(Phase *p, BridgeState *s, bool boot) {
        const char *path = NULL;
        bool touched = s->stage != BRIDGE_ARMED, kept = s->stage == BRIDGE_KEPT;
        int r, k;

        s->stage = BRIDGE_REVERTING;
        r = bridge_save(p->root, s);
        if (kept && !boot)
                bridgefilter_close(p, s);
        if (r >= 0 && touched && !boot)
                (void) bridgeowner_withdraw(p, s);
        if (r < 0)
                log_debug("%s cannot say that it is being taken back: %d", BRIDGE_PENDING, r);
        r = touched ? bridge_restore(p->root, s, &path) : sweep(p, s);
        /* With whatever files there are now: an owner who is not told leaves the machine without any network.
         */
        k = touched && !boot ? bridgeowner_return(p, s) : 0;
        if (touched && !boot)
                bridgezone_close(p, s);
        if (touched && !boot && s->routed)
                stop_routing(p, s);
        if (r < 0)
                return phase_fail(p, r, "See that it can be written, then run 'gpuvm-bridge revert'",
                                  "Cannot restore %s", path);
        if (k < 0)
                phase_note(p, "%s did not do all that it was asked for on the way back",
                           netowner_to_string(s->owner));
        r = bridge_forget(p->root);
        if (r < 0)
                return phase_fail(p, r, "Remove it", "Cannot remove %s", BRIDGE_PENDING);
        if (touched)
                journal_event(EVENT_NETWORK_BACK, "GPUVM_BRIDGE", s->bridge,
                              "The network is as it was before %s, on %s", s->bridge, s->uplink);
        return 0;
}

static int keep(Phase *p, BridgeState *s) {
        int r = advance(p, s, BRIDGE_CHANGED, BRIDGE_KEPT);

        if (r >= 0)
                journal_event(EVENT_NETWORK_MOVED, "GPUVM_BRIDGE", s->bridge,
                              "The network is on %s, and stays", s->bridge);
        return r;
}

/* After what went wrong, which has been told: error, or 0 where the user has confirmed the change all the
 * same. */
static int go_back(Phase *p, BridgeState *s, int error) {
        _cleanup_close_ int fd = -EBADF;
        _cleanup_(bridge_done) BridgeState now = {};
        int r;

        phase_status(p, "Taking the change of the network back");
        fd = lock(p);
        if (fd < 0)
                return error;
        r = bridge_load(p->root, &now);
        if (r > 0 && now.stage == BRIDGE_KEPT) {
                phase_note(p, "The change was confirmed meanwhile, and stays");
                return 0;
        }
        if (r > 0)
                r = take_back(p, &now, false);
        if (r < 0)
                return error; /* the timer tries again, and so does the next boot */
        bridgeowner_disarm(p);
        return error;
}

static int prove(Phase *p, const BridgePlan *plan, const BridgeState *s, const NetPeers *peers,
                 uint64_t end) {
        const NetProof proof = { .before = &plan->state,
                                 .peers_before = peers,
                                 .from = s->uplink,
                                 .to = back_on(s) };
        NetProof q = proof;
        const char *missing = NULL;
        int r;

        if (s->routed)
                q.to = s->uplink;
        r = wait_for_proof(p, &q, end, GOOD_IN_A_ROW, &missing);
        if (r > 0)
                return phase_fail(p, 0, "See 'journalctl -b' for the time; Mode=nat leaves the network alone",
                                  "After the change of the network %s", missing);
        return r < 0 ? phase_fail(p, r, REVERT_REMEDY, "Cannot look at the network") : 0;
}

static int change(Phase *p, const BridgePlan *plan, BridgeState *s, const NetPeers *peers, uint64_t end) {
        bool trusted;
        int r = 0;

        for (size_t i = 0; r >= 0 && i < plan->files.n; i++)
                r = rehearse(p, &plan->files.items[i]);
        if (r >= 0)
                r = advance(p, s, BRIDGE_ARMED, BRIDGE_CHANGING);
        if (r < 0)
                return r;
        phase_status(p, "Moving %s to %s", s->uplink, s->bridge);
        r = bridgezone_follow(p, s);
        if (r < 0)
                return r;
        (void) bridgeowner_before(p, s);
        r = write_files(p, plan);
        if (r >= 0 && s->routed)
                r = fs_write_attr(p->root, BRIDGEFILTER_FORWARDING, "1");
        if (r < 0)
                return r;
        trusted = bridgeowner_trust_addresses(p, s);
        (void) bridgeowner_apply(p, s); /* what it led to is seen next */
        r = advance(p, s, BRIDGE_CHANGING, BRIDGE_CHANGED);
        if (r >= 0)
                r = prove(p, plan, s, peers, end);
        bridgeowner_doubt_addresses(p, s, trusted);
        return r < 0 ? r : keep(p, s);
}

int bridgechange_make(Phase *p, const BridgePlan *plan, uint64_t revert_usec) {
        _cleanup_(bridge_done) BridgeState s = {};
        _cleanup_(netpeer_done) NetPeers peers = {};
        const char *missing = NULL;
        uint64_t end;
        NetProof still = { .before = &plan->state, .from = plan->wish.uplink, .to = plan->wish.uplink };
        int r;

        r = netpeer_load(p->root, &peers);
        if (r < 0)
                return phase_fail(p, r, "Try again; nothing was changed", "Cannot see who is logged in");
        /* What does not hold now cannot prove anything afterwards. */
        still.peers_before = &peers;
        r = wait_for_proof(p, &still, monotonic_usec() + 10 * USEC_PER_SEC, 1, &missing);
        if (r != 0)
                return phase_fail(p, MIN(r, 0), "Mode=nat leaves the network alone; nothing was changed",
                                  "The network cannot be changed as it is: %s",
                                  r > 0 ? missing : "it cannot be read");
        revert_usec = MAX(revert_usec, BRIDGE_REVERT_MIN_SEC * USEC_PER_SEC);
        end = monotonic_usec() + revert_usec - BRIDGE_BACK_SEC * USEC_PER_SEC;
        r = begin(p, plan, revert_usec, &s);
        if (r < 0)
                return r;
        r = change(p, plan, &s, &peers, end);
        if (r < 0)
                return go_back(p, &s, r);
        bridgeowner_disarm(p); /* if not: it finds that the change is kept */
        return 0;
}

static int fail_state(Phase *p, int error) {
        return phase_fail(p, error, BRIDGE_STATE_REMEDY, "Cannot read %s", BRIDGE_PENDING);
}

/* An unconfirmed change goes back whatever happened; one that is kept has time. */
static int refuse_changed(Phase *p, const BridgeState *s) {
        const char *path = NULL;
        int r = bridge_find_changed(p->root, s, &path);

        if (r < 0)
                return phase_fail(p, r, "Look at it, then try again", "Cannot look at the files of %s",
                                  s->bridge);
        if (path)
                return phase_fail(p, -EEXIST,
                                  "Make it what you want without the bridge, and remove " BRIDGE_KEPT_AT,
                                  "Somebody changed %s after gpuvm", path);
        return 0;
}

int bridgechange_revert(Phase *p, bool boot, bool kept) {
        _cleanup_(bridge_done) BridgeState s = {};
        _cleanup_close_ int fd = -EBADF;
        int r;

        r = bridge_load(p->root, &s);
        if (r < 0)
                return fail_state(p, r);
        if (r == 0 || (s.stage == BRIDGE_KEPT && !kept))
                return 0;
        r = s.stage == BRIDGE_KEPT ? refuse_changed(p, &s) : 0;
        if (r < 0)
                return r;
        r = phase_change(p, "revert", s.bridge, "the network is as before on %s", s.uplink);
        if (r <= 0)
                return r < 0 ? log_oom() : 1;
        /* Whoever holds it for longer than this hangs, and does not hold back the way home. */
        fd = bridge_lock(p->root, LOCK_TIMEOUT_SEC * USEC_PER_SEC);
        bridge_done(&s);
        r = bridge_load(p->root, &s);
        if (r < 0)
                return fail_state(p, r);
        if (r == 0 || (s.stage == BRIDGE_KEPT && !kept))
                return 0;
        r = take_back(p, &s, boot);
        return r < 0 ? r : 1;
}

int bridgechange_confirm(Phase *p) {
        _cleanup_(bridge_done) BridgeState s = {};
        int r;

        r = bridge_load(p->root, &s);
        if (r < 0)
                return fail_state(p, r);
        if (r == 0 || s.stage != BRIDGE_CHANGED)
                return 0;
        r = phase_change(p, "keep", s.bridge, "nothing takes it back any more");
        if (r <= 0)
                return r < 0 ? log_oom() : 1;
        r = keep(p, &s);
        if (r < 0)
                return r;
        bridgeowner_disarm(p);
        return 1;
}
