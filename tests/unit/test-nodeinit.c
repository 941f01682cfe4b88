/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a worker of Kubernetes is told at its first boot. */

#include "json.h"
#include "nodeinit.h"
#include "tests/tap.h"

#define KEY "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBzVdKqZ8r3mZJ0C1k7u2f9h1Zx3bqW7yL5oT2vN8pQe ada"

static json_object *told(bool gpu, const char *join) {
        const CloudInit c = { .kind = CLOUDINIT_UBUNTU_DESKTOP,
                              .hostname = "worker-01",
                              .instance_id = "x",
                              .user = "ada",
                              .ssh_keys = (const char *const[]){ KEY, NULL },
                              .gpu = gpu };
        _cleanup_free_ char *text = NULL;

        ASSERT_EQ(nodeinit_user_data(&c, join, &text), 0);
        ASSERT(startswith(text, "#cloud-config\n"));
        return json_tokener_parse(strchr(text, '\n'));
}

/* The line of the n-th command. */
static const char *line(json_object *o, size_t n) {
        return json_object_get_string(json_object_array_get_idx(json_item(o, "runcmd", n), 2));
}

TEST(starts_what_is_there_and_asks_no_archive) {
        _cleanup_json_ json_object *o = told(false, NULL), *g = told(true, NULL);

        ASSERT_STREQ(json_text(o, "hostname"), "worker-01");
        ASSERT_STREQ(json_text(json_item(o, "users", 0), "name"), "ada");
        ASSERT(!json_member(o, "packages", json_type_array));
        ASSERT(!json_object_object_get_ex(o, "package_update", NULL));
        ASSERT_EQ(json_length(o, "runcmd"), 1);
        ASSERT(strstr(line(o, 0), " containerd dcgm-exporter;") && endswith(line(o, 0), "; true"));
        ASSERT_EQ(json_length(g, "runcmd"), 2);
        ASSERT(strstr(line(g, 1), "nvidia-smi -pm 1 || echo"));
        ASSERT_EQ(json_length(o, "write_files"), 0);
}

TEST(hands_over_what_it_joins_with) {
        static const struct {
                const char *text;
                NodeJoin kind;
                const char *mode, *run;
        } cases[] = {
                { "#!/bin/sh\nkubeadm join x\n", NODE_JOIN_RUN, "0700", "then /etc/gpuvm/join; else" },
                { "kubeadm join 192.0.2.1:6443 --token abc\n", NODE_JOIN_RUN, "0600",
                  "else sh /etc/gpuvm/join;" },
                { "apiVersion: kubeadm.k8s.io/v1beta4\nkind: JoinConfiguration\n", NODE_JOIN_KUBEADM, "0600",
                  "kubeadm join --config /etc/gpuvm/join" },
                { "---\napiVersion: kubeadm.k8s.io/v1beta4\n", NODE_JOIN_KUBEADM, "0600", "--config" },
                { "all:\n  hosts:\n", NODE_JOIN_KEEP, "0600", NULL },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_json_ json_object *o = told(false, cases[i].text);
                json_object *file = json_item(o, "write_files", 0);

                ASSERT_EQ(nodeinit_kind(cases[i].text), cases[i].kind);
                ASSERT_STREQ(json_text(file, "path"), NODEINIT_JOIN);
                ASSERT_STREQ(json_text(file, "content"), cases[i].text);
                ASSERT_STREQ(json_text(file, "permissions"), cases[i].mode);
                ASSERT_EQ(json_length(o, "runcmd"), cases[i].run ? 2 : 1);
                ASSERT(!cases[i].run || strstr(line(o, 1), cases[i].run));
                /* Not even the command has it. */
                ASSERT(!cases[i].run || !strstr(line(o, 1), "abc"));
        }
}

/* What else was asked for is not lost. */
TEST(beside_what_sets_the_guest_up) {
        const CloudInitFile file = { .path = (char *) "/etc/gpuvm-setup.conf",
                                     .text = (char *) "A=\"1\"\n",
                                     .mode = 0644 };
        char *packages[] = { (char *) "htop", NULL };
        const CloudInit c = { .hostname = "worker-01",
                              .instance_id = "x",
                              .user = "ada",
                              .ssh_keys = (const char *const[]){ KEY, NULL },
                              .packages = packages,
                              .files = &file,
                              .n_files = 1,
                              .setup = true };
        _cleanup_json_ json_object *o = NULL;
        _cleanup_free_ char *text = NULL;
        const char *commands;

        ASSERT_EQ(nodeinit_user_data(&c, "kubeadm join 192.0.2.1:6443\n", &text), 0);
        o = json_tokener_parse(strchr(text, '\n'));
        ASSERT_EQ(json_length(o, "write_files"), 2);
        ASSERT_STREQ(json_text(json_item(o, "write_files", 0), "path"), file.path);
        ASSERT_STREQ(json_text(json_item(o, "write_files", 1), "path"), NODEINIT_JOIN);
        ASSERT(strstr(json_object_to_json_string(json_member(o, "packages", json_type_array)), "\"htop\""));
        commands = json_object_to_json_string(json_member(o, "runcmd", json_type_array));
        ASSERT(strstr(commands, "gpuvm-setup.target") && strstr(commands, "containerd dcgm-exporter"));
}

TEST(what_cloud_init_would_stumble_over) {
        static const char *const good[] = { "", "kubeadm join\r\n\tx\n",
                                            "# J\xc3\xb6rg \xc2\xa0 \xe2\x82\xac\n", "\xf0\x9f\x98\x80" },
                                 *const bad[] = {
                                         "J\xf6rg",      "a\x7f",        "a\xc2\x85", "a\xc2\x9f",
                                         "\xe2\x80\xa8", "\xef\xbf\xbf", "\xc3",      "\xed\xa0\x80"
                                 };

        for (size_t i = 0; i < ELEMENTSOF(good); i++)
                ASSERT(nodeinit_is_text(good[i], strlen(good[i])));
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                ASSERT(!nodeinit_is_text(bad[i], strlen(bad[i])));
        ASSERT(!nodeinit_is_text("a\0b", 3));
}
