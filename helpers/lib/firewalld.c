/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "firewalld.h"
#include "fs.h"
#include "log.h"
#include "sdbus.h"
#include "strv.h"

#define NAME             "org.fedoraproject.FirewallD1"
#define PATH             "/org/fedoraproject/FirewallD1"
#define ZONE             NAME ".zone"
#define CONFIG_PATH      PATH "/config"
#define CONFIG           NAME ".config"
#define CONFIG_ZONE      NAME ".config.zone"
#define ETC_DIRECTORY    "/etc/firewalld/zones"
#define VENDOR_DIRECTORY "/usr/lib/firewalld/zones"

int firewalld_is_running(Bus *b) {
        _cleanup_message_ sd_bus_message *reply = NULL;
        int r, owned = 0;

        r = BUS_CALL(b, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", &reply,
                     "NameHasOwner", "s", NAME);
        if (r >= 0)
                r = sd_bus_message_read(reply, "b", &owned);
        return r < 0 ? r : owned != 0;
}

/* Its one string; "" is NULL. */
static int read_text(sd_bus_message *reply, char **ret) {
        const char *text = NULL;
        int r = sd_bus_message_read(reply, "s", &text);

        if (r < 0)
                return r;
        *ret = isempty(text) ? NULL : strdup(text);
        return !isempty(text) && !*ret ? -ENOMEM : *ret != NULL;
}

int firewalld_default_zone(Bus *b, char **ret) {
        _cleanup_message_ sd_bus_message *reply = NULL;
        int r = BUS_CALL(b, NAME, PATH, NAME, &reply, "getDefaultZone", NULL);

        if (r >= 0)
                r = read_text(reply, ret);
        return r == 0 ? -EBADMSG : MIN(r, 0);
}

int firewalld_zone_of(Bus *b, const char *interface, bool lasting, char **ret) {
        _cleanup_message_ sd_bus_message *reply = NULL;
        int r;

        r = lasting ? BUS_CALL(b, NAME, CONFIG_PATH, CONFIG, &reply, "getZoneOfInterface", "s", interface)
                    : BUS_CALL(b, NAME, PATH, ZONE, &reply, "getZoneOfInterface", "s", interface);
        return r < 0 ? r : read_text(reply, ret);
}

/* One of a zone's settings, if it speaks for forwarding: its own switch, or that it accepts everything. */
static int read_setting(sd_bus_message *m, bool *forwards) {
        const char *key, *target = NULL;
        int r, on = 0;

        r = sd_bus_message_read(m, "s", &key);
        if (r >= 0 && streq(key, "forward"))
                r = sd_bus_message_read(m, "v", "b", &on);
        else if (r >= 0 && streq(key, "target"))
                r = sd_bus_message_read(m, "v", "s", &target);
        else if (r >= 0)
                r = sd_bus_message_skip(m, "v");
        *forwards |= on || streq(strempty(target), "ACCEPT");
        return r;
}

int firewalld_zone_forwards(Bus *b, const char *zone) {
        _cleanup_message_ sd_bus_message *reply = NULL;
        bool forwards = false;
        int r;

        r = BUS_CALL(b, NAME, PATH, ZONE, &reply, "getZoneSettings2", "s", zone);
        if (r >= 0)
                r = sd_bus_message_enter_container(reply, 'a', "{sv}");
        while (r >= 0 && (r = sd_bus_message_enter_container(reply, 'e', "sv")) > 0) {
                r = read_setting(reply, &forwards);
                if (r >= 0)
                        r = sd_bus_message_exit_container(reply);
        }
        return r < 0 ? r : forwards;
}

/* All of its errors have one name; which one it is begins the text (firewall/errors.py). */
static int without(Bus *b, int r, const char *error) {
        return r < 0 && startswith(bus_message(b), error) ? 0 : r < 0 ? r : 1;
}

/* The object of a zone's lasting settings. */
static int find_zone(Bus *b, const char *zone, char **ret) {
        _cleanup_message_ sd_bus_message *reply = NULL;
        const char *path;
        int r;

        r = BUS_CALL(b, NAME, CONFIG_PATH, CONFIG, &reply, "getZoneByName", "s", zone);
        if (r >= 0)
                r = sd_bus_message_read(reply, "o", &path);
        if (r < 0)
                return r;
        *ret = strdup(path);
        return *ret ? 0 : -ENOMEM;
}

static int change(Bus *b, const char *method, const char *zone, const char *interface, bool lasting) {
        _cleanup_free_ char *path = NULL;
        int r;

        if (!lasting)
                return BUS_CALL(b, NAME, PATH, ZONE, NULL, method, "ss", zone, interface);
        r = find_zone(b, zone, &path);
        return r < 0 ? r : BUS_CALL(b, NAME, path, CONFIG_ZONE, NULL, method, "s", interface);
}

int firewalld_bind(Bus *b, const char *zone, const char *interface, bool lasting) {
        int r = change(b, "addInterface", zone, interface, lasting);

        return without(b, r, lasting ? "ALREADY_ENABLED" : "ZONE_ALREADY_SET");
}

int firewalld_unbind(Bus *b, const char *zone, const char *interface, bool lasting) {
        int r = change(b, "removeInterface", zone, interface, lasting);

        return without(b, r, lasting ? "NOT_ENABLED" : "UNKNOWN_INTERFACE");
}

static int read_zone(int root, const char *directory, const char *zone, char **ret) {
        _cleanup_free_ char *path = NULL;
        int r = str_printf(&path, "%s/%s.xml", directory, zone);

        return r < 0 ? r : fs_read(root, path, FS_FILE_MAX, ret, NULL);
}

void firewalld_tidy(Bus *b, int root, const char *zone) {
        _cleanup_free_ char *etc = NULL, *vendor = NULL, *path = NULL;
        int r;

        r = read_zone(root, ETC_DIRECTORY, zone, &etc);
        if (r >= 0)
                r = read_zone(root, VENDOR_DIRECTORY, zone, &vendor);
        if (r < 0 || !streq(etc, vendor))
                return;
        r = find_zone(b, zone, &path);
        if (r >= 0)
                r = BUS_CALL(b, NAME, path, CONFIG_ZONE, NULL, "loadDefaults", NULL);
        if (r < 0)
                log_debug("firewalld keeps its file of zone %s: %s", zone, bus_message(b));
}
