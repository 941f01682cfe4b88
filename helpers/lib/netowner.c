/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "netowner.h"
#include "fs.h"
#include "ini.h"
#include "parse.h"
#include "strv.h"

#define NETPLAN_PREFIX "/run/systemd/network/10-netplan-"

const char *netowner_to_string(NetOwner o) {
        static const char *const names[] = { "nobody", "NetworkManager", "systemd-networkd", "netplan",
                                             "ifupdown" };

        return (size_t) o < ELEMENTSOF(names) ? names[o] : NULL;
}

void netowner_done(NetOwnerFacts *f) {
        free(f->nm_uuid);
        free(f->nm_file);
        free(f->networkd_file);
        strv_free(f->ifupdown_files);
        *f = (NetOwnerFacts){};
}

/* One value of an INI file. */
typedef struct Want {
        const char *section, *key;
        char *value;
} Want;

static int on_assignment(unsigned line, const char *section, const char *key, const char *value,
                         void *userdata) {
        Want *w = userdata;

        return streq_ptr(section, w->section) && streq(key, w->key) ? free_and_strdup(&w->value, value) : 0;
}

static int on_section(unsigned line, const char *section, void *userdata) {
        return 0;
}

static void on_problem(unsigned line, const char *text, void *userdata) {}

/* The last value of the key; NULL if there is none, or no such file. section: NULL is before the first. */
static int get_value(int root, const char *path, const char *section, const char *key, char **ret) {
        Want w = { section, key, NULL };
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r;

        *ret = NULL;
        r = fs_read(root, path, FS_ATTR_MAX, &text, &size);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        r = ini_parse(&(Ini){ on_section, on_assignment, on_problem, &w }, text, size);
        *ret = w.value;
        return r;
}

/* The keyfile with this UUID. */
static int find_profile(int root, const char *uuid, char **ret) {
        static const char *const directories[] = { "/etc/NetworkManager/system-connections",
                                                   "/run/NetworkManager/system-connections",
                                                   "/usr/lib/NetworkManager/system-connections" };

        for (size_t i = 0; i < ELEMENTSOF(directories); i++) {
                _cleanup_strv_ char **names = NULL;
                int r = fs_list(root, directories[i], &names);

                if (r == -ENOMEM)
                        return r;
                STRV_FOREACH(n, names) {
                        _cleanup_free_ char *path = NULL, *value = NULL;

                        if (str_printf(&path, "%s/%s", directories[i], *n) < 0)
                                return -ENOMEM;
                        r = get_value(root, path, "connection", "uuid", &value);
                        if (r < 0)
                                return r;
                        if (streq_ptr(value, uuid)) {
                                *ret = TAKE_PTR(path);
                                return 0;
                        }
                }
        }
        return 0;
}

static int look_nm(int root, int index, NetOwnerFacts *f) {
        _cleanup_free_ char *path = NULL, *managed = NULL;
        int r;

        if (str_printf(&path, "/run/NetworkManager/devices/%d", index) < 0)
                return -ENOMEM;
        r = get_value(root, path, "device", "managed", &managed);
        if (r >= 0)
                r = get_value(root, path, "device", "connection-uuid", &f->nm_uuid);
        if (r < 0 || !f->nm_uuid || (managed && parse_boolean(managed) == 0))
                return r;
        f->nm = true;
        return find_profile(root, f->nm_uuid, &f->nm_file);
}

static int look_networkd(int root, int index, NetOwnerFacts *f) {
        _cleanup_free_ char *path = NULL, *state = NULL;
        int r;

        if (str_printf(&path, "/run/systemd/netif/links/%d", index) < 0)
                return -ENOMEM;
        r = get_value(root, path, NULL, "ADMIN_STATE", &state);
        if (r >= 0)
                r = get_value(root, path, NULL, "NETWORK_FILE", &f->networkd_file);
        f->networkd = f->networkd_file && state && !streq(state, "unmanaged");
        return r;
}

/* Splits off the first word of a line; a pointer behind it. */
static const char *next_word(const char *p, const char **ret, size_t *ret_size) {
        p += strspn(p, " \t");
        *ret = p;
        *ret_size = strcspn(p, " \t\n");
        return p + *ret_size;
}

bool netowner_has_stanza(const char *text, const char *name) {
        for (const char *line = text; line; line = strchr(line, '\n')) {
                const char *word, *rest;
                size_t n;

                line += *line == '\n';
                rest = next_word(line, &word, &n);
                if (n == strlen("iface") && strncmp(word, "iface", n) == 0) {
                        (void) next_word(rest, &word, &n);
                        if (n == strlen(name) && strncmp(word, name, n) == 0)
                                return true;
                }
        }
        return false;
}

static int look_at_interfaces(int root, const char *path, const char *name, NetOwnerFacts *f) {
        _cleanup_free_ char *text = NULL;
        int r;

        r = fs_read(root, path, FS_ATTR_MAX, &text, NULL);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        return netowner_has_stanza(text, name) ? strv_extend(&f->ifupdown_files, path) : 0;
}

/* "eth0=eth0" in ifstate is up; before it is, or once it is down, there is nothing behind the "=". */
static int look_ifupdown(int root, const char *name, NetOwnerFacts *f) {
        _cleanup_free_ char *state = NULL;
        _cleanup_strv_ char **names = NULL;
        int r;

        r = get_value(root, "/run/network/ifstate", NULL, name, &state);
        f->ifupdown = !isempty(state);
        if (r >= 0)
                r = look_at_interfaces(root, "/etc/network/interfaces", name, f);
        if (r >= 0 && fs_list(root, "/etc/network/interfaces.d", &names) == -ENOMEM)
                r = -ENOMEM;
        STRV_FOREACH(n, names) {
                _cleanup_free_ char *path = NULL;

                if (r >= 0)
                        r = str_printf(&path, "/etc/network/interfaces.d/%s", *n);
                if (r >= 0)
                        r = look_at_interfaces(root, path, name, f);
        }
        return r;
}

int netowner_look(int root, int index, const char *name, NetOwnerFacts *ret) {
        _cleanup_(netowner_done) NetOwnerFacts f = {};
        int r;

        r = look_nm(root, index, &f);
        if (r >= 0)
                r = look_networkd(root, index, &f);
        if (r >= 0)
                r = look_ifupdown(root, name, &f);
        if (r < 0)
                return r;
        *ret = f;
        f = (NetOwnerFacts){};
        return 0;
}

NetOwner netowner_decide(const NetOwnerFacts *f, const char **ret_reason) {
        unsigned owners = f->nm + f->networkd + f->ifupdown;

        if (owners > 1) {
                *ret_reason = "more than one of NetworkManager, systemd-networkd and ifupdown has it up";
                return NETOWNER_NONE;
        }
        if (f->nm)
                return NETOWNER_NETWORKMANAGER;
        if (f->networkd)
                return startswith(f->networkd_file, NETPLAN_PREFIX) ? NETOWNER_NETPLAN : NETOWNER_NETWORKD;
        if (f->ifupdown && strv_length(f->ifupdown_files) == 1)
                return NETOWNER_IFUPDOWN;
        if (f->ifupdown)
                *ret_reason = f->ifupdown_files ? "ifupdown has it in more than one file"
                                                : "ifupdown has it up, by a file that is not found";
        else
                *ret_reason = "none of NetworkManager, systemd-networkd and ifupdown has it up";
        return NETOWNER_NONE;
}
