/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "netnetworkd.h"
#include "fs.h"
#include "ini.h"
#include "memstream.h"
#include "parse.h"
#include "strv.h"

#define NETDEV_FILE NETNETWORKD_DIR "00-gpuvm-%s.netdev"
#define BRIDGE_FILE NETNETWORKD_DIR "00-gpuvm-%s.network"
#define PORT_FILE   NETNETWORKD_DIR "00-gpuvm-%s-port.network"
#define DEFAULT_MTU 1500

/* Of [Network]: what stays with the card, because it stands on frames and not on addresses. */
#define PORT_KEYS "VLAN MACVLAN MACVTAP IPVLAN IPVTAP LLDP EmitLLDP"
/* And what says that the uplink has a master, or underlies something that a bridge has to be named in. */
#define MASTER_KEYS "Bridge Bond VRF BatmanAdvanced ActiveSlave PrimarySlave VXLAN"
/* Of [Link]: what the bridge needs too. */
#define LINK_KEYS "MTUBytes RequiredForOnline RequiredFamilyForOnline"
/* Sections about addresses: they move. The others are about the card, and stay. */
#define MOVED_SECTIONS                                                                                               \
        "Network Address AddressLabel Neighbor IPv6AddressLabel RoutingPolicyRule NextHop Route DHCP DHCPv4 DHCPv6 " \
        "DHCPPrefixDelegation IPv6PrefixDelegation IPv6AcceptRA DHCPServer DHCPServerStaticLease IPv6SendRA "        \
        "IPv6Prefix IPv6RoutePrefix"

typedef struct Writer {
        FILE *bridge, *port;
        const char *in_bridge, *in_port; /* the header that was written last, or NULL */
        char *section;                   /* that we are in, once for each header */
        bool has_iaid;
        char *master; /* the assignment that cannot be carried over */
} Writer;

static int on_section(unsigned line, const char *section, void *userdata) {
        Writer *w = userdata;

        w->in_bridge = w->in_port = NULL;
        return free_and_strdup(&w->section, section);
}

/* The header is written with the first assignment: a section may have none for one of the two. */
static void put(FILE *f, const char **in, const char *section, const char *key, const char *value) {
        if (!*in)
                fprintf(f, "\n[%s]\n", section);
        *in = section;
        fprintf(f, "%s=%s\n", key, value);
}

static int on_assignment(unsigned line, const char *section, const char *key, const char *value,
                         void *userdata) {
        Writer *w = userdata;
        bool network, moved;

        if (!section || streq(section, "Match"))
                return 0;
        network = streq(section, "Network");
        if (network && netfile_is_one_of(key, MASTER_KEYS)) {
                free(w->master);
                return str_printf(&w->master, "%s=%s", key, value);
        }
        if (streq(key, "IAID"))
                w->has_iaid = true;
        moved = netfile_is_one_of(section, MOVED_SECTIONS) && !(network && netfile_is_one_of(key, PORT_KEYS));
        if (moved || (streq(section, "Link") && netfile_is_one_of(key, LINK_KEYS)))
                put(w->bridge, &w->in_bridge, section, key, value);
        if (!moved)
                put(w->port, &w->in_port, section, key, value);
        return 0;
}

static void on_problem(unsigned line, const char *text, void *userdata) {}

/* "ff", the IAID and a DUID: RFC 4361. The IAID is made from the link's name or path, which the bridge has
 * not: without this it would be another client, and get another address. An identity of the MAC address is
 * the same on the bridge. */
static void put_identity(FILE *f, const char *client_id) {
        char digits[9] = "";
        uint64_t iaid;

        if (!client_id || !startswith(client_id, "ff") || strlen(client_id) < 2 + 8)
                return;
        memcpy(digits, client_id + 2, 8);
        if (parse_hex(digits, UINT32_MAX, &iaid) >= 0)
                fprintf(f, "\n[DHCPv4]\nIAID=%u\n\n[DHCPv6]\nIAID=%u\n", (unsigned) iaid, (unsigned) iaid);
}

static int add_netdev(const NetWish *w, NetFiles *files) {
        _cleanup_(memstream_done) Memstream m = {};
        FILE *f = memstream_open(&m);
        char *text;

        if (!f)
                return -ENOMEM;
        fprintf(f, NETFILE_HEAD "[NetDev]\nName=%s\nKind=bridge\n", w->bridge);
        if (!w->routed)
                fprintf(f, "MACAddress=%s\n", net_mac_to_string(w->mac));
        if (w->mtu > 0 && w->mtu != DEFAULT_MTU)
                fprintf(f, "MTUBytes=%u\n", w->mtu);
        fputs("\n[Bridge]\nSTP=no\nForwardDelaySec=0\n", f);
        if (memstream_close(&m, &text, NULL) < 0)
                return -ENOMEM;
        return netfiles_add(files, text, 0644, NETDEV_FILE, w->bridge);
}

static int fill(const NetWish *w, const char *current, Writer *out) {
        int r;

        fprintf(out->bridge, NETFILE_HEAD "[Match]\nName=%s\n", w->bridge);
        fprintf(out->port,
                NETFILE_HEAD "[Match]\nName=%s\n\n[Network]\nBridge=%s\nLinkLocalAddressing=no\n"
                             "IPv6AcceptRA=no\n",
                w->uplink, w->bridge);
        r = ini_parse(&(Ini){ on_section, on_assignment, on_problem, out }, current, strlen(current));
        if (r >= 0 && !out->has_iaid)
                put_identity(out->bridge, w->client_id);
        free(out->section);
        return r;
}

static int add_networks(const NetWish *w, const char *current, NetFiles *files, char **ret_reason) {
        _cleanup_(memstream_done) Memstream b = {}, p = {};
        Writer out = { .bridge = memstream_open(&b), .port = memstream_open(&p) };
        _cleanup_free_ char *master = NULL, *bridge = NULL, *port = NULL;
        int r = -ENOMEM;

        if (out.bridge && out.port)
                r = fill(w, current, &out);
        master = out.master;
        if (r >= 0)
                r = memstream_close(&b, &bridge, NULL);
        if (r >= 0)
                r = memstream_close(&p, &port, NULL);
        if (r >= 0 && master)
                r = netfile_refuse(ret_reason, "its .network file has %s", master);
        if (r == 0)
                r = netfiles_add(files, TAKE_PTR(bridge), 0644, BRIDGE_FILE, w->bridge);
        if (r == 0)
                r = netfiles_add(files, TAKE_PTR(port), 0644, PORT_FILE, w->bridge);
        return r;
}

int netnetworkd_make(const NetWish *w, const char *name, const char *current, NetFiles *ret,
                     char **ret_reason) {
        _cleanup_(netfiles_done) NetFiles files = {};
        int r;

        if (strcmp(name, "00-gpuvm-") < 0)
                return netfile_refuse(ret_reason, "its file %s comes before any that gpuvm would write",
                                      name);
        r = add_netdev(w, &files);
        if (r == 0)
                r = add_networks(w, current, &files, ret_reason);
        if (r != 0)
                return r;
        *ret = files;
        files = (NetFiles){};
        return 0;
}

/* KeepConfiguration=: the routes to machines (route.h) stay when networkd is started again. */
int netnetworkd_make_routed(const NetWish *w, NetFiles *ret) {
        _cleanup_(netfiles_done) NetFiles files = {};
        char *text = NULL;
        int r;

        r = add_netdev(w, &files);
        if (r >= 0)
                r = str_printf(&text,
                               NETFILE_HEAD "[Match]\nName=%s\n\n[Link]\nRequiredForOnline=no\n\n[Network]\n"
                                            "Address=%s\nConfigureWithoutCarrier=yes\nIPv6AcceptRA=no\n"
                                            "KeepConfiguration=static\n",
                               w->bridge, w->address);
        if (r >= 0)
                r = netfiles_add(&files, text, 0644, BRIDGE_FILE, w->bridge);
        if (r < 0)
                return r;
        *ret = files;
        files = (NetFiles){};
        return 0;
}

static int add_file(int root, const char *path, char ***parts) {
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r;

        r = fs_read(root, path, FS_FILE_MAX, &text, &size);
        if (r < 0)
                return r;
        return memchr(text, '\0', size) ? -EBADMSG : strv_extend(parts, text);
}

/* Names of the drop-ins, each with the first directory that has it. */
static int list_dropins(int root, const char *name, char ***ret_paths) {
        static const char *const above[] = { "/etc/systemd/network", "/run/systemd/network",
                                             "/usr/lib/systemd/network" };
        _cleanup_strv_ char **keys =
                        NULL; /* "NAME DIRECTORY": sorting these sorts by name, then by directory */
        const char *last = "";
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(above); i++) {
                _cleanup_strv_ char **names = NULL;
                _cleanup_free_ char *dir = NULL;

                if (str_printf(&dir, "%s/%s.d", above[i], name) < 0 || fs_list(root, dir, &names) == -ENOMEM)
                        return -ENOMEM;
                STRV_FOREACH(n, names)
                        if (r >= 0 && endswith(*n, ".conf"))
                                r = strv_extendf(&keys, "%s/%zu%s", *n, i, dir);
        }
        if (r < 0)
                return r;
        strv_sort(keys);
        STRV_FOREACH(k, keys) {
                size_t n = strcspn(*k, "/");

                if (strncmp(last, *k, n + 1) != 0)
                        r = strv_extendf(ret_paths, "%s/%.*s", *k + n + 2, (int) n, *k);
                last = *k;
                if (r < 0)
                        return r;
        }
        return 0;
}

int netnetworkd_read(int root, const char *path, char **ret) {
        const char *name = strrchr(path, '/');
        _cleanup_strv_ char **parts = NULL, **dropins = NULL;
        int r;

        if (!name)
                return -EINVAL;
        r = add_file(root, path, &parts);
        if (r >= 0)
                r = list_dropins(root, name + 1, &dropins);
        STRV_FOREACH(d, dropins)
                if (r >= 0)
                        r = add_file(root, *d, &parts);
        if (r < 0)
                return r;
        *ret = strv_join(parts, "\n");
        return *ret ? 0 : -ENOMEM;
}

int netnetworkd_client_id(int root, int index, char **ret) {
        _cleanup_free_ char *path = NULL, *text = NULL;
        _cleanup_strv_ char **lines = NULL;
        int r;

        *ret = NULL;
        r = str_printf(&path, "/run/systemd/netif/leases/%d", index);
        if (r < 0)
                return r;
        r = fs_read(root, path, FS_ATTR_MAX, &text, NULL);
        if (r >= 0)
                r = strv_split(text, "\n", &lines);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        STRV_FOREACH(l, lines) {
                const char *id = startswith(*l, "CLIENTID=");

                if (id)
                        return free_and_strdup(ret, id);
        }
        return 0;
}
