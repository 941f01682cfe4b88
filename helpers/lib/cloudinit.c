/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cloudinit.h"
#include "confvalid.h"
#include "fs.h"
#include "json.h"
#include "strv.h"

#define OLD_RELEASES "http://old-releases.ubuntu.com/ubuntu"

#define LOWER  "abcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"

enum { KEY_MAX = 64 * 1024 };

int cloudinit_check_user(const char *user) {
        size_t n = strlen(user);

        if (n == 0 || n > 32 || !strchr(LOWER "_", user[0]) || strspn(user, LOWER DIGITS "_-") != n)
                return -EINVAL;
        return streq(user, "root") || streq(user, "nobody") ? -EINVAL : 0;
}

int cloudinit_check_hostname(const char *name) {
        return confvalid_hostname(name) ? 0 : -EINVAL;
}

/* The length of type and key, or -EINVAL. */
static int key_length(const char *line) {
        static const char *const kinds[] = {
                "ssh-ed25519 ",
                "ssh-rsa ",
                "ecdsa-sha2-nistp256 ",
                "ecdsa-sha2-nistp384 ",
                "ecdsa-sha2-nistp521 ",
                "sk-ssh-ed25519@openssh.com ",
                "sk-ecdsa-sha2-nistp256@openssh.com ",
        };
        const char *key = NULL;
        size_t n;

        for (size_t i = 0; i < ELEMENTSOF(kinds) && !key; i++)
                key = startswith(line, kinds[i]);
        if (!key)
                return -EINVAL;
        n = strspn(key, LOWER "ABCDEFGHIJKLMNOPQRSTUVWXYZ" DIGITS "+/=");
        return n < 32 || n > KEY_MAX || (key[n] && key[n] != ' ') ? -EINVAL : (int) (key + n - line);
}

/* Returns 1 if there are characters beyond ASCII, 0, or -EINVAL for control characters. */
static int look_at_comment(const char *s) {
        int r = 0;

        for (; *s; s++)
                if ((unsigned char) *s < ' ' || *s == 0x7f)
                        return -EINVAL;
                else if ((unsigned char) *s > 0x7f)
                        r = 1;
        return r;
}

int cloudinit_check_ssh_key(const char *line) {
        int n = key_length(line);

        return n < 0 || look_at_comment(line + n) != 0 ? -EINVAL : 0;
}

int cloudinit_take_ssh_key(const char *line, char **ret) {
        int n = key_length(line), r = n < 0 ? n : look_at_comment(line + n);

        if (r < 0)
                return r;
        *ret = r > 0 ? strndup(line, (size_t) n) : strdup(line);
        return *ret ? 0 : -ENOMEM;
}

static int check(const CloudInit *c) {
        int r;

        if (c->kind < 0 || c->kind >= _CLOUDINIT_KIND_MAX || isempty(c->instance_id) || !c->ssh_keys ||
            !*c->ssh_keys)
                return -EINVAL;
        r = cloudinit_check_hostname(c->hostname);
        if (r >= 0)
                r = cloudinit_check_user(c->user);
        for (const char *const *k = c->ssh_keys; r >= 0 && *k; k++)
                r = cloudinit_check_ssh_key(*k);
        return r;
}

static int add_user(json_object *o, const CloudInit *c) {
        json_object *users = json_object_new_array(), *user = json_object_new_object();
        int r, q;

        r = json_append(users, user);
        q = json_add(o, "users", users);
        if (r < 0 || q < 0)
                return -ENOMEM;
        r = json_add_text(user, "name", c->user);
        if (r >= 0)
                r = json_add(user, "groups",
                             json_new_list((const char *const[]){ "adm", "sudo", "video", "render", NULL }));
        if (r >= 0)
                r = json_add_text(user, "sudo", "ALL=(ALL) NOPASSWD:ALL");
        if (r >= 0)
                r = json_add_text(user, "shell", "/bin/bash");
        if (r >= 0)
                r = json_add(user, "lock_passwd", json_object_new_boolean(true));
        return r < 0 ? r : json_add(user, "ssh_authorized_keys", json_new_list(c->ssh_keys));
}

/* One of a certain version is a pair. */
static json_object *new_package(const char *word) {
        const char *version = strchr(word, '=');
        json_object *pair = json_object_new_array();
        int r;

        if (!version) {
                (void) json_object_put(pair);
                return json_object_new_string(word);
        }
        r = json_append(pair, json_object_new_string_len(word, (int) (version - word)));
        if (r >= 0)
                r = json_append(pair, json_object_new_string(version + 1));
        if (r >= 0)
                return pair;
        (void) json_object_put(pair);
        return NULL;
}

static int add_packages(json_object *o, const CloudInit *c) {
        static const char *const common[] = { "qemu-guest-agent", NULL };
        static const char *const desktop[] = { "qemu-guest-agent", "ubuntu-desktop-minimal", NULL };
        json_object *packages = json_new_list(c->kind == CLOUDINIT_UBUNTU_DESKTOP ? desktop : common);
        int r;

        r = json_add(o, "package_update", json_object_new_boolean(true));
        if (r >= 0 && c->gpu && c->kind != CLOUDINIT_DEBIAN)
                r = json_append(packages, json_object_new_string("ubuntu-drivers-common"));
        STRV_FOREACH(word, c->packages)
                if (r >= 0)
                        r = json_append(packages, new_package(*word));
        if (r < 0) {
                (void) json_object_put(packages);
                return r;
        }
        return json_add(o, "packages", packages);
}

/* After its end of life a release of Ubuntu is served from another place, and apt finds nothing at the old
 * one. */
static int add_sources(json_object *o) {
        json_object *apt = json_object_new_object(), *primary = json_object_new_array(),
                    *entry = json_object_new_object();
        int r, q;

        r = json_append(primary, entry);
        if (r >= 0)
                r = json_add(entry, "arches", json_new_list((const char *const[]){ "default", NULL }));
        if (r >= 0)
                r = json_add_text(entry, "uri", OLD_RELEASES);
        q = json_add(apt, "primary", primary);
        if (json_add(o, "apt", apt) < 0)
                return -ENOMEM;
        return r < 0 ? r : q;
}

static int add_file(json_object *all, const CloudInitFile *f) {
        json_object *o = json_object_new_object();
        char mode[sizeof("0644")];
        int r;

        (void) snprintf(mode, sizeof(mode), "%04o", f->mode & 0777);
        r = json_add_text(o, "path", f->path);
        if (r >= 0)
                r = json_add_text(o, "permissions", mode);
        if (r >= 0)
                r = json_add_text(o, "content", f->text);
        if (json_append(all, o) < 0)
                return -ENOMEM;
        return r;
}

int cloudinit_add_files(json_object *o, const CloudInitFile *files, size_t n) {
        json_object *all;
        int r = 0;

        if (n == 0)
                return 0;
        all = json_object_new_array();
        for (size_t i = 0; i < n && r >= 0; i++)
                r = add_file(all, &files[i]);
        if (json_add(o, "write_files", all) < 0)
                return -ENOMEM;
        return r;
}

static bool restarts(const CloudInit *c) {
        return c->kind == CLOUDINIT_UBUNTU_DESKTOP || (c->kind != CLOUDINIT_DEBIAN && c->gpu);
}

/* What the machine sets up by itself starts at once, or with the boot that is about to come. */
static int add_setup(json_object *commands, const CloudInit *c) {
        static const char *const reload[] = { "systemctl", "daemon-reload", NULL };
        static const char *const enable[] = { "systemctl", "enable", "gpuvm-setup.target", NULL };
        static const char *const start[] = { "systemctl", "start", "--no-block", "gpuvm-setup.target", NULL };
        int r;

        r = json_append(commands, json_new_list(reload));
        if (r >= 0)
                r = json_append(commands, json_new_list(enable));
        return r < 0 || restarts(c) ? r : json_append(commands, json_new_list(start));
}

/* The driver's own idea of what fits the card, then one restart into it. */
static int add_commands(json_object *o, const CloudInit *c) {
        bool desktop = c->kind == CLOUDINIT_UBUNTU_DESKTOP, driver = c->gpu && c->kind != CLOUDINIT_DEBIAN;
        json_object *commands = json_object_new_array();
        int r;

        r = json_append(commands,
                        json_new_list((const char *const[]){ "systemctl", "enable", "--now",
                                                             "qemu-guest-agent.service", NULL }));
        if (r >= 0 && desktop)
                r = json_append(commands,
                                json_new_list((const char *const[]){ "systemctl", "set-default",
                                                                     "graphical.target", NULL }));
        if (r >= 0 && driver)
                r = json_append(commands,
                                json_new_list(desktop ? (const char *const[]){ "ubuntu-drivers", "install",
                                                                               NULL }
                                                      : (const char *const[]){ "ubuntu-drivers", "install",
                                                                               "--gpgpu", NULL }));
        if (r >= 0 && c->setup)
                r = add_setup(commands, c);
        if (json_add(o, "runcmd", commands) < 0)
                return -ENOMEM;
        return r;
}

static int add_restart(json_object *o) {
        json_object *state = json_object_new_object();
        int r;

        r = json_add_text(state, "mode", "reboot");
        if (r >= 0)
                r = json_add_text(state, "message", "The first boot is complete");
        if (json_add(o, "power_state", state) < 0)
                return -ENOMEM;
        return r;
}

/* The text ends with a newline. */
static int finish(json_object *o, const char *header, char **ret) {
        const char *text = json_object_to_json_string_ext(o,
                                                          JSON_C_TO_STRING_PRETTY |
                                                                          JSON_C_TO_STRING_NOSLASHESCAPE);

        return text ? str_printf(ret, "%s%s\n", header, text) : -ENOMEM;
}

int cloudinit_print(json_object *o, char **ret) {
        return finish(o, CLOUDINIT_HEADER, ret);
}

int cloudinit_user_data(const CloudInit *c, char **ret) {
        _cleanup_json_ json_object *o = json_object_new_object();
        bool ubuntu = c->kind != CLOUDINIT_DEBIAN;
        int r;

        r = check(c);
        if (r >= 0)
                r = json_add_text(o, "hostname", c->hostname);
        if (r >= 0)
                r = json_add(o, "ssh_pwauth", json_object_new_boolean(false));
        if (r >= 0)
                r = add_user(o, c);
        if (r >= 0 && ubuntu && c->end_of_life)
                r = add_sources(o);
        if (r >= 0)
                r = add_packages(o, c);
        if (r >= 0)
                r = cloudinit_add_files(o, c->files, c->n_files);
        if (r >= 0)
                r = add_commands(o, c);
        if (r >= 0 && restarts(c))
                r = add_restart(o);
        return r < 0 ? r : cloudinit_print(o, ret);
}

int cloudinit_meta_data(const CloudInit *c, char **ret) {
        _cleanup_json_ json_object *o = json_object_new_object();
        int r;

        r = check(c);
        if (r >= 0)
                r = json_add_text(o, "instance-id", c->instance_id);
        if (r >= 0)
                r = json_add_text(o, "local-hostname", c->hostname);
        return r < 0 ? r : finish(o, "", ret);
}
