/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "uplink.h"
#include "fs.h"
#include "strv.h"

enum { DEPTH_MAX = 8 }; /* a VLAN on a bridge on a bond is 3 */

int uplink_managers(int root, char ***ret) {
        static const struct {
                const char *name, *dir, *prefix;
        } managers[] = {
                { "netplan", "/etc/netplan", "" },
                { "systemd-networkd", "/run/systemd/netif/links", "" },
                { "NetworkManager", "/run/NetworkManager", "" },
                { "ifupdown", "/run/network", "ifstate" },
        };
        _cleanup_strv_ char **l = NULL;

        for (size_t i = 0; i < ELEMENTSOF(managers); i++)
                if (fs_has_entry(root, managers[i].dir, managers[i].prefix) &&
                    strv_extend(&l, managers[i].name) < 0)
                        return -ENOMEM;
        *ret = TAKE_PTR(l);
        return 0;
}

/* Returns 1 if it is one. */
static int is_tunnel(int root, const char *dir) {
        _cleanup_free_ char *path = NULL, *text = NULL;
        _cleanup_strv_ char **lines = NULL;
        int r;

        if (str_printf(&path, "%s/uevent", dir) < 0)
                return -ENOMEM;
        r = fs_read(root, path, FS_ATTR_MAX, &text, NULL);
        if (r >= 0)
                r = strv_split(text, "\n", &lines);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        return lines && (strv_contains(lines, "DEVTYPE=vxlan") || strv_contains(lines, "DEVTYPE=geneve"));
}

static int stands_on_tunnel(int root, const char *name, unsigned depth) {
        _cleanup_strv_ char **entries = NULL;
        _cleanup_free_ char *dir = NULL;
        int r;

        if (depth > DEPTH_MAX)
                return 0;
        if (str_printf(&dir, "/sys/class/net/%s", name) < 0)
                return -ENOMEM;
        r = is_tunnel(root, dir);
        if (r != 0 || fs_list(root, dir, &entries) < 0)
                return r;
        STRV_FOREACH(e, entries) {
                const char *lower = startswith(*e, "lower_");

                r = lower ? stands_on_tunnel(root, lower, depth + 1) : 0;
                if (r != 0)
                        return r;
        }
        return 0;
}

int uplink_find_overlay(int root, char *const *interfaces, char **ret) {
        STRV_FOREACH(i, interfaces) {
                int r = stands_on_tunnel(root, *i, 0);

                if (r < 0)
                        return r;
                if (r > 0) {
                        *ret = strdup(*i);
                        return *ret ? 0 : -ENOMEM;
                }
        }
        *ret = NULL;
        return 0;
}
