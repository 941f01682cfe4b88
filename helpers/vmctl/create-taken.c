/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What is taken, here and in libvirt: names, addresses, MACs, GPUs and CPUs of machines, also of those that
 * are being made. */

#include "create.h"
#include "fs.h"
#include "gpulease.h"
#include "hostdevs.h"
#include "ipcheck.h"
#include "netstate.h"
#include "parse.h"
#include "vmdefined.h"
#include "vmhost.h"
#include "xml.h"

static int collect(const XmlNode *n, const char *element, const char *attribute, char ***l) {
        const char *value = xml_attribute(element ? xml_child(n, element) : n, attribute);

        return value ? strv_extend(l, value) : 0;
}

/* Who has which GPU is in the definitions, and of those that run in what they have now. */
static int collect_gpus(const char *xml, const char *name, VmHost *h) {
        _cleanup_strv_ char **functions = NULL;
        int r = hostdevs_parse(xml, &functions);

        return r < 0 ? r : vmhost_mark_used(h, functions, name);
}

/* MAC addresses, pinned CPUs and GPUs of any machine, also those of others. Who is off when the new one is on
 * keeps no CPU from it. */
static int collect_description(const char *xml, const char *name, VmHost *h) {
        bool apart = strv_contains(h->apart, name);
        _cleanup_xml_doc_ XmlDoc *d = NULL;
        const XmlNode *i;
        int r;

        r = xml_read(xml, &d);
        if (r < 0)
                return r;
        for (i = xml_child(xml_child(xml_root(d), "devices"), "interface"); i && r >= 0; i = xml_next(i))
                r = collect(i, "mac", "address", &h->macs);
        i = apart ? NULL : xml_child(xml_child(xml_root(d), "cputune"), "vcpupin");
        for (; i && r >= 0; i = xml_next(i))
                r = collect(i, NULL, "cpuset", &h->topology.pinned);
        return r < 0 ? r : collect_gpus(xml, name, h);
}

typedef int (*Collect)(const char *xml, const char *name, VmHost *h);

/* As it is at its next start, and as it is now. */
static int collect_machine(Context *c, const VirtVm *vm, VmHost *h, Collect take) {
        _cleanup_free_ char *next = NULL, *now = NULL;
        int r;

        r = virtvm_xml(c->virt, vm->name, &next);
        if (r >= 0)
                r = take(next, vm->name, h);
        if (r >= 0 && vm->state != VM_OFF)
                r = virtvm_xml_now(c->virt, vm->name, &now);
        if (r >= 0 && now)
                r = take(now, vm->name, h);
        return r == -ENOENT ? 0 : r; /* gone meanwhile */
}

/* What it says of itself: a machine that is off and lost its device claims its GPU still. */
static int collect_metadata(const VirtVm *vm, VmHost *h) {
        _cleanup_(metadata_done) Metadata m = {};
        int r;

        r = vm->metadata ? metadata_parse(vm->metadata, &m) : 0;
        if (r == -EBADMSG) /* it claims nothing then; list tells */
                return 0;
        if (r >= 0 && m.address)
                r = strv_extend(&h->addresses, m.address);
        return r < 0 ? r : vmhost_mark_used(h, m.gpus, vm->name);
}

/* It is on, and off before the new one starts: what it has is free then. */
static int collect_free(Context *c, const VirtVm *vm, VmHost *h) {
        _cleanup_(vmdefined_done) VmDefined d = {};
        _cleanup_free_ char *xml = NULL;
        int r;

        if (!vm_state_is_on(vm->state) || !strv_contains(h->apart, vm->name))
                return 0;
        r = virtvm_xml_now(c->virt, vm->name, &xml);
        if (r >= 0)
                r = vmdefined_parse(xml, &d);
        if (r > 0)
                vmhost_add_free(h, &(VmMemory){ .kib = d.memory, .page_kib = d.page, .node = d.node });
        if (r == -EBADMSG) /* list tells */
                return 0;
        return r == -ENOENT ? 0 : MIN(r, 0); /* gone meanwhile */
}

static int collect_all(const VirtVm *vm, Context *c, VmHost *h) {
        int r = strv_extend(&h->names, vm->name);

        if (r >= 0)
                r = collect_machine(c, vm, h, collect_description);
        if (r >= 0)
                r = collect_free(c, vm, h);
        return r < 0 ? r : collect_metadata(vm, h);
}

/* Neighbours that the kernel knows are no free addresses either. */
static int collect_neighbours(int root, VmHost *h) {
        _cleanup_(netstate_done) NetState s = {};
        int r = netstate_load(root, &s);

        for (size_t i = 0; r >= 0 && i < s.n_addresses; i++)
                r = strv_extend(&h->addresses,
                                net_address_to_string(s.addresses[i].family, s.addresses[i].bytes));
        return r == -ENOMEM ? r : 0;
}

/* On their way to a machine that is there already. */
static int mark_leased(int root, VmHost *h) {
        for (size_t i = 0; i < h->n_gpus; i++) {
                _cleanup_free_ char *machine = NULL;
                int r = gpulease_find(root, h->gpus[i].name, &machine);

                if (r > 0)
                        r = vmhost_mark_used(h, (char *const[]){ h->gpus[i].name, NULL }, machine);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Of those that have not taken it yet. */
static int take_memory(int root, VmHost *h) {
        _cleanup_strv_ char **claims = NULL;
        int r = rollback_claimed(root, ROLLBACK_MEMORY, &claims);

        STRV_FOREACH(claim, claims) {
                uint64_t kib;

                if (parse_u64(*claim, &kib) >= 0)
                        h->available -= MIN(kib, h->available);
        }
        return r;
}

/* A router that answers for others (proxy ARP) tells nothing. */
static bool is_gateway(const NetState *s, int family, const uint8_t mac[6]) {
        const NetRoute *route = netstate_default(s, family);

        for (size_t i = 0; route && route->has_gateway && i < s->n_neighbours; i++) {
                const NetNeighbour *n = &s->neighbours[i];

                if (n->family == route->gateway_family && memcmp(n->mac, mac, sizeof(n->mac)) == 0 &&
                    memcmp(n->bytes, route->gateway, net_address_size(n->family)) == 0)
                        return true;
        }
        return false;
}

/* Returns 1 and who answers, 0 if nobody does, -errno if nobody can be asked here. */
static int ask_link(Context *c, const Create *n, const IpRange *address, char **ret_link, IpEntry *ret) {
        _cleanup_strv_ char **networks = NULL;
        _cleanup_(netstate_done) NetState s = {};
        int r;

        r = netstate_load(n->root, &s);
        if (r >= 0 && c->virt)
                r = virt_networks(c->virt, &networks);
        if (r >= 0)
                r = ipcheck_link(n->root, &n->conf, &s, networks, ret_link);
        if (r >= 0)
                r = ipcheck_one(n->root, *ret_link, address, ret);
        return r > 0 && ret->state == IP_ANSWERS ? !is_gateway(&s, address->family, ret->mac) : r;
}

/* Who cannot ask leaves it to whoever gave the address. */
int plan_ask(Context *c, const Create *n) {
        const char *given = vmctl_value(c, OPT_IP);
        _cleanup_free_ char *address = strndup(given, strcspn(given, "/")), *link = NULL;
        IpRange range;
        IpEntry who;
        int r;

        if (!address)
                return log_oom();
        if (!fs_is_host(n->root) || iprange_parse(address, &range) < 0)
                return 0;
        r = ask_link(c, n, &range, &link, &who);
        if (r < 0)
                log_debug("Whether somebody has %s is not known: %s", address, strerror(-r));
        if (r <= 0)
                return 0;
        return log_full_errno(
                        LOG_ERR, EEXIST,
                        "%s %s %s on '%s'. Give another one by --ip; 'vmctl ip check' shows which are free",
                        who.state == IP_WANTED ? "Somebody" : net_mac_to_string(who.mac),
                        who.state == IP_WANTED ? "is about to take" : "answers for", address, link);
}

int plan_look(Context *c, Create *n) {
        _cleanup_(virtvms_done) VirtVms l = {};
        _cleanup_strv_ char **gpus = NULL;
        int r;

        /* Who uses a GPU is root's to see. */
        r = vmhost_read(n->root, &n->conf, !fs_is_host(n->root) || geteuid() == 0, &n->host);
        if (r < 0)
                return log_error_errno(r, "Cannot look at this host: %m");
        n->host.offers = TAKE_PTR(n->offers);
        n->host.apart = n->apart;
        /* First those that are being made: one that is finished meanwhile is among libvirt's then. */
        r = rollback_claims(n->root, &n->host.names, &n->host.addresses, &n->host.macs);
        if (r >= 0)
                r = rollback_claimed(n->root, ROLLBACK_CPUS, &n->host.topology.pinned);
        if (r >= 0)
                r = take_memory(n->root, &n->host);
        if (r >= 0)
                r = rollback_claimed(n->root, ROLLBACK_GPU, &gpus);
        if (r >= 0)
                r = vmhost_mark_used(&n->host, gpus, "that is being made");
        if (r >= 0)
                r = mark_leased(n->root, &n->host);
        if (r < 0)
                return vmctl_tell_record(n->root, r, "Cannot find out what is taken");
        r = c->virt ? virtvm_list(c->virt, METADATA_URI, &l) : 0;
        if (r < 0)
                return vmctl_tell(c, r, "Cannot list the virtual machines");
        for (size_t i = 0; i < l.n && r >= 0; i++)
                r = collect_all(&l.vms[i], c, &n->host);
        if (r >= 0)
                r = collect_neighbours(n->root, &n->host);
        return r < 0 ? log_error_errno(r, "Cannot find out what is taken: %m") : 0;
}

/* Whoever attached one had the lease until he was done: what is so now stays so. */
int plan_look_again(Context *c, Create *n) {
        _cleanup_(virtvms_done) VirtVms l = {};
        int r;

        if (n->plan.n_gpus == 0)
                return 0;
        r = virtvm_list(c->virt, METADATA_URI, &l);
        for (size_t i = 0; i < l.n && r >= 0; i++)
                r = collect_machine(c, &l.vms[i], &n->host, collect_gpus);
        if (r < 0)
                return vmctl_tell(c, r, "Cannot tell which GPUs the virtual machines have");
        for (size_t i = 0; i < n->plan.n_gpus; i++)
                if (n->plan.gpus[i]->used_by)
                        return log_full_errno(LOG_ERR, EBUSY,
                                              "GPU %s was given to '%s' just now; nothing was made",
                                              n->plan.gpus[i]->name, n->plan.gpus[i]->used_by);
        return 0;
}
