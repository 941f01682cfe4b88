/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "kvmcheck.h"
#include "fs.h"
#include "strv.h"

#define CONTROLLERS "/sys/fs/cgroup/cgroup.controllers"

/* The same names on Debian 12, Debian 13 and Ubuntu 24.04. dnsmasq-base and iptables are what libvirt's own
 * network needs, swtpm what a guest with Secure Boot does; libvirt only recommends them. */
#define COMMON                                                                                  \
        "qemu-utils", "libvirt-daemon-system", "libvirt-daemon-driver-qemu", "libvirt-clients", \
                        "dnsmasq-base", "iptables", "swtpm", "swtpm-tools", NULL

static const struct {
        const char *machine; /* of uname(2) */
        const char *const *packages;
} architectures[] = {
        { "x86_64", (const char *const[]){ "qemu-system-x86", "ovmf", COMMON } },
        /* QEMU's network card has no ROM there without ipxe-qemu, and does not start. */
        { "aarch64", (const char *const[]){ "qemu-system-arm", "qemu-efi-aarch64", "ipxe-qemu", COMMON } },
};

/* What vmctl loads when it first needs it (library.h): downloads, checksums, archives, the XML of machines.
 * The first three got other names on Debian 13 and Ubuntu 24.04, with the 64-bit time_t. */
static const char *const libraries[] = { "libcurl4t64", "libssl3t64", "libarchive13t64", "libxml2", NULL };
static const char *const libraries_before[] = { "libcurl4", "libssl3", "libarchive13", "libxml2", NULL };

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

static int check_nodes(int root, Findings *ret) {
        int n = 0, r;

        for (size_t i = 0; i < ELEMENTSOF(nodes); i++) {
                if (fs_exists(root, nodes[i].path) > 0)
                        continue;
                r = findings_add(ret, FINDING_WARN, "kvm", NULL, nodes[i].remedy, "no %s: %s", nodes[i].path,
                                 nodes[i].without);
                if (r < 0)
                        return r;
                n++;
        }
        return n;
}

/* Where there is no such file the machine is on cgroup v1, which has each of them or says so at every VM. */
static int check_controllers(int root, Findings *ret) {
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
        r = findings_add(ret, FINDING_WARN, "kvm", NULL, "Take cgroup_disable= off the kernel command line.",
                         "The kernel has no cgroup controller %s: VMs cannot be limited by that", names);
        return r < 0 ? r : 1;
}

int kvmcheck_add(int root, Findings *ret) {
        int nodes_missing, r;

        nodes_missing = check_nodes(root, ret);
        r = nodes_missing < 0 ? nodes_missing : check_controllers(root, ret);
        if (r != 0 || nodes_missing > 0)
                return MIN(r, 0);
        return findings_add(ret, FINDING_OK, "kvm", NULL, NULL,
                            "/dev/kvm, /dev/net/tun and /dev/vhost-net are there");
}

int kvmcheck_packages(const char *machine, const char *codename, char ***ret) {
        _cleanup_strv_ char **all = NULL;
        const char *const *lists[2] = { NULL, libraries };
        int r = 0;

        for (size_t i = 0; i < ELEMENTSOF(architectures); i++)
                if (streq(architectures[i].machine, machine))
                        lists[0] = architectures[i].packages;
        if (!lists[0])
                return -EOPNOTSUPP;
        if (streq_ptr(codename, "bookworm"))
                lists[1] = libraries_before;
        for (size_t i = 0; i < ELEMENTSOF(lists); i++)
                for (const char *const *p = lists[i]; *p && r >= 0; p++)
                        r = strv_extend(&all, *p);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(all);
        return 0;
}
