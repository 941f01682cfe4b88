/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Of checkup: the host's network, and libvirt with its pool and network. */

#include "bridgefilter.h"
#include "checklook.h"
#include "netcheck.h"

int check_network(CheckLook *l) {
        return look_take(l, &l->before, "network", FINDING_FAIL);
}

int check_bridge(CheckLook *l) {
        _cleanup_(findings_done) Findings found = {};
        _cleanup_(hostnet_done) HostNet net = {};
        int r;

        r = netcheck_add(l->root, l->c, &found, &net);
        if (r >= 0)
                r = look_take(l, &found, "bridge", FINDING_FAIL);
        if (r <= 0 || l->ret->items[l->ret->n - 1].level != FINDING_FAIL)
                return r;
        return look_phase(l, "bridge");
}

/* Between the bridge and the rest, or across the bridge alone where br_netfilter shows frames to iptables. */
int check_forwarding(CheckLook *l) {
        bool frames = bridgefilter_sees_frames(l->root), routed = l->net.mode == NETWORK_ROUTED;
        int r;

        if (!l->knows_net || l->net.mode == NETWORK_NAT)
                return 0;
        if (routed && !bridgefilter_is_forwarding(l->root)) {
                r = look_add(l, FINDING_FAIL, l->net.bridge, "Have the bridge phase turn it on again.",
                             "This host forwards no IPv4: its VMs reach nobody");
                return r < 0 ? r : look_phase(l, "bridge");
        }
        if (l->e->filter == 0) {
                r = look_add(l, FINDING_FAIL, l->net.bridge,
                             "Have the bridge phase put the rule there again.",
                             "The packet filter drops what VMs send: it lacks our rule, or firewalld our binding");
                return r < 0 ? r : look_phase(l, "bridge");
        }
        if ((routed || frames) && l->e->filter == EVIDENCE_UNKNOWN)
                return look_add(l, FINDING_SKIP, l->net.bridge, NULL,
                                "Whether the packet filter lets frames through is root's to see");
        return look_add(l, FINDING_OK, l->net.bridge, NULL, "%s",
                        routed                   ? "IPv4 is forwarded"
                                        : frames ? "the packet filter lets its frames through"
                                                 : "no packet filter is in its way");
}

/* One look at the answers, for three rows: what they are about has different remedies. */
int check_libvirt(CheckLook *l) {
        const VirtAnswers *a = &l->e->virt;
        int r;

        if (!l->c->kvm)
                return look_add(l, FINDING_SKIP, NULL, NULL, "Kvm=no");
        if (!l->e->has_virt)
                return look_add(l, FINDING_SKIP, NULL, NULL, "What libvirt says is not part of this record");
        if (a->error == -ETIMEDOUT) {
                r = look_add(l, FINDING_FAIL, NULL, "Restart it: running VMs go on.",
                             "libvirt takes the connection and does not answer");
                return r < 0 ? r : findings_fix(l->ret, "sudo systemctl restart libvirtd.service");
        }
        r = virtcheck_judge(a, l->c, l->e->root > 0, true, &l->virt);
        if (r >= 0)
                r = look_take(l, &l->virt, "libvirt", FINDING_FAIL);
        if (r <= 0 || l->ret->items[l->ret->n - 1].level != FINDING_FAIL)
                return r;
        return look_phase(l, "kvm");
}

static int take_object(CheckLook *l, const char *name) {
        int r = look_take(l, &l->virt, name, FINDING_FAIL);

        if (r <= 0 || l->ret->items[l->ret->n - 1].level != FINDING_FAIL)
                return r;
        return look_phase(l, "storage");
}

int check_storage(CheckLook *l) {
        return take_object(l, "pool");
}

/* Where VMs are on a bridge of ours nobody needs libvirt's own. */
int check_vm_network(CheckLook *l) {
        if (l->knows_net && l->net.mode != NETWORK_NAT)
                return 0;
        /* After a restart nobody may have said that it is NAT. */
        return l->knows_net ? take_object(l, "network")
                            : MIN(look_take(l, &l->virt, "network", FINDING_WARN), 0);
}

/* Of machines that are on, and have a single address. A libvirt that did not answer has its own row. */
int check_routes(CheckLook *l) {
        const VirtRoutes *routes = &l->e->routes;

        if (!l->e->has_routes)
                return 0;
        if (!routes->known)
                return look_add(l, FINDING_SKIP, NULL, NULL,
                                "Which VMs are on, and whether the host routes to them, is not known");
        if (routes->n > 0)
                return virtroute_judge(routes, l->check, l->ret);
        return look_add(l, FINDING_OK, NULL, NULL, "%u VM%s on with a routed address, and reached by it",
                        routes->wanted, routes->wanted == 1 ? " is" : "s are");
}
