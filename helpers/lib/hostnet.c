/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "hostnet.h"
#include "bridge.h"
#include "confvalid.h"
#include "fs.h"
#include "json.h"
#include "strv.h"

#define RECORD "/run/gpuvm/phases/bridge.json"

enum { RECORD_MAX = 1024 * 1024 };

void hostnet_done(HostNet *n) {
        free(n->bridge);
        free(n->uplink);
        *n = (HostNet){};
}

static const char *get_string(json_object *o, const char *key) {
        json_object *v;

        return json_object_object_get_ex(o, key, &v) && json_object_is_type(v, json_type_string)
                        ? json_object_get_string(v)
                        : "";
}

static int set(HostNet *n, NetworkMode mode, const char *bridge, const char *uplink) {
        n->mode = mode;
        if (mode != NETWORK_NAT &&
            (free_and_strdup(&n->bridge, bridge) < 0 || free_and_strdup(&n->uplink, uplink) < 0))
                return -ENOMEM;
        return 1;
}

/* Returns 0 for a record that says nothing to us, as the next one. */
static int parse_record(const char *text, HostNet *n) {
        _cleanup_json_ json_object *o = json_tokener_parse(text);
        const char *mode, *bridge, *uplink;

        if (!json_object_is_type(o, json_type_object))
                return 0;
        mode = get_string(o, "mode");
        bridge = get_string(o, "bridge");
        uplink = get_string(o, "uplink");
        if (!confvalid_interface(uplink))
                uplink = NULL;
        for (NetworkMode m = NETWORK_BRIDGED; m <= NETWORK_NAT; m++)
                if (streq(mode, network_mode_to_string(m)))
                        return m == NETWORK_NAT || confvalid_interface(bridge) ? set(n, m, bridge, uplink)
                                                                               : 0;
        return 0;
}

static int read_record(int root, HostNet *n) {
        _cleanup_free_ char *text = NULL;
        int r = fs_read(root, RECORD, RECORD_MAX, &text, NULL);

        return r >= 0 ? parse_record(text, n) : r == -ENOMEM ? r : 0;
}

static int read_kept(int root, HostNet *n) {
        _cleanup_(bridge_done) BridgeState kept = {};
        int r = bridge_load(root, &kept);

        if (r <= 0 || kept.stage != BRIDGE_KEPT)
                return r == -ENOMEM ? r : 0;
        return set(n, kept.routed ? NETWORK_ROUTED : NETWORK_BRIDGED, kept.bridge, kept.uplink);
}

int hostnet_read(int root, const Conf *c, HostNet *ret) {
        HostNet n = {};
        int r = 0;

        if (!c->bridge || c->network_mode == NETWORK_NAT)
                r = set(&n, NETWORK_NAT, NULL, NULL);
        if (r == 0)
                r = read_record(root, &n);
        if (r == 0)
                r = read_kept(root, &n);
        if (r > 0)
                *ret = n;
        return r;
}

static bool has_port(int root, const char *bridge) {
        _cleanup_strv_ char **ports = NULL;
        _cleanup_free_ char *path = NULL;

        return str_printf(&path, "/sys/class/net/%s/brif", bridge) >= 0 && fs_list(root, path, &ports) >= 0 &&
                        ports && *ports;
}

HostNetHealth hostnet_look(int root, const HostNet *n) {
        _cleanup_free_ char *path = NULL;

        if (n->mode == NETWORK_NAT)
                return HOSTNET_WELL;
        if (str_printf(&path, "/sys/class/net/%s/bridge", n->bridge) < 0 || fs_exists(root, path) <= 0)
                return HOSTNET_MISSING;
        return n->mode == NETWORK_BRIDGED && !has_port(root, n->bridge) ? HOSTNET_NO_PORT : HOSTNET_WELL;
}
