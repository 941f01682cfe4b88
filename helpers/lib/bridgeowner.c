/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "bridgeowner.h"
#include "child.h"
#include "fs.h"
#include "strv.h"

enum {
        STEP_TIMEOUT_SEC = 15, /* of a command; ifup waits for DHCP */
        UP_TIMEOUT_SEC = 30,
};

#define IP         "/usr/sbin/ip"
#define NETWORKCTL "/usr/bin/networkctl"
#define NMCLI      "/usr/bin/nmcli"
#define IFUP       "/usr/sbin/ifup"
#define IFDOWN     "/usr/sbin/ifdown"
#define SYSTEMCTL  "/usr/bin/systemctl"
#define SYSTEMDRUN "/usr/bin/systemd-run"

static int run(Phase *p, unsigned timeout_sec, const char *const *argv) {
        int r = child_run(&(const Child){ PHASE_CHILD(p), .argv = argv,
                                          .timeout_usec = timeout_sec * USEC_PER_SEC });

        if (r != 0)
                log_debug("'%s %s' gave %d", argv[0], strempty(argv[1]), r);
        return r > 0 ? -EPROTO : r;
}

#define RUN(p, timeout_sec, ...) run(p, timeout_sec, (const char *const[]){ __VA_ARGS__, NULL })

/* What ifup starts for DHCP has to live on when the helper's unit is over: so it gets a unit of its own,
 * which leaves behind what its process has left. */
#define RUN_OUTSIDE(p, ...)                                                                            \
        RUN(p, UP_TIMEOUT_SEC, SYSTEMDRUN, "--quiet", "--wait", "--collect", "--service-type=oneshot", \
            "--property=KillMode=process", "--property=TimeoutStartSec=25", "--", __VA_ARGS__)

/* The first error counts, and nothing is left out because of it. */
static int first(int a, int b) {
        return a < 0 ? a : b;
}

static int delete_bridge(Phase *p, const BridgeState *s) {
        _cleanup_free_ char *path = NULL;

        if (str_printf(&path, "/sys/class/net/%s", s->bridge) < 0)
                return -ENOMEM;
        return fs_exists(p->root, path) > 0 ? RUN(p, STEP_TIMEOUT_SEC, IP, "link", "delete", "dev", s->bridge)
                                            : 0;
}

int bridgeowner_before(Phase *p, const BridgeState *s) {
        /* With the new file ifdown would no longer know what it brought up. */
        return s->owner == NETOWNER_IFUPDOWN && !s->routed ? RUN_OUTSIDE(p, IFDOWN, s->uplink) : 0;
}

/* accept_dad of an interface, or of those that come. */
static bool set_dad(Phase *p, const char *interface, const char *from, const char *to) {
        _cleanup_free_ char *path = NULL, *is = NULL;

        return str_printf(&path, "/proc/sys/net/ipv6/conf/%s/accept_dad", interface) >= 0 &&
                        fs_read_line(p->root, path, &is) >= 0 && streq(is, from) &&
                        fs_write_attr(p->root, path, to) >= 0;
}

bool bridgeowner_trust_addresses(Phase *p, const BridgeState *s) {
        /* The bridge begins with "default": ipv6_add_dev() in net/ipv6/addrconf.c. */
        return !s->routed && set_dad(p, "default", "1", "0");
}

void bridgeowner_doubt_addresses(Phase *p, const BridgeState *s, bool trusted) {
        if (trusted && !set_dad(p, "default", "0", "1"))
                log_debug("What interfaces begin with was changed by somebody else");
        if (trusted && !set_dad(p, s->bridge, "0", "1"))
                log_debug("%s asks already whether somebody has its addresses", s->bridge);
}

static int apply_nm(Phase *p, const BridgeState *s) {
        _cleanup_free_ char *id = NULL;
        int r = 0;

        STRV_FOREACH(f, s->files)
                if (r >= 0 && endswith(*f, ".nmconnection"))
                        r = RUN(p, STEP_TIMEOUT_SEC, NMCLI, "connection", "load", *f);
        if (r < 0)
                return r;
        /* The bridge comes up with its port, and not the other way round. */
        r = str_printf(&id, "gpuvm-%s%s", s->bridge, s->routed ? "" : "-port");
        return r < 0 ? r : RUN(p, UP_TIMEOUT_SEC, NMCLI, "--wait", "25", "connection", "up", "id", id);
}

int bridgeowner_apply(Phase *p, const BridgeState *s) {
        switch (s->owner) {
        case NETOWNER_NETWORKD:
        case NETOWNER_NETPLAN:
                /* Makes the bridge, and configures anew what has another .network file now. */
                return RUN(p, STEP_TIMEOUT_SEC, NETWORKCTL, "reload");
        case NETOWNER_NETWORKMANAGER:
                return apply_nm(p, s);
        case NETOWNER_IFUPDOWN:
                return s->routed ? RUN_OUTSIDE(p, IFUP, s->bridge)
                                 : RUN_OUTSIDE(p, IFUP, s->uplink, s->bridge);
        case NETOWNER_NONE:
                break;
        }
        return -EINVAL;
}

int bridgeowner_withdraw(Phase *p, const BridgeState *s) {
        if (s->owner != NETOWNER_IFUPDOWN)
                return 0;
        return s->routed ? RUN_OUTSIDE(p, IFDOWN, "--force", s->bridge)
                         : RUN_OUTSIDE(p, IFDOWN, "--force", s->bridge, s->uplink);
}

static int return_nm(Phase *p, const BridgeState *s) {
        int r = RUN(p, STEP_TIMEOUT_SEC, NMCLI, "connection", "reload");

        r = first(r, delete_bridge(p, s));
        if (s->routed)
                return r;
        /* The one that NetworkManager made up has no file, and comes by itself. */
        return first(r,
                     s->profile ? RUN(p, UP_TIMEOUT_SEC, NMCLI, "--wait", "25", "connection", "up", "uuid",
                                      s->profile, "ifname", s->uplink)
                                : RUN(p, UP_TIMEOUT_SEC, NMCLI, "--wait", "25", "device", "connect",
                                      s->uplink));
}

static int return_networkd(Phase *p, const BridgeState *s) {
        /* networkd leaves a bridge alone whose file is gone. */
        int r = first(delete_bridge(p, s), RUN(p, STEP_TIMEOUT_SEC, NETWORKCTL, "reload"));

        return s->routed ? r : first(r, RUN(p, STEP_TIMEOUT_SEC, NETWORKCTL, "reconfigure", s->uplink));
}

int bridgeowner_return(Phase *p, const BridgeState *s) {
        switch (s->owner) {
        case NETOWNER_NETWORKD:
        case NETOWNER_NETPLAN:
                return return_networkd(p, s);
        case NETOWNER_NETWORKMANAGER:
                return return_nm(p, s);
        case NETOWNER_IFUPDOWN:
                return first(delete_bridge(p, s), s->routed ? 0 : RUN_OUTSIDE(p, IFUP, "--force", s->uplink));
        case NETOWNER_NONE:
                break;
        }
        return -EINVAL;
}

int bridgeowner_arm(Phase *p, uint64_t revert_usec) {
        _cleanup_free_ char *after = NULL;
        int r;

        r = str_printf(&after, "--on-active=%llus", (unsigned long long) (revert_usec / USEC_PER_SEC));
        if (r < 0)
                return r;
        bridgeowner_disarm(p); /* one of a run before would be in the way */
        return RUN(p, STEP_TIMEOUT_SEC, SYSTEMDRUN, "--quiet", "--unit=" BRIDGE_REVERT_UNIT ".service", after,
                   "--timer-property=AccuracySec=1s");
}

void bridgeowner_disarm(Phase *p) {
        /* Nothing depends on it: there may be none, and one that runs out looks whether the change is kept.
         */
        if (RUN(p, STEP_TIMEOUT_SEC, SYSTEMCTL, "stop", BRIDGE_REVERT_UNIT ".timer") < 0)
                log_debug("There was no timer to stop");
}
