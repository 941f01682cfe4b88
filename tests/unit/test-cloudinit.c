/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cloudinit.h"
#include "json.h"
#include "tests/tap.h"

#define KEY "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHVzZWxlc3NrZXlmb3J0ZXN0c29ubHl4eHg= me@here"

static const CloudInit base = {
        .kind = CLOUDINIT_UBUNTU_DESKTOP,
        .hostname = "ubuntu-desktop-01",
        .instance_id = "f3a1c2d4-0f5e-4b7a-9c3d-1e2f3a4b5c6d",
        .user = "user",
        .ssh_keys = (const char *const[]){ KEY, NULL },
};

/* The value at keys and indices, as JSON; "" if there is none. */
static const char *at(json_object *o, const char *path) {
        char copy[128], *save = NULL;

        (void) snprintf(copy, sizeof(copy), "%s", path);
        for (char *key = strtok_r(copy, "/", &save); key && o; key = strtok_r(NULL, "/", &save))
                if (json_object_is_type(o, json_type_array))
                        o = json_object_array_get_idx(o, (size_t) atoi(key));
                else if (!json_object_object_get_ex(o, key, &o))
                        o = NULL;
        return o ? json_object_to_json_string_ext(o, JSON_C_TO_STRING_NOSLASHESCAPE) : "";
}

static json_object *make(const CloudInit *c) {
        _cleanup_free_ char *text = NULL;
        const char *body;
        json_object *o;

        ASSERT_EQ(cloudinit_user_data(c, &text), 0);
        body = startswith(text, "#cloud-config\n");
        ASSERT(body);
        ASSERT_EQ(text[strlen(text) - 1], '\n');
        o = json_tokener_parse(body);
        ASSERT(o);
        return o;
}

TEST(keys_and_no_passwords) {
        _cleanup_json_ json_object *o = make(&base);

        ASSERT_STREQ(at(o, "ssh_pwauth"), "false");
        ASSERT_STREQ(at(o, "users/0/name"), "\"user\"");
        ASSERT_STREQ(at(o, "users/0/lock_passwd"), "true");
        ASSERT_STREQ(at(o, "users/0/ssh_authorized_keys"), "[\"" KEY "\"]");
        ASSERT_STREQ(at(o, "users/1"), "");
        ASSERT_STREQ(at(o, "users/0/passwd"), "");
        ASSERT_STREQ(at(o, "hostname"), "\"ubuntu-desktop-01\"");
}

TEST(a_desktop_with_a_gpu) {
        CloudInit c = base;

        c.gpu = true;
        {
                _cleanup_json_ json_object *o = make(&c);

                ASSERT_STREQ(at(o, "packages"),
                             "[\"qemu-guest-agent\",\"ubuntu-desktop-minimal\",\"ubuntu-drivers-common\"]");
                ASSERT_STREQ(at(o, "runcmd/0"),
                             "[\"systemctl\",\"enable\",\"--now\",\"qemu-guest-agent.service\"]");
                ASSERT_STREQ(at(o, "runcmd/1"), "[\"systemctl\",\"set-default\",\"graphical.target\"]");
                ASSERT_STREQ(at(o, "runcmd/2"), "[\"ubuntu-drivers\",\"install\"]");
                ASSERT_STREQ(at(o, "power_state/mode"), "\"reboot\"");
                ASSERT_STREQ(at(o, "apt"), "");
        }
}

TEST(a_server_with_a_gpu_has_the_drivers_for_computing) {
        CloudInit c = base;

        c.kind = CLOUDINIT_UBUNTU_SERVER;
        c.gpu = true;
        c.end_of_life = true;
        {
                _cleanup_json_ json_object *o = make(&c);

                ASSERT_STREQ(at(o, "packages"), "[\"qemu-guest-agent\",\"ubuntu-drivers-common\"]");
                ASSERT_STREQ(at(o, "runcmd/1"), "[\"ubuntu-drivers\",\"install\",\"--gpgpu\"]");
                ASSERT_STREQ(at(o, "apt/primary"),
                             "[{\"arches\":[\"default\"],\"uri\":\"http://old-releases.ubuntu.com/ubuntu\"}]");
        }
}

TEST(debian_gets_the_agent) {
        CloudInit c = base;

        c.kind = CLOUDINIT_DEBIAN;
        c.gpu = c.end_of_life = true;
        {
                _cleanup_json_ json_object *o = make(&c);

                ASSERT_STREQ(at(o, "packages"), "[\"qemu-guest-agent\"]");
                ASSERT_STREQ(at(o, "runcmd/1"), "");
                ASSERT_STREQ(at(o, "power_state"), "");
                ASSERT_STREQ(at(o, "apt"), "");
        }
}

TEST(packages_and_files) {
        CloudInitFile file = { (char *) "/etc/x", (char *) "a \"b\"\n", 0600 };
        CloudInit c = base;

        c.kind = CLOUDINIT_UBUNTU_SERVER;
        c.packages = (char *const *) (const char *const[]){ "vim", "curl=8.5.0-2", NULL };
        c.files = &file;
        c.n_files = 1;
        c.setup = true;
        {
                _cleanup_json_ json_object *o = make(&c);

                ASSERT_STREQ(at(o, "packages"), "[\"qemu-guest-agent\",\"vim\",[\"curl\",\"8.5.0-2\"]]");
                ASSERT_STREQ(at(o, "write_files/0/permissions"), "\"0600\"");
                ASSERT_STREQ(at(o, "write_files/0/content"), "\"a \\\"b\\\"\\n\"");
                ASSERT_STREQ(at(o, "runcmd/2"), "[\"systemctl\",\"enable\",\"gpuvm-setup.target\"]");
                ASSERT_STREQ(at(o, "runcmd/3"),
                             "[\"systemctl\",\"start\",\"--no-block\",\"gpuvm-setup.target\"]");
        }
        c.gpu = true; /* restarts first */
        {
                _cleanup_json_ json_object *o = make(&c);

                ASSERT_STREQ(at(o, "runcmd/3"), "[\"systemctl\",\"enable\",\"gpuvm-setup.target\"]");
                ASSERT_STREQ(at(o, "runcmd/4"), "");
        }
}

TEST(meta_data) {
        _cleanup_free_ char *text = NULL;
        _cleanup_json_ json_object *o = NULL;

        ASSERT_EQ(cloudinit_meta_data(&base, &text), 0);
        o = json_tokener_parse(text);
        ASSERT_STREQ(at(o, "instance-id"), "\"f3a1c2d4-0f5e-4b7a-9c3d-1e2f3a4b5c6d\"");
        ASSERT_STREQ(at(o, "local-hostname"), "\"ubuntu-desktop-01\"");
}

TEST(names_that_are_none) {
        static const char *const users[] = { "",     "root", "nobody",
                                             "0day", "Me",   "a b",
                                             "a:b",  "-x",   "abcdefghijklmnopqrstuvwxyzabcdefg" };
        static const char *const hosts[] = { "", "-a", "a-", "a.b", "a_b", "a\nb" };

        for (size_t i = 0; i < ELEMENTSOF(users); i++)
                ASSERT_EQ(cloudinit_check_user(users[i]), -EINVAL);
        for (size_t i = 0; i < ELEMENTSOF(hosts); i++)
                ASSERT_EQ(cloudinit_check_hostname(hosts[i]), -EINVAL);
        ASSERT_EQ(cloudinit_check_user("_a-1"), 0);
        ASSERT_EQ(cloudinit_check_hostname("talos-01"), 0);
}

TEST(keys_that_are_none) {
        static const char *const bad[] = {
                "",
                "ssh-ed25519",
                "ssh-ed25519 short",
                "command=\"x\" " KEY,
                "-----BEGIN OPENSSH PRIVATE KEY-----",
                KEY "\n" KEY,
                KEY "\x01",
                KEY " J\xf6rg",
                KEY " J\xc3\xb6rg",
                KEY "\xc2\x85",
                "ssh-dss AAAAC3NzaC1lZDI1NTE5AAAAIHVzZWxlc3NrZXlmb3J0ZXN0c29ubHl4eHg=",
        };
        CloudInit c = base;
        char *text = NULL;

        ASSERT_EQ(cloudinit_check_ssh_key(KEY), 0);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                ASSERT_EQ(cloudinit_check_ssh_key(bad[i]), -EINVAL);
                c.ssh_keys = (const char *const[]){ KEY, bad[i], NULL };
                ASSERT_EQ(cloudinit_user_data(&c, &text), -EINVAL);
        }
        c.ssh_keys = (const char *const[]){ NULL };
        ASSERT_EQ(cloudinit_user_data(&c, &text), -EINVAL);
}

/* A comment tells who it is, and is not worth a guest that nobody can enter. */
TEST(a_comment_that_is_not_ascii_is_dropped) {
        static const char bare[] = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHVzZWxlc3NrZXlmb3J0ZXN0c29ubHl4eHg=";
        static const struct {
                const char *line, *key;
        } cases[] = {
                { KEY, KEY },
                { KEY " at home", KEY " at home" },
                { KEY " J\xf6rg", bare },
                { KEY " J\xc3\xb6rg", bare },
                { KEY "\xc2\x85", bare },
                { bare, bare },
        };
        char *key = NULL;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ char *got = NULL;

                ASSERT_EQ(cloudinit_take_ssh_key(cases[i].line, &got), 0);
                ASSERT_STREQ(got, cases[i].key);
                ASSERT_EQ(cloudinit_check_ssh_key(got), 0);
        }
        ASSERT_EQ(cloudinit_take_ssh_key(KEY "\n" KEY, &key), -EINVAL);
        ASSERT_EQ(cloudinit_take_ssh_key("ssh-ed25519 short \xf6", &key), -EINVAL);
}
