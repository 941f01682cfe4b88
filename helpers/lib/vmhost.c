/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <linux/kvm.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>

#include "fs.h"
#include "gpustate.h"
#include "hostnet.h"
#include "netstate.h"
#include "parse.h"
#include "strv.h"
#include "vmhost.h"

unsigned vmhost_count_cpus(const char *list) {
        unsigned n = 0;

        while (*list) {
                char *end;
                unsigned long first, last;

                if (*list < '0' || *list > '9')
                        return 0;
                first = last = strtoul(list, &end, 10);
                if (*end == '-' && end[1] >= '0' && end[1] <= '9')
                        last = strtoul(end + 1, &end, 10);
                if (last < first || last > 65535 || (*end && *end != ','))
                        return 0;
                n += (unsigned) (last - first) + 1;
                list = *end ? end + 1 : end;
        }
        return n;
}

uint64_t vmhost_meminfo(const char *text, const char *key) {
        size_t n = strlen(key);

        for (const char *line = text; line; line = strchr(line, '\n')) {
                line += *line == '\n';
                if (strncmp(line, key, n) == 0 && line[n] == ':')
                        return strtoull(line + n + 1, NULL, 10);
        }
        return 0;
}

/* There may be a node and no KVM behind it: making a virtual machine tells, where we may. Whoever may not
 * sees the node alone. */
bool vmhost_has_kvm(int root) {
        _cleanup_close_ int kvm = -EBADF, vm = -EBADF;

        if (!fs_is_host(root) || geteuid() != 0)
                return fs_exists(root, "/dev/kvm") > 0;
        kvm = fs_open(root, "/dev/kvm", O_RDWR, 0);
        vm = kvm >= 0 ? ioctl(kvm, KVM_CREATE_VM, 0) : -1;
        return vm >= 0;
}

static int read_machine(int root, const Conf *c, VmHost *h) {
        _cleanup_free_ char *cpus = NULL, *memory = NULL;
        _cleanup_close_ int pool = -EBADF;
        struct statvfs st;
        int r;

        r = fs_read_line(root, "/sys/devices/system/cpu/online", &cpus);
        if (r == -ENOMEM)
                return r;
        h->cpus = MAX(cpus ? vmhost_count_cpus(cpus) : 0, 1U);
        r = fs_read(root, "/proc/meminfo", FS_ATTR_MAX, &memory, NULL);
        if (r == -ENOMEM)
                return r;
        h->memory = memory ? vmhost_meminfo(memory, "MemTotal") : 0;
        h->available = memory ? vmhost_meminfo(memory, "MemAvailable") : 0;
        h->kvm = vmhost_has_kvm(root);
        pool = fs_open(root, c->pool_path, O_RDONLY | O_DIRECTORY, 0);
        if (pool >= 0 && fstatvfs(pool, &st) >= 0)
                h->disk_free = (uint64_t) st.f_bavail * st.f_frsize;
        return 0;
}

/* resolved's own list where the usual one only leads to its stub, which no guest reaches. */
static int read_dns(int root, char ***ret) {
        static const char *const files[] = { "/run/systemd/resolve/resolv.conf", "/etc/resolv.conf" };

        for (size_t i = 0; i < ELEMENTSOF(files) && !*ret; i++) {
                _cleanup_strv_ char **lines = NULL;
                _cleanup_free_ char *text = NULL;
                int r = fs_read(root, files[i], FS_ATTR_MAX, &text, NULL);

                if (r >= 0)
                        r = strv_split(text, "\n", &lines);
                if (r == -ENOMEM)
                        return r;
                STRV_FOREACH(line, lines) {
                        const char *server = startswith(*line, "nameserver ");

                        if (server && !startswith(server, "127.") && !strchr(server, '%') &&
                            strv_length(*ret) < 3 && strv_extend(ret, server) < 0)
                                return -ENOMEM;
                }
        }
        return 0;
}

static int read_gateway(const NetState *s, int family, char **ret) {
        const NetRoute *route = netstate_default(s, family);

        return route && route->has_gateway && route->gateway_family == family
                        ? free_and_strdup(ret, net_address_to_string(family, route->gateway))
                        : 0;
}

/* The host's own addresses on the bridge. Where it routes, the first is the gateway of its machines. */
static int read_bridge(const NetState *s, VmHost *h) {
        const NetLink *bridge = h->bridge ? netstate_named(s, h->bridge) : NULL;
        const NetRoute *route = netstate_default(s, AF_INET);
        int r = 0;

        h->onlink = h->network == NETWORK_BRIDGED && route && bridge && route->link == bridge->index &&
                        netstate_gateway_is_onlink(s, route);
        for (size_t i = 0; bridge && i < s->n_addresses && r >= 0; i++) {
                const NetAddress *a = &s->addresses[i];
                const char *address = net_address_to_string(a->family, a->bytes);

                if (a->link != bridge->index || a->link_local)
                        continue;
                r = strv_extendf(&h->networks, "%s/%u", address, a->prefix);
                if (r >= 0 && h->network == NETWORK_ROUTED && a->family == AF_INET && !h->gateway)
                        r = free_and_strdup(&h->gateway, address);
        }
        return r;
}

static int read_network(int root, const Conf *c, VmHost *h) {
        _cleanup_(hostnet_done) HostNet net = {};
        _cleanup_(netstate_done) NetState s = {};
        int r;

        r = hostnet_read(root, c, &net);
        if (r < 0)
                return r;
        h->network = r > 0 ? net.mode : NETWORK_NAT;
        h->bridge = TAKE_PTR(net.bridge);
        r = netstate_load(root, &s);
        if (r >= 0)
                r = read_bridge(&s, h);
        if (r >= 0 && h->network != NETWORK_ROUTED)
                r = read_gateway(&s, AF_INET, &h->gateway);
        if (r >= 0)
                r = read_gateway(&s, AF_INET6, &h->gateway6);
        if (r == -ENOMEM)
                return r;
        return read_dns(root, &h->dns);
}

/* NVIDIA's persistence daemon lets go when the GPU's unit asks it to. One that is on VFIO is nobody's on the
 * host: which machine has it libvirt tells. */
static int read_use(GpuState *s, VmGpu *g) {
        if (s->stuck)
                return str_printf(&g->refused, "it is stuck: %s", s->stuck);
        if (s->owner != GPU_OWNER_HOST && s->owner != GPU_OWNER_MACHINE)
                return 0;
        holders_drop(&s->holders, HOLDERS_PERSISTENCED);
        g->held = s->owner == GPU_OWNER_MACHINE;
        g->asleep = s->owner == GPU_OWNER_HOST && !s->looked && streq_ptr(s->power, "D3cold");
        return s->holders.n > 0 ? holders_describe(&s->holders, &g->busy) : 0;
}

/* Its GPUs are one over the switches, and belong to one machine: 'vmctl gpu attach' knows how. */
static int read_board(const PciBus *bus, VmGpu *g) {
        for (size_t i = 0; i < bus->n; i++)
                if (pci_is_nvswitch(&bus->devices[i]))
                        return free_and_strdup(&g->refused,
                                               "it is on a board with NVSwitches, whose GPUs go together; "
                                               "--no-gpu, and then 'vmctl gpu attach' with all of them");
        return 0;
}

/* All functions in its slot go to the guest. Those of its group elsewhere are bound to VFIO too, and stay
 * there. */
static int read_gpu(const PciBus *bus, GpuState *s, VmGpu *g) {
        int r = 0;

        (void) bdf_format(s->gpu->bdf, g->name);
        g->model = TAKE_PTR(s->name);
        g->arch = gpu_arch_from_device_id(s->gpu->device);
        g->numa_node = s->gpu->numa_node;
        for (size_t i = 0; i < bus->n && g->n_functions < ELEMENTSOF(g->functions); i++)
                if (pci_same_slot(&bus->devices[i], s->gpu))
                        g->functions[g->n_functions++] = bus->devices[i].bdf;
        for (size_t i = 0; i < s->n_functions && r >= 0; i++)
                r = strv_extend(&g->members, s->functions[i]->name);
        if (r >= 0)
                r = s->refused ? free_and_strdup(&g->refused, s->refused) : read_board(bus, g);
        return r < 0 || g->refused ? r : read_use(s, g);
}

static int read_gpus(int root, const Conf *c, bool holders, VmHost *h) {
        _cleanup_(gpustate_done) GpuStates s = {};
        int r;

        r = gpustate_read(root, c, holders, &s);
        if (r < 0)
                return r;
        h->gpus = calloc(s.n + 1, sizeof(*h->gpus));
        if (!h->gpus)
                return -ENOMEM;
        for (size_t i = 0; i < s.n && r >= 0; i++)
                r = read_gpu(&s.bus, &s.list[i], &h->gpus[h->n_gpus++]);
        return MIN(r, 0);
}

int vmhost_read(int root, const Conf *c, bool holders, VmHost *ret) {
        _cleanup_(vmhost_done) VmHost h = {};
        int r;

        r = read_machine(root, c, &h);
        if (r >= 0)
                r = read_network(root, c, &h);
        if (r >= 0)
                r = read_gpus(root, c, holders, &h);
        if (r >= 0)
                r = vmplace_read(root, &h.topology);
        if (r < 0)
                return r;
        *ret = h;
        h = (VmHost){};
        return 0;
}

static bool has_any(const VmGpu *g, char *const *functions) {
        STRV_FOREACH(f, functions)
                if (strv_contains(g->members, *f))
                        return true;
        return false;
}

int vmhost_mark_used(VmHost *h, char *const *functions, const char *machine) {
        bool apart = strv_contains(h->apart, machine);

        for (size_t i = 0; i < h->n_gpus; i++) {
                VmGpu *g = &h->gpus[i];

                if (has_any(g, functions) && free_and_strdup(apart ? &g->shared : &g->used_by, machine) < 0)
                        return -ENOMEM;
        }
        return 0;
}

void vmhost_add_free(VmHost *h, const VmMemory *m) {
        if (m->page_kib == 0)
                h->available = MIN(h->available + m->kib, h->memory);
        vmplace_add_free(&h->topology, m);
}
