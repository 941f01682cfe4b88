/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* gpuvm-route: the way to a machine's single address, on a host that routes such addresses over its bridge.
 * What gpuvm-route@TAP.service runs: udev starts it with the tap of a machine, and it stops with the tap,
 * however the machine was started and however it ends. */

#include "bridge.h"
#include "conf.h"
#include "confvalid.h"
#include "fs.h"
#include "hostnet.h"
#include "metadata.h"
#include "phase.h"
#include "route.h"
#include "virtvm.h"

enum { LOCK_TIMEOUT_SEC = 20, SEARCH_SEC = 15 };
#define SEARCH_INTERVAL (200 * USEC_PER_MSEC)

#define LIBVIRT_HINT "See 'systemctl status libvirtd', then run 'systemctl restart gpuvm-route@%s'"

typedef struct Search {
        Phase *p;
        const char *tap;
        HostNet net;
        Route route;
        char *machine; /* whose the tap is */
} Search;

static void search_done(Search *s) {
        hostnet_done(&s->net);
        free(s->machine);
}

static int lock(Phase *p) {
        int fd = bridge_lock(p->root, LOCK_TIMEOUT_SEC * USEC_PER_SEC);

        return fd < 0 ? phase_fail(p, fd, "See who holds it: 'fuser /run/gpuvm/bridge.lock'",
                                   "Cannot lock the host's bridge")
                      : fd;
}

/* Of one that is gone meanwhile nothing is the tap. */
static int look_at(Search *s, Virt *v, const char *machine) {
        _cleanup_free_ char *xml = NULL;
        int r;

        r = virtvm_xml_now(v, machine, &xml);
        if (r < 0)
                return r == -ENOENT ? ROUTE_UNKNOWN : r;
        r = route_find(xml, s->tap, s->net.bridge, s->route.address);
        if (r > 0 && free_and_strdup(&s->machine, machine) < 0)
                return -ENOMEM;
        return r;
}

static int search_once(Search *s, Virt *v) {
        _cleanup_(virtvms_done) VirtVms l = {};
        int r = virtvm_list(v, METADATA_URI, &l);

        for (size_t i = 0; i < l.n && r == 0; i++)
                if (vm_state_is_on(l.vms[i].state))
                        r = look_at(s, v, l.vms[i].name);
        return r;
}

/* libvirt makes the tap first, and tells of it when it has made all for the start. */
static int search(Search *s, Virt *v) {
        uint64_t end = monotonic_usec() + SEARCH_SEC * USEC_PER_SEC;
        int r;

        for (;;) {
                r = search_once(s, v);
                if (r != ROUTE_UNKNOWN || monotonic_usec() >= end || if_nametoindex(s->tap) == 0)
                        return r;
                (void) usleep(SEARCH_INTERVAL);
        }
}

/* Returns as search(), or an error that has been told. */
static int find(Search *s) {
        _cleanup_(virt_closep) Virt *v = NULL;
        _cleanup_free_ char *message = NULL, *hint = NULL;
        int r;

        if (str_printf(&hint, LIBVIRT_HINT, s->tap) < 0)
                return log_oom();
        r = virt_open_root(s->p->root, &v, &message);
        if (r < 0)
                return phase_fail(s->p, isempty(message) ? r : 0, hint, "Cannot connect to libvirt%s%s",
                                  isempty(message) ? "" : ": ", strempty(message));
        r = search(s, v);
        return r < 0 ? phase_fail(s->p, isempty(virt_message(v)) ? r : 0, hint,
                                  "Cannot see whose interface %s is%s%s", s->tap,
                                  isempty(virt_message(v)) ? "" : ": ", virt_message(v))
                     : r;
}

/* What gpuvm-bridge has written down, else what the default route leaves by. */
static int find_uplink(Search *s, const NetState *now) {
        const NetLink *l = route_uplink(now, s->net.uplink);

        if (!l)
                return phase_fail(s->p, 0, "See 'ip route', then run 'gpu-vm-bootstrap'",
                                  "The host has no uplink for %s of '%s'",
                                  net_address_to_string(AF_INET, s->route.address), s->machine);
        (void) snprintf(s->route.uplink, sizeof(s->route.uplink), "%s", l->name);
        (void) snprintf(s->route.bridge, sizeof(s->route.bridge), "%s", s->net.bridge);
        return 0;
}

static int check(Search *s) {
        _cleanup_(netstate_done) NetState now = {};
        const char *obstacle, *address = net_address_to_string(AF_INET, s->route.address);
        int r = netstate_read(&now);

        if (r < 0)
                return phase_fail(s->p, r, "Try again", "Cannot look at the network");
        r = find_uplink(s, &now);
        if (r < 0)
                return r;
        obstacle = route_obstacle(&now, &s->route);
        return obstacle ? phase_fail(s->p, 0,
                                     "Give the machine another one: 'vmctl create --ip', or Address= in "
                                     "its file",
                                     "The host cannot route %s to '%s': %s", address, s->machine, obstacle)
                        : 0;
}

static int make(Search *s) {
        _cleanup_close_ int fd = -EBADF;
        const Route *route = &s->route;
        int r;

        fd = lock(s->p);
        if (fd < 0)
                return fd;
        r = check(s);
        if (r >= 0)
                r = phase_change(s->p, "route", net_address_to_string(AF_INET, route->address),
                                 "over %s to '%s'; the host answers for it on %s", route->bridge, s->machine,
                                 route->uplink);
        if (r <= 0)
                return r == -ENOMEM ? log_oom() : r;
        r = route_add(s->p->root, s->tap, route);
        return r < 0 ? phase_fail(s->p, r, "See 'ip route' and 'ip neigh show proxy'",
                                  "Cannot route %s to '%s'", net_address_to_string(AF_INET, route->address),
                                  s->machine)
                     : 0;
}

static int add(Phase *p, const char *tap) {
        _cleanup_(search_done) Search s = { .p = p, .tap = tap };
        _cleanup_(conf_done) Conf c = {};
        int r;

        if (conf_load_and_warn(p->root, &c) < 0)
                return log_oom();
        r = hostnet_read(p->root, &c, &s.net);
        if (r < 0)
                return log_oom();
        if (r == 0 || s.net.mode != NETWORK_ROUTED || !fs_is_host(p->root)) {
                phase_note(p, "This host does not route for machines");
                return PHASE_NOT_APPLICABLE;
        }
        r = find(&s);
        if (r == ROUTE_WANTED)
                return make(&s);
        if (r >= 0)
                phase_note(p,
                           r == ROUTE_NONE ? "%s leads to a machine without a single address of %s"
                                           : "No machine of libvirt's has %s, on %s",
                           tap, s.net.bridge);
        return r < 0 ? r : PHASE_NOT_APPLICABLE;
}

/* Nobody is asked: the machine is gone, and libvirt may be, too. */
static int take_away(Phase *p, const char *tap) {
        _cleanup_close_ int fd = -EBADF;
        Route route;
        int r;

        if (!fs_is_host(p->root))
                return PHASE_NOT_APPLICABLE;
        fd = lock(p);
        if (fd < 0)
                return fd;
        r = route_load(p->root, tap, &route);
        if (r > 0)
                r = phase_change(p, "remove", net_address_to_string(AF_INET, route.address), "%s is gone",
                                 tap);
        if (r > 0)
                r = route_remove(p->root, tap);
        return r < 0 ? phase_fail(p, r, "Remove what is wrong by 'ip route del' and 'ip neigh del proxy'",
                                  "Cannot take back the route by " ROUTE_DIR "/%s", tap)
                     : 0;
}

static int run(Phase *p, int argc, char *argv[]) {
        if (argc != 2 || (!streq(argv[0], "add") && !streq(argv[0], "remove"))) {
                log_error("Usage: gpuvm-route add INTERFACE | remove INTERFACE");
                return PHASE_USAGE;
        }
        if (!confvalid_interface(argv[1])) {
                log_error("'%s' is no name of a network interface", argv[1]);
                return PHASE_USAGE;
        }
        p->no_record = true;
        return streq(argv[0], "add") ? add(p, argv[1]) : take_away(p, argv[1]);
}

static const Helper helper = {
        .name = "gpuvm-route",
        .arguments = "add|remove INTERFACE",
        .summary = "Route a machine's single address to it while its interface is there.",
        .run = run,
        .no_turn = true,
};

DEFINE_HELPER(helper)
