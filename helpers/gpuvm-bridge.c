/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* gpuvm-bridge: a bridge for VMs, made of the host's own network without losing it.
 *
 * Looks at who runs the network and what it can bear, and lets it be where a bridge is there already or would
 * be of no use. A change is a transaction (bridgechange.h): what does not prove itself in RevertSec= is taken
 * back. */

#include "bridgechange.h"
#include "bridgefilter.h"
#include "bridgeplan.h"
#include "bridgezone.h"
#include "conf.h"
#include "fs.h"
#include "guestfilter.h"
#include "json.h"
#include "phase.h"

enum { ARG_FORCE = 0x200, ARG_BOOT, ARG_UNCONFIRMED };

static bool arg_force, arg_boot, arg_unconfirmed;

static int parse(int value, const char *argument) {
        arg_force |= value == ARG_FORCE;
        arg_boot |= value == ARG_BOOT;
        arg_unconfirmed |= value == ARG_UNCONFIRMED || value == ARG_BOOT;
        return 0;
}

/* What verify, storage and whoever makes VMs want to know. */
static void tell(Phase *p, const BridgePlan *plan) {
        const NetModeChoice *c = &plan->choice;

        phase_result(p, "mode", json_object_new_string(network_mode_to_string(c->mode)));
        phase_result(p, "reason", json_object_new_string(c->reason));
        if (plan->bridge)
                phase_result(p, "bridge", json_object_new_string(plan->bridge));
        if (plan->uplink)
                phase_result(p, "uplink", json_object_new_string(plan->uplink));
        phase_result(p, "owner", json_object_new_string(netowner_to_string(plan->owner)));
}

/* Returns 1 to go on, 0 in a dry run. */
static int announce(Phase *p, const BridgePlan *plan) {
        int go = 1;

        for (size_t i = 0; i < plan->files.n; i++) {
                go = phase_change(p, "write", plan->files.items[i].path, "for %s, which runs %s",
                                  netowner_to_string(plan->owner), plan->uplink);
                if (go < 0)
                        return log_oom();
        }
        return go;
}

static int fail_refused(Phase *p, const NetModeChoice *c) {
        return phase_fail(p, 0, "Set another Mode= in [Network] of /etc/gpuvm.conf; nothing was changed",
                          "The network cannot be as Mode= has it: %s", c->reason);
}

/* What a run has left that was cut off: first back to where it began. */
static int clear_up(Phase *p, BridgeState *ret) {
        int r;

        r = bridgechange_revert(p, false, false);
        if (r < 0 || (r > 0 && p->dry_run))
                return r < 0 ? r : 0;
        if (r > 0)
                phase_note(p, "An earlier change of the network was not finished, and was taken back");
        r = bridge_load(p->root, ret);
        return r < 0 ? phase_fail(p, r, BRIDGE_STATE_REMEDY, "Cannot read %s", BRIDGE_PENDING) : 0;
}

static int look(Phase *p, const Conf *c, BridgeState *kept, BridgePlan *plan) {
        int r;

        r = bridgeplan_look(p->root, c, arg_force, kept, plan);
        if (r >= 0 && plan->choice.change && kept->boot_id && !p->dry_run) {
                /* Another mode than before: from the beginning, so that one way back is enough. */
                r = bridgechange_revert(p, false, true);
                if (r < 0)
                        return r;
                bridge_done(kept);
                bridgeplan_done(plan);
                r = bridgeplan_look(p->root, c, arg_force, kept, plan);
        }
        return r < 0 ? phase_fail(p, r, "Try again; nothing was changed", "Cannot look at the network") : 0;
}

/* Recorded machines have no addresses in them unless somebody put them there. */
static bool has_network(const Phase *p) {
        return fs_is_host(p->root) || fs_exists(p->root, NETSTATE_RECORD) > 0;
}

/* Returns 0 also where there is no filter. */
static int open_filter(Phase *p, BridgeState *kept) {
        int r = bridgefilter_open(p, kept), k = bridgezone_open(p, kept);

        if (r < 0 && r != -ENOENT)
                return r;
        return MIN(k, 0);
}

/* What VMs send over a bridge that is no way through is not lost on the host itself, so it is no failure. */
static void let_through(Phase *p, BridgeState *kept, const BridgePlan *plan) {
        int r;

        if (p->dry_run)
                return;
        if (kept->boot_id && kept->stage == BRIDGE_KEPT) {
                r = open_filter(p, kept);
                if (r < 0)
                        phase_note(p, "The packet filter cannot be told to let through what VMs send over %s",
                                   kept->bridge);
        } else if (plan->choice.bridge && bridgefilter_sees_frames(p->root))
                phase_note(p,
                           "What VMs send over %s goes through the packet filter (br_netfilter), which has to accept it",
                           plan->choice.bridge);
}

static int make_change(Phase *p, const BridgePlan *plan, uint64_t revert_usec) {
        _cleanup_(bridge_done) BridgeState kept = {};
        int r;

        r = announce(p, plan);
        if (r <= 0)
                return r;
        r = bridgechange_make(p, plan, revert_usec);
        if (r >= 0 && bridge_load(p->root, &kept) > 0)
                let_through(p, &kept, plan);
        return r;
}

static int make(Phase *p) {
        _cleanup_(bridgeplan_done) BridgePlan plan = {};
        _cleanup_(bridge_done) BridgeState kept = {};
        _cleanup_(conf_done) Conf c = {};
        int r;

        r = conf_load_and_warn(p->root, &c);
        if (r < 0)
                return log_oom();
        if (!c.bridge) {
                phase_note(p, "Bridge=no: the network is left as it is");
                return PHASE_NOT_APPLICABLE;
        }
        if (!has_network(p)) {
                phase_note(p, "The record of this machine does not tell its network");
                return PHASE_NOT_APPLICABLE;
        }
        r = clear_up(p, &kept);
        if (r < 0)
                return r;
        r = look(p, &c, &kept, &plan);
        if (r < 0)
                return r;
        tell(p, &plan);
        if (plan.choice.refused)
                return fail_refused(p, &plan.choice);
        phase_note(p, "Network for VMs: %s, because %s", network_mode_to_string(plan.choice.mode),
                   plan.choice.reason);
        if (plan.choice.change)
                return make_change(p, &plan, c.revert_usec);
        let_through(p, &kept, &plan);
        return PHASE_OK;
}

static int revert(Phase *p) {
        int r = bridgechange_revert(p, arg_boot, !arg_unconfirmed);

        if (r == 0)
                phase_note(p, "There is nothing to take back");
        return MIN(r, 0);
}

static int confirm(Phase *p) {
        int r = bridgechange_confirm(p);

        if (r == 0)
                phase_note(p, "There is nothing to confirm");
        return MIN(r, 0);
}

static int forward(Phase *p) {
        _cleanup_(bridge_done) BridgeState s = {};
        int r, k;

        r = bridge_load(p->root, &s);
        if (r < 0)
                return phase_fail(p, r, BRIDGE_STATE_REMEDY, "Cannot read %s", BRIDGE_PENDING);
        if (p->dry_run)
                return 0;
        k = guestfilter_load(p);
        if (r == 0 || s.stage != BRIDGE_KEPT)
                return k;
        r = open_filter(p, &s);
        return r < 0 ? phase_fail(p, r, "See what 'iptables -S FORWARD' and 'nft list chains' say",
                                  "The packet filter cannot be told to let through what VMs send over %s",
                                  s.bridge)
                     : k;
}

static int status(Phase *p) {
        _cleanup_(bridge_done) BridgeState s = {};
        int r;

        r = bridge_load(p->root, &s);
        if (r < 0)
                return phase_fail(p, r, BRIDGE_STATE_REMEDY, "Cannot read %s", BRIDGE_PENDING);
        phase_result(p, "stage", json_object_new_string(r > 0 ? bridge_stage_to_string(s.stage) : "none"));
        p->quiet_record = !p->json;
        if (p->json)
                return 0;
        if (r == 0)
                puts("gpuvm has changed nothing of the network.");
        else
                printf("%s (%s, %s) of %s, run by %s\n", s.bridge, s.routed ? "routed" : "bridged",
                       bridge_stage_to_string(s.stage), s.uplink, netowner_to_string(s.owner));
        return 0;
}

static int run(Phase *p, int argc, char *argv[]) {
        static const struct {
                const char *name;
                int (*run)(Phase *p);
        } verbs[] = { { "confirm", confirm },
                      { "revert", revert },
                      { "status", status },
                      { "forward", forward } };

        if (argc == 0) {
                int r = phase_take_turn(p);

                return r < 0 ? r : make(p);
        }
        p->no_record = true;
        for (size_t i = 0; argc == 1 && i < ELEMENTSOF(verbs); i++)
                if (streq(argv[0], verbs[i].name))
                        return verbs[i].run(p);
        fprintf(stderr, "Use no argument, or one of confirm, revert, status and forward\n");
        return PHASE_USAGE;
}

static const struct option options[] = {
        { "bridge-force", no_argument, NULL, ARG_FORCE },
        { "unconfirmed", no_argument, NULL, ARG_UNCONFIRMED },
        { "boot", no_argument, NULL, ARG_BOOT },
        {},
};

static const Helper helper = {
        .name = "gpuvm-bridge",
        .arguments = "[confirm|revert|status|forward]",
        .summary = "Make the network a bridge for VMs, and take back what goes wrong.",
        .options_help = "     --bridge-force    Bridge an uplink whose gateway is not in its network\n"
                        "     --unconfirmed     With revert: only a change that is not confirmed\n"
                        "     --boot            The same, before any network is up: files only\n",
        .options = options,
        .parse = parse,
        .run = run,
        .looks = "status",
        .no_turn = true, /* a network comes back whoever is at work */
};

DEFINE_HELPER(helper)
