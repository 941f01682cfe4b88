/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "netcheck.h"

#define HINT "Start gpuvm-bridge.service and see 'journalctl -u gpuvm-bridge.service'."

static int add(int root, const HostNet *n, Findings *ret) {
        switch (hostnet_look(root, n)) {
        case HOSTNET_MISSING:
                return findings_add(ret, FINDING_FAIL, "bridge", NULL, HINT, "There is no bridge %s",
                                    n->bridge);
        case HOSTNET_NO_PORT:
                return findings_add(ret, FINDING_FAIL, "bridge", NULL, HINT,
                                    "The bridge %s has no port: it leads nowhere", n->bridge);
        case HOSTNET_WELL:
                break;
        }
        if (n->mode == NETWORK_NAT)
                return findings_add(ret, FINDING_OK, "bridge", NULL, NULL,
                                    "VMs use libvirt's own network, by NAT");
        return findings_add(ret, FINDING_OK, "bridge", NULL, NULL, "%s is there, %s", n->bridge,
                            network_mode_to_string(n->mode));
}

int netcheck_add(int root, const Conf *c, Findings *ret, HostNet *ret_net) {
        int r, k;

        if (!c->bridge) {
                r = findings_add(ret, FINDING_SKIP, "bridge", NULL, NULL, "Bridge=no");
                return r < 0 ? r : hostnet_read(root, c, ret_net);
        }
        r = hostnet_read(root, c, ret_net);
        if (r < 0)
                return r;
        k = r > 0 ? add(root, ret_net, ret)
                  : findings_add(ret, FINDING_SKIP, "bridge", NULL, HINT,
                                 "gpuvm-bridge.service did not run since the machine started");
        return k < 0 ? k : r;
}
