/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "netcheck.h"
#include "report.h"

#define HINT "Start gpuvm-bridge.service and see 'journalctl -u gpuvm-bridge.service'."

static int add(int root, const HostNet *n, json_object *report) {
        switch (hostnet_look(root, n)) {
        case HOSTNET_MISSING:
                return report_add_check(report, "bridge", CHECK_FAIL, HINT, "There is no bridge %s",
                                        n->bridge);
        case HOSTNET_NO_PORT:
                return report_add_check(report, "bridge", CHECK_FAIL, HINT,
                                        "The bridge %s has no port: it leads nowhere", n->bridge);
        case HOSTNET_WELL:
                break;
        }
        if (n->mode == NETWORK_NAT)
                return report_add_check(report, "bridge", CHECK_OK, NULL,
                                        "VMs use libvirt's own network, by NAT");
        return report_add_check(report, "bridge", CHECK_OK, NULL, "%s is there, %s", n->bridge,
                                network_mode_to_string(n->mode));
}

int netcheck_add(int root, const Conf *c, json_object *report, HostNet *ret) {
        int r, k;

        if (!c->bridge) {
                r = report_add_check(report, "bridge", CHECK_SKIP, NULL, "Bridge=no");
                return r < 0 ? r : hostnet_read(root, c, ret);
        }
        r = hostnet_read(root, c, ret);
        if (r < 0)
                return r;
        k = r > 0 ? add(root, ret, report)
                  : report_add_check(report, "bridge", CHECK_SKIP, HINT,
                                     "gpuvm-bridge.service did not run since the machine started");
        return k < 0 ? k : r;
}
