/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "kvmcheck.h"
#include "fs.h"
#include "report.h"
#include "strv.h"

#define CONTROLLERS "/sys/fs/cgroup/cgroup.controllers"

/* None of them keeps every VM from starting. */
static const struct {
        const char *path, *without, *remedy;
} nodes[] = {
        { "/dev/kvm", "VMs run slowly (TCG)",
          "Turn VT-x or AMD-V on in the firmware; in a VM, nested virtualization of its host." },
        { "/dev/net/tun", "VMs have no network", "Load the module: 'modprobe tun'." },
        { "/dev/vhost-net", "the network of VMs is slow", "Load the module: 'modprobe vhost_net'." },
};

/* What libvirt limits VMs with. Devices need no controller in cgroup v2: a BPF program does that. */
static const char *const controllers[] = { "cpu", "cpuset", "io", "memory" };

static int check_nodes(int root, json_object *report) {
        int n = 0, r;

        for (size_t i = 0; i < ELEMENTSOF(nodes); i++) {
                if (fs_exists(root, nodes[i].path) > 0)
                        continue;
                r = report_add_check(report, "kvm", CHECK_WARN, nodes[i].remedy, "no %s: %s", nodes[i].path,
                                     nodes[i].without);
                if (r < 0)
                        return r;
                n++;
        }
        return n;
}

/* Where there is no such file the machine is on cgroup v1, which has each of them or says so at every VM. */
static int check_controllers(int root, json_object *report) {
        _cleanup_strv_ char **missing = NULL, **there = NULL;
        _cleanup_free_ char *line = NULL, *names = NULL;
        int r;

        r = fs_read_line(root, CONTROLLERS, &line);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        r = strv_split(line, " ", &there);
        for (size_t i = 0; i < ELEMENTSOF(controllers) && r >= 0; i++)
                if (!strv_contains(there, controllers[i]))
                        r = strv_extend(&missing, controllers[i]);
        if (r < 0 || !missing)
                return r;
        names = strv_join(missing, ", ");
        if (!names)
                return -ENOMEM;
        r = report_add_check(report, "kvm", CHECK_WARN, "Take cgroup_disable= off the kernel command line.",
                             "The kernel has no cgroup controller %s: VMs cannot be limited by that", names);
        return r < 0 ? r : 1;
}

int kvmcheck_add(int root, json_object *report) {
        int nodes_missing, r;

        nodes_missing = check_nodes(root, report);
        r = nodes_missing < 0 ? nodes_missing : check_controllers(root, report);
        if (r != 0 || nodes_missing > 0)
                return MIN(r, 0);
        return report_add_check(report, "kvm", CHECK_OK, NULL,
                                "/dev/kvm, /dev/net/tun and /dev/vhost-net are there");
}
