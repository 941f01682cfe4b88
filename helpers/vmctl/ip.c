/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Ip: addresses that nobody has. */

#include <inttypes.h>

#include "fs.h"
#include "ipcheck.h"
#include "json.h"
#include "probe.h"
#include "rollback.h"
#include "vmctl.h"

static int add_machines(Context *c, IpKnown *k) {
        _cleanup_(virtvms_done) VirtVms l = {};
        int r;

        r = virtvm_list(c->virt, METADATA_URI, &l);
        if (r < 0)
                return vmctl_tell(c, r, "Cannot list the virtual machines");
        for (size_t i = 0; i < l.n && r >= 0; i++) {
                _cleanup_(metadata_done) Metadata m = {};

                r = l.vms[i].metadata ? metadata_parse(l.vms[i].metadata, &m) : 0;
                if (r == -EBADMSG) /* 'vmctl list' tells */
                        r = 0;
                if (r >= 0 && m.address)
                        r = ipknown_add(k, IP_RESERVED, m.address, l.vms[i].name);
        }
        return r < 0 ? log_error_errno(r, "Cannot read what the virtual machines are: %m") : 0;
}

static int add_claims(int root, IpKnown *k) {
        _cleanup_strv_ char **names = NULL, **addresses = NULL, **macs = NULL;
        int r;

        r = rollback_claims(root, &names, &addresses, &macs);
        STRV_FOREACH(a, addresses)
                if (r >= 0)
                        r = ipknown_add(k, IP_CLAIMED, *a, NULL);
        return r < 0 ? vmctl_tell_record(root, r, "Cannot tell which machines are being made") : 0;
}

static int add_networks(Context *c, IpKnown *k, char ***ret) {
        _cleanup_strv_ char **networks = NULL;
        int r;

        r = virt_networks(c->virt, &networks);
        if (r < 0)
                return vmctl_tell(c, r, "Cannot list libvirt's networks");
        STRV_FOREACH(xml, networks)
                if (r >= 0)
                        r = ipknown_add_network(k, *xml);
        if (r < 0)
                return log_error_errno(r, "Cannot read what libvirt's networks are: %m");
        if (ret)
                *ret = TAKE_PTR(networks);
        return 0;
}

int vmctl_known(Context *c, int root, IpKnown *k, char ***ret_networks) {
        int r;

        r = vmctl_connect(c);
        if (r >= 0)
                r = add_machines(c, k);
        if (r >= 0)
                r = add_claims(root, k);
        return r < 0 ? r : add_networks(c, k, ret_networks);
}

/* What one look needs. */
typedef struct Look {
        int root;
        Conf conf;
        IpKnown known;
        IpRange wanted;
        bool has_wanted, named; /* on the command line */
        IpCheck check;
} Look;

static void look_done(Look *l) {
        ipcheck_done(&l->check);
        ipknown_done(&l->known);
        conf_done(&l->conf);
        (void) safe_close(l->root);
}

static int look_begin(const Context *c, Look *l, const char *addresses) {
        int r;

        if (addresses && iprange_parse(addresses, &l->wanted) < 0) {
                log_error("'%s' is no address, range or network; 192.0.2.7, 192.0.2.7-192.0.2.99 and 192.0.2.0/24 are",
                          addresses);
                return -EINVAL;
        }
        l->has_wanted = l->named = addresses;
        l->root = fs_open_root(secure_getenv("GPUVM_ROOT"));
        if (l->root < 0)
                return log_error_errno(l->root, "Cannot open the root directory: %m");
        if (conf_load_and_warn(l->root, &l->conf) < 0)
                return log_oom();
        if (!addresses && !vmctl_has(c, OPT_ALL) && l->conf.ip_range)
                l->has_wanted = iprange_parse(l->conf.ip_range, &l->wanted) >= 0;
        r = fs_is_host(l->root) ? probe_check() : 0;
        if (r == -EPERM)
                return log_full_errno(
                                LOG_ERR, EPERM,
                                "Asking on a network needs CAP_NET_RAW. Use sudo, or 'vmctl ip list' for what is "
                                "known without asking");
        return r < 0 ? log_error_errno(r, "Cannot open a packet socket: %m") : 0;
}

static int check_here(Context *c) {
        _cleanup_free_ char *uri = NULL;

        if (virt_uri(c->virt, &uri) < 0 || !virt_is_elsewhere(uri))
                return 0;
        return log_full_errno(
                        LOG_ERR, EOPNOTSUPP,
                        "Addresses are asked for on this machine's own network, not at '%s'. Run it over there",
                        uri);
}

static int tell(int r, char *said, const char *link) {
        if (said)
                log_error("%s", said);
        else if (r == -ENOMEM)
                (void) log_oom();
        else
                log_error_errno(r, "Cannot ask on '%s': %m. 'ip link show %s' tells how it is", link, link);
        free(said);
        return r;
}

static int look(Context *c, Look *l) {
        _cleanup_(netstate_done) NetState s = {};
        _cleanup_strv_ char **networks = NULL;
        _cleanup_free_ char *link = NULL;
        char *said = NULL;
        int r;

        r = vmctl_known(c, l->root, &l->known, &networks);
        if (r >= 0)
                r = check_here(c);
        if (r < 0)
                return r;
        r = netstate_load(l->root, &s);
        if (r < 0)
                return log_error_errno(r, "Cannot look at the network: %m");
        r = ipcheck_link(l->root, &l->conf, &s, networks, &link);
        if (r == -ENODEV)
                return log_full_errno(LOG_ERR, ENODEV,
                                      "There is no bridge and no default route here, so nobody to ask; "
                                      "'gpu-vm-bootstrap' makes the bridge");
        if (r >= 0)
                r = ipcheck_look(l->root, link, l->has_wanted ? &l->wanted : NULL, &l->known, &l->check,
                                 &said);
        if (r >= 0 && fs_is_host(l->root))
                r = ipcheck_ask(&l->check, SIZE_MAX);
        return r < 0 ? tell(r, said, strempty(link)) : 0;
}

/* Entries that are the same in all, one after the other. */
typedef struct Stretch {
        IpRange range;
        uint64_t count;
        const IpEntry *e;
} Stretch;

static bool is_same(const IpEntry *a, const IpEntry *b) {
        return a->state == b->state && streq_ptr(a->whose, b->whose) &&
                        memcmp(a->mac, b->mac, sizeof(a->mac)) == 0 &&
                        memcmp(a->other, b->other, sizeof(a->other)) == 0;
}

/* The one that begins at *i, which is moved behind it. False at the end. */
static bool next_stretch(const IpCheck *k, size_t *i, Stretch *ret) {
        size_t first = *i;

        if (first >= k->n)
                return false;
        while (*i < k->n && is_same(&k->entries[first], &k->entries[*i]))
                (*i)++;
        *ret = (Stretch){ .range.family = k->range.family, .count = *i - first, .e = &k->entries[first] };
        iprange_at(&k->range, first, ret->range.first);
        iprange_at(&k->range, *i - 1, ret->range.last);
        return true;
}

static bool has_mac(const uint8_t mac[6]) {
        return memcmp(mac, (const uint8_t[6]){}, 6) != 0;
}

static json_object *stretch_to_json(const Stretch *s) {
        _cleanup_json_ json_object *o = json_object_new_object();
        const char *macs[3] = {};

        if (has_mac(s->e->mac))
                macs[0] = net_mac_to_string(s->e->mac);
        if (s->e->state == IP_CONFLICT)
                macs[1] = net_mac_to_string(s->e->other);
        if (json_add_text(o, "first", net_address_to_string(s->range.family, s->range.first)) < 0 ||
            json_add_text(o, "last", net_address_to_string(s->range.family, s->range.last)) < 0 ||
            json_add(o, "count", json_object_new_int64((int64_t) s->count)) < 0 ||
            json_add_text(o, "state", ip_state_to_string(s->e->state)) < 0 ||
            (s->e->whose ? json_add_text(o, "whose", s->e->whose)
                         : json_object_object_add(o, "whose", NULL)) < 0 ||
            json_add(o, "macs", json_new_list(macs)) < 0)
                return NULL;
        return TAKE_PTR(o);
}

static int show_json(const IpCheck *k, size_t n_free) {
        _cleanup_json_ json_object *o = json_object_new_object(), *list = json_object_new_array();
        Stretch s;

        for (size_t i = 0; next_stretch(k, &i, &s);)
                if (json_append(list, stretch_to_json(&s)) < 0)
                        return log_oom();
        if (json_add_text(o, "link", k->link.name) < 0 ||
            json_add(o, "count", json_object_new_int64((int64_t) k->n)) < 0 ||
            json_add(o, "free", json_object_new_int64((int64_t) n_free)) < 0 ||
            json_add(o, "sure", json_object_new_boolean(k->lost == 0)) < 0 ||
            json_add(o, "ranges", TAKE_PTR(list)) < 0)
                return log_oom();
        return json_print(o, stdout);
}

static int show_table(const IpCheck *k, bool all, size_t n_free) {
        static const char *const columns[] = { "ADDRESSES", "COUNT", "STATE", "WHOSE", NULL };
        struct libscols_table *t = table_new(columns);
        Stretch s;
        int r = 0;

        for (size_t i = 0; r >= 0 && next_stretch(k, &i, &s);) {
                char whose[64], count[32];

                if (!all && s.e->state != IP_FREE)
                        continue;
                (void) snprintf(count, sizeof(count), "%" PRIu64, s.count);
                (void) snprintf(whose, sizeof(whose), "%s%s%s",
                                has_mac(s.e->mac) ? net_mac_to_string(s.e->mac) : strempty(s.e->whose),
                                s.e->state == IP_CONFLICT ? " and " : "",
                                s.e->state == IP_CONFLICT ? net_mac_to_string(s.e->other) : "");
                r = table_add(t,
                              (const char *const[]){ iprange_text(&s.range).text, count,
                                                     ip_state_to_string(s.e->state), whose });
        }
        r = table_print(t) ?: r;
        if (r < 0)
                return log_oom();
        printf("%zu of %zu addresses are free on %s\n", n_free, k->n, k->link.name);
        return 0;
}

static void show_free(const IpCheck *k) {
        Stretch s;

        for (size_t i = 0; next_stretch(k, &i, &s);)
                if (s.e->state == IP_FREE)
                        puts(iprange_text(&s.range).text);
}

static int show(const Context *c, const Look *l, size_t n_free) {
        const IpCheck *k = &l->check;

        if (vmctl_has(c, OPT_JSON))
                return show_json(k, n_free);
        if (vmctl_has(c, OPT_QUIET)) {
                show_free(k);
                return 0;
        }
        if (k->leased && !l->conf.ip_range)
                log_notice("The address of '%s' is leased, so there is a DHCP server, and what it will give out is free until "
                           "then. IpRange= in gpuvm.conf says which addresses are for machines",
                           k->link.name);
        return show_table(k, l->named || vmctl_has(c, OPT_ALL), n_free);
}

int cmd_ip_check(Context *c, char **args) {
        _cleanup_(look_done) Look l = { .root = -EBADF };
        size_t n_free = 0;
        int r;

        r = look_begin(c, &l, args[0]);
        if (r == -EINVAL)
                return VMCTL_USAGE;
        if (r >= 0)
                r = look(c, &l);
        if (r < 0)
                return r;
        for (size_t i = 0; i < l.check.n; i++)
                n_free += l.check.entries[i].state == IP_FREE;
        r = show(c, &l, n_free);
        if (r < 0)
                return r;
        if (l.check.lost > 0)
                return log_full_errno(
                                LOG_ERR, ENOBUFS,
                                "%u frames on '%s' came faster than they could be read: whose answer was among them "
                                "looks free. Try again when there is less",
                                l.check.lost, l.check.link.name);
        return n_free > 0 ? 0 : VMCTL_BUSY;
}
