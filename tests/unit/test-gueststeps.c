/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The steps of a guest's setup: which there are, in which order, and what comes with them. */

#include "gueststeps.h"
#include "strv.h"
#include "tests/tap.h"

#define ONE(s)                                  \
        (char *const *) (const char *const[]) { \
                s, NULL                         \
        }

static CloudInitFile *files;
static size_t n_files;

static const char *steps_of(const GuestWish *w) {
        static char text[256];
        const char *l[GUESTSTEPS_MAX];

        *text = '\0';
        gueststeps_list(w, l);
        for (const char **s = l; *s; s++)
                (void) snprintf(strchr(text, '\0'), sizeof(text) - strlen(text), "%s%s", s == l ? "" : " ",
                                *s);
        return text;
}

static void make(const GuestWish *w, const char *api_key, const char *hf_token) {
        gueststeps_free(files, n_files);
        files = NULL;
        n_files = 0;
        ASSERT_EQ(gueststeps_files(w, api_key, hf_token, &files, &n_files), 0);
}

static const CloudInitFile *find(const char *path) {
        for (size_t i = 0; i < n_files; i++)
                if (streq(files[i].path, path))
                        return &files[i];
        return NULL;
}

TEST(steps) {
        GuestWish w = {};

        ASSERT_STREQ(steps_of(&w), "");
        ASSERT(!gueststeps_wanted(&w));
        w.values[GUEST_FIREWALL] = ONE("80");
        w.values[GUEST_CUDA_TOOLKIT] = ONE("12.9");
        ASSERT_STREQ(steps_of(&w), "firewall cuda");
        w = (GuestWish){ .gpu = true };
        w.values[GUEST_CLOCKS] = ONE("5001,1590");
        ASSERT_STREQ(steps_of(&w), "gpu");
        w = (GuestWish){ .llm = true, .gpu = true };
        ASSERT_STREQ(steps_of(&w), "firewall driver gpu cuda ollama vllm engines");
        w.values[GUEST_ENGINE] = ONE("vllm");
        w.values[GUEST_SWAP] = ONE("8G");
        ASSERT_STREQ(steps_of(&w), "firewall swap driver gpu cuda vllm engines");
        w = (GuestWish){ .llm = true };
        w.values[GUEST_OLLAMA_MODELS] = ONE("qwen3:0.6b");
        ASSERT_STREQ(steps_of(&w), "firewall ollama engines models");
}

TEST(a_guest_that_wants_nothing_gets_nothing) {
        make(&(GuestWish){ .gpu = true }, NULL, NULL);
        ASSERT_EQ(n_files, 0);
}

TEST(each_step_needs_the_one_before) {
        make(&(GuestWish){ .llm = true, .gpu = true }, NULL, NULL);
        ASSERT(!find("/etc/systemd/system/gpuvm-setup@firewall.service.d/order.conf"));
        ASSERT_STREQ(find("/etc/systemd/system/gpuvm-setup@vllm.service.d/order.conf")->text,
                     "[Unit]\nRequires=gpuvm-setup@ollama.service\nAfter=gpuvm-setup@ollama.service\n");
        ASSERT(startswith(find("/etc/systemd/system/gpuvm-setup.target.d/steps.conf")->text,
                          "[Unit]\nWants=gpuvm-setup@firewall.service\nWants=gpuvm-setup@driver.service\n"));
}

TEST(an_optional_step_is_tried_and_not_needed) {
        GuestWish w = { .llm = true, .gpu = true };

        w.values[GUEST_MODEL_STORE] = ONE("/srv/models");
        make(&w, NULL, NULL);
        ASSERT_STREQ(find("/etc/systemd/system/gpuvm-setup@driver.service.d/order.conf")->text,
                     "[Unit]\nWants=gpuvm-setup@store.service\nAfter=gpuvm-setup@store.service\n"
                     "Requires=gpuvm-setup@firewall.service\nAfter=gpuvm-setup@firewall.service\n");
        ASSERT_STREQ(find("/etc/systemd/system/gpuvm-setup@vllm.service.d/order.conf")->text,
                     "[Unit]\nWants=gpuvm-setup@store.service\nAfter=gpuvm-setup@store.service\n"
                     "Requires=gpuvm-setup@ollama.service\nAfter=gpuvm-setup@ollama.service\n");
        ASSERT_STREQ(find("/etc/systemd/system/gpuvm-setup@store.service.d/order.conf")->text,
                     "[Unit]\nRequires=gpuvm-setup@firewall.service\nAfter=gpuvm-setup@firewall.service\n");
        w.values[GUEST_FIREWALL] = ONE("off");
        make(&w, NULL, NULL);
        ASSERT_STREQ(find("/etc/systemd/system/gpuvm-setup@driver.service.d/order.conf")->text,
                     "[Unit]\nWants=gpuvm-setup@store.service\nAfter=gpuvm-setup@store.service\n");
}

/* Each step that there can be has its program; programs can be run, what they read and units cannot. */
TEST(programs_and_units) {
        static const char *const steps[] = { "firewall", "swap",   "store", "driver",  "gpu",
                                             "cuda",     "ollama", "vllm",  "engines", "models" };
        char path[128];

        make(&(GuestWish){ .llm = true, .gpu = true }, NULL, NULL);
        for (size_t i = 0; i < ELEMENTSOF(steps); i++) {
                (void) snprintf(path, sizeof(path), "/usr/local/lib/gpuvm-setup/%s.sh", steps[i]);
                ASSERT(find(path));
                ASSERT_EQ(find(path)->mode, 0644);
        }
        ASSERT_EQ(find("/usr/local/lib/gpuvm-setup/step")->mode, 0755);
        ASSERT_EQ(find("/etc/systemd/system/gpuvm-setup@.service")->mode, 0644);
        ASSERT(startswith(find("/usr/local/lib/gpuvm-setup/step")->text, "#!/bin/sh\n"));
        ASSERT(strstr(find("/usr/local/lib/gpuvm-setup/driver.sh")->text,
                      "\\([0-9]*\\(-server\\)\\{0,1\\}\\)"));
        ASSERT(!find("/usr/local/lib/gpuvm-setup/embed"));
}

/* The boot would wait for a model to be loaded, and cloud-init and the steps for the boot. */
TEST(no_boot_waits_for_an_engine) {
        static const char *const units[] = { "/etc/systemd/system/vllm.service",
                                             "/etc/systemd/system/ollama.service" };

        make(&(GuestWish){ .llm = true, .gpu = true }, NULL, NULL);
        for (size_t i = 0; i < ELEMENTSOF(units); i++) {
                ASSERT(strstr(find(units[i])->text, "\nWantedBy=gpuvm-setup.target\n"));
                ASSERT(!strstr(find(units[i])->text, "multi-user.target\n"));
        }
        ASSERT(strstr(find("/etc/systemd/system/gpuvm-setup.target")->text, "\nDefaultDependencies=no\n"));
}

TEST(secrets_are_in_files_that_root_alone_reads) {
        make(&(GuestWish){ .llm = true, .gpu = true }, "key-1234", "hf_5678");
        ASSERT_EQ(find("/etc/credstore/gpuvm.api-key")->mode, 0600);
        ASSERT_STREQ(find("/etc/credstore/gpuvm.hf-token")->text, "hf_5678");
        for (size_t i = 0; i < n_files; i++)
                if (files[i].mode != 0600)
                        ASSERT(!strstr(files[i].text, "key-1234") && !strstr(files[i].text, "hf_5678"));
        make(&(GuestWish){ .llm = true, .gpu = true }, NULL, NULL);
        ASSERT(!find("/etc/credstore/gpuvm.api-key"));
        gueststeps_free(files, n_files);
}
