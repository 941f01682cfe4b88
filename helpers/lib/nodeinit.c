/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "nodeinit.h"
#include "fs.h"
#include "ini.h"
#include "json.h"

bool nodeinit_is_text(const char *join, size_t size) {
        /* DEL, line and paragraph separators, which YAML would fold, and two that are no characters. */
        static const char *const bad[] = { "\x7f", "\xe2\x80\xa8", "\xe2\x80\xa9", "\xef\xbf\xbe",
                                           "\xef\xbf\xbf" };

        if (strlen(join) != size || !ini_is_utf8(join, size))
                return false;
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                if (strstr(join, bad[i]))
                        return false;
        for (const char *c = join; (c = strchr(c, 0xc2)); c++)
                if ((unsigned char) c[1] < 0xa0) /* C1 */
                        return false;
        return true;
}

NodeJoin nodeinit_kind(const char *join) {
        if (startswith(join, "#!") || startswith(join, "kubeadm join "))
                return NODE_JOIN_RUN;
        return startswith(join, "apiVersion: kubeadm.k8s.io/") ||
                                        startswith(join, "---\napiVersion: kubeadm.k8s.io/")
                        ? NODE_JOIN_KUBEADM
                        : NODE_JOIN_KEEP;
}

/* One line of a shell's: a failure of it holds nothing else up. */
static int add_command(json_object *commands, const char *line) {
        return json_append(commands, json_new_list((const char *const[]){ "sh", "-c", line, NULL }));
}

static int add_commands(json_object *o, const CloudInit *c, const char *join) {
        static const char *const joins[] = {
                [NODE_JOIN_KEEP] = NULL,
                [NODE_JOIN_RUN] = "if head -c 2 " NODEINIT_JOIN " | grep -q '#!'; then " NODEINIT_JOIN
                                  "; else sh " NODEINIT_JOIN "; fi",
                [NODE_JOIN_KUBEADM] = "kubeadm join --config " NODEINIT_JOIN,
        };
        const char *line = join ? joins[nodeinit_kind(join)] : NULL;
        json_object *commands = c->setup ? json_object_get(json_member(o, "runcmd", json_type_array))
                                         : json_object_new_array();
        int r;

        r = add_command(commands,
                        "for u in qemu-guest-agent nvidia-persistenced containerd dcgm-exporter; do "
                        "systemctl cat $u >/dev/null 2>&1 && systemctl enable --now $u; done; true");
        if (r >= 0 && c->gpu)
                r = add_command(commands,
                                "systemctl -q is-active nvidia-persistenced || nvidia-smi -pm 1 || "
                                "echo 'gpuvm: the GPU does not answer yet'");
        if (r >= 0 && line)
                r = add_command(commands, line);
        return json_add(o, "runcmd", commands) < 0 ? -ENOMEM : r;
}

/* Also what it joins with. */
static CloudInitFile *files_of(const CloudInit *c, const char *join) {
        CloudInitFile *files = calloc(c->n_files + 1, sizeof(*files));

        if (!files)
                return NULL;
        for (size_t i = 0; i < c->n_files; i++)
                files[i] = c->files[i];
        files[c->n_files] = (CloudInitFile){ .path = (char *) NODEINIT_JOIN,
                                             .text = (char *) join,
                                             .mode = join && startswith(join, "#!") ? 0700 : 0600 };
        return files;
}

int nodeinit_user_data(const CloudInit *c, const char *join, char **ret) {
        _cleanup_json_ json_object *o = NULL;
        _cleanup_free_ CloudInitFile *files = files_of(c, join);
        _cleanup_free_ char *text = NULL;
        CloudInit guest = *c;
        int r;

        if (!files)
                return -ENOMEM;
        guest.kind = CLOUDINIT_DEBIAN;
        guest.files = files;
        guest.n_files += join != NULL;
        r = cloudinit_user_data(&guest, &text);
        if (r < 0)
                return r;
        o = json_tokener_parse(text + strlen(CLOUDINIT_HEADER));
        if (!o)
                return -ENOMEM;
        /* All it needs is in its image, and it may have no way to an archive, unless somebody asks for more.
         */
        if (!c->packages) {
                (void) json_object_object_del(o, "packages");
                (void) json_object_object_del(o, "package_update");
        }
        r = add_commands(o, c, join);
        return r < 0 ? r : cloudinit_print(o, ret);
}
