/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "netkeyfile.h"
#include "fs.h"
#include "ini.h"
#include "memstream.h"
#include "parse.h"

#define BRIDGE_FILE    NETKEYFILE_DIR "gpuvm-%s.nmconnection"
#define PORT_FILE      NETKEYFILE_DIR "gpuvm-%s-port.nmconnection"
#define MOVED_SECTIONS "ipv4 ipv6 proxy"
#define MOVED_KEYS \
        "zone metered dns-over-tls llmnr mdns mptcp-flags wait-activation-delay" /* of [connection] */
#define ETHERNET_TYPES "ethernet 802-3-ethernet vlan"

enum { PRIORITY_MAX = 999 }; /* nm-settings-keyfile(5): connection.autoconnect-priority */

typedef struct Writer {
        FILE *bridge, *port;
        bool bridge_open, port_open; /* the present section's header is written */
        bool any_address;            /* [ipv4] or [ipv6] is there */
        char *moved_keys, *type;
        char *refused;
        int priority;
} Writer;

void netkeyfile_uuid(const NetWish *w, bool port, char ret[static NETKEYFILE_UUID_SIZE]) {
        const uint8_t *m = w->mac;

        /* Of the random kind by its version, and nobody else's by its beginning: "gpuvm". */
        (void) snprintf(ret, NETKEYFILE_UUID_SIZE, "67707576-6d0%d-4000-8000-%02x%02x%02x%02x%02x%02x", port,
                        m[0], m[1], m[2], m[3], m[4], m[5]);
}

static int on_section(unsigned line, const char *section, void *userdata) {
        Writer *w = userdata;

        w->bridge_open = w->port_open = false;
        return 0;
}

static void put(FILE *f, bool *open, const char *section, const char *key, const char *value) {
        if (!*open)
                fprintf(f, "\n[%s]\n", section);
        *open = true;
        fprintf(f, "%s=%s\n", key, value);
}

/* Of [connection] little goes along: the rest says which profile it is. */
static int take_connection(Writer *w, const char *key, const char *value) {
        unsigned priority;
        char *t;

        if (streq(key, "type"))
                return free_and_strdup(&w->type, value);
        if (streq(key, "autoconnect-priority")) {
                w->priority = parse_uint(value, PRIORITY_MAX, &priority) < 0 ? 0 : (int) priority;
                return 0;
        }
        if (netfile_is_one_of(key, "master slave-type controller port-type"))
                return str_printf(&w->refused, "its profile has %s=%s", key, value);
        if (!netfile_is_one_of(key, MOVED_KEYS))
                return 0;
        if (str_printf(&t, "%s%s=%s\n", strempty(w->moved_keys), key, value) < 0)
                return -ENOMEM;
        free(w->moved_keys);
        w->moved_keys = t;
        return 0;
}

static int on_assignment(unsigned line, const char *section, const char *key, const char *value,
                         void *userdata) {
        Writer *w = userdata;

        if (w->refused || !section)
                return 0;
        if (streq(section, "connection"))
                return take_connection(w, key, value);
        if (netfile_is_one_of(section, MOVED_SECTIONS)) {
                w->any_address |= !streq(section, "proxy");
                put(w->bridge, &w->bridge_open, section, key, value);
        } else
                put(w->port, &w->port_open, section, key, value);
        return 0;
}

static void on_problem(unsigned line, const char *text, void *userdata) {}

static void put_head(FILE *f, const NetWish *w, bool port, const char *type) {
        char uuid[NETKEYFILE_UUID_SIZE];

        netkeyfile_uuid(w, port, uuid);
        fprintf(f,
                NETFILE_HEAD
                "[connection]\nid=gpuvm-%s%s\nuuid=%s\ntype=%s\ninterface-name=%s\nautoconnect=true\n",
                w->bridge, port ? "-port" : "", uuid, type, port ? w->uplink : w->bridge);
}

static void put_bridge(FILE *f, const NetWish *w, const char *connection_keys, const char *body) {
        put_head(f, w, false, "bridge");
        fprintf(f, "autoconnect-slaves=1\n%s\n[bridge]\nstp=false\n\n[ethernet]\n",
                strempty(connection_keys));
        if (!w->routed)
                fprintf(f, "cloned-mac-address=%s\n", net_mac_to_string(w->mac));
        if (w->mtu > 0)
                fprintf(f, "mtu=%u\n", w->mtu);
        fputs(body, f);
}

static void put_port(FILE *f, const NetWish *w, const char *type, const char *body) {
        char uuid[NETKEYFILE_UUID_SIZE];

        netkeyfile_uuid(w, false, uuid);
        put_head(f, w, true, type);
        fprintf(f, "autoconnect-priority=%d\nmaster=%s\nslave-type=bridge\n%s", PRIORITY_MAX, uuid, body);
}

typedef void (*Put)(FILE *f, const NetWish *w, const char *a, const char *b);

static int add(NetFiles *files, const char *path, const NetWish *w, Put put_text, const char *a,
               const char *b) {
        _cleanup_(memstream_done) Memstream m = {};
        char *text;

        if (!memstream_open(&m))
                return -ENOMEM;
        put_text(m.file, w, a, b);
        if (memstream_close(&m, &text, NULL) < 0)
                return -ENOMEM;
        return netfiles_add(files, text, 0600, path, w->bridge);
}

static int check(const Writer *w, char **ret_reason) {
        if (w->refused)
                return netfile_refuse(ret_reason, "%s", w->refused);
        if (!netfile_is_one_of(w->type, ETHERNET_TYPES))
                return netfile_refuse(ret_reason,
                                      "its profile is of the type %s, and profiles of its ports may name it",
                                      w->type);
        if (w->priority >= PRIORITY_MAX)
                return netfile_refuse(ret_reason,
                                      "its profile has the highest autoconnect-priority there is");
        return 0;
}

static int parse(const char *current, Writer *w, char **bridge, char **port) {
        _cleanup_(memstream_done) Memstream b = {}, p = {};
        int r;

        w->bridge = memstream_open(&b);
        w->port = memstream_open(&p);
        r = w->bridge && w->port ? 0 : -ENOMEM;
        if (r >= 0)
                r = ini_parse(&(Ini){ on_section, on_assignment, on_problem, w }, current, strlen(current));
        if (r >= 0 && !w->any_address)
                fputs("\n[ipv4]\nmethod=auto\n\n[ipv6]\nmethod=auto\n", w->bridge);
        if (r >= 0 && !w->type)
                r = free_and_strdup(&w->type, "ethernet");
        if (r >= 0)
                r = memstream_close(&b, bridge, NULL);
        return r < 0 ? r : memstream_close(&p, port, NULL);
}

int netkeyfile_make(const NetWish *w, const char *current, NetFiles *ret, char **ret_reason) {
        _cleanup_(netfiles_done) NetFiles files = {};
        _cleanup_free_ char *bridge = NULL, *port = NULL, *keys = NULL, *type = NULL, *refused = NULL;
        Writer out = {};
        int r;

        r = parse(strempty(current), &out, &bridge, &port);
        keys = out.moved_keys;
        type = out.type;
        refused = out.refused;
        if (r >= 0)
                r = check(&out, ret_reason);
        if (r == 0)
                r = add(&files, BRIDGE_FILE, w, put_bridge, keys, bridge);
        if (r == 0)
                r = add(&files, PORT_FILE, w, put_port, type, port);
        if (r != 0)
                return r;
        *ret = files;
        files = (NetFiles){};
        return 0;
}

int netkeyfile_make_routed(const NetWish *w, NetFiles *ret) {
        _cleanup_(netfiles_done) NetFiles files = {};
        _cleanup_free_ char *body = NULL;
        int r;

        r = str_printf(&body,
                       "\n[ipv4]\nmethod=manual\naddress1=%s\nnever-default=true\n\n[ipv6]\nmethod=link-local\n",
                       w->address);
        if (r >= 0)
                r = add(&files, BRIDGE_FILE, w, put_bridge, NULL, body);
        if (r < 0)
                return r;
        *ret = files;
        files = (NetFiles){};
        return 0;
}
