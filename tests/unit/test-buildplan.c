/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What an image is to have, what its guest is told, and what is believed of its answer. */

#include "buildinit.h"
#include "imagebuilt.h"
#include "imagecache.h"
#include "strv.h"
#include "tests/tap.h"
#include "tests/tree.h"

static const NvidiaGpu volta = { .name = "of this host", .device = 0x1db4 };
static const NvidiaGpu blackwell = { .name = "of this host", .device = 0x2d04 };

/* The plan in one line, or what is wrong. */
static const char *plan(BuildWant w) {
        static char text[1024];
        _cleanup_(buildplan_done) BuildPlan p = {};
        _cleanup_free_ char *said = NULL, *packages = NULL, *driver = NULL;
        int r;

        w.name = w.name ?: "x";
        w.arch = w.arch ?: "amd64";
        r = buildplan_make(&w, &p, &said);
        if (r < 0) {
                (void) snprintf(text, sizeof(text), "%d %s", r, strempty(said));
                return text;
        }
        packages = strv_join(p.packages, " ");
        driver = strv_join(p.driver, " ");
        (void) snprintf(text, sizeof(text), "%s %s %llu|%s|%s %s|%s", image_kind_to_string(p.base->kind),
                        p.base->version, (unsigned long long) (p.size >> 30), packages, p.version ?: "newest",
                        strempty(p.repository), driver);
        return text;
}

#define COMMON "openssh-server cloud-init python3 qemu-guest-agent"

TEST(a_plan_has_what_was_asked_for) {
        char *packages[] = { (char *) "htop, vim=2:9.1", (char *) "vim=2:9.1 tmux", NULL };

        ASSERT_STREQ(plan((BuildWant){ .from = "debian-13" }), "debian 13 30|" COMMON "|newest |");
        ASSERT_STREQ(plan((BuildWant){ .from = "ubuntu-noble", .size = "500G", .packages = packages }),
                     "ubuntu 24.04 500|" COMMON " htop vim=2:9.1 tmux|newest |");
        ASSERT_STREQ(plan((BuildWant){ .from = "debian-13", .size = "3" }),
                     "-22 --size: an image has 4 GiB to 16 TiB, not '3'");
        packages[0] = (char *) "$(reboot)";
        ASSERT_STREQ(plan((BuildWant){ .from = "debian-13", .packages = packages }),
                     "-22 --packages: '$(reboot)' is no name of a package");
        ASSERT_STREQ(plan((BuildWant){ .from = "debian" }),
                     "-22 --from: 'debian' is no base for images; ubuntu-24.04 or debian-13 would be");
}

TEST(names_of_downloads_are_not_for_what_is_built) {
        static const char *const bad[] = { "ubuntu-24.04-amd64", "debian-13-arm64", "debian-trixie-amd64",
                                           "talos-1.11.0-amd64" },
                                 *const good[] = {
                                         "ubuntu-24.04", "ubuntu-24.04-gpu",   "ubuntu-gpu-amd64", "debian",
                                         "amd64",        "debian-13-gpu-amd64"
                                 };

        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                ASSERT(strstr(plan((BuildWant){ .name = bad[i], .from = "debian-13" }),
                              " is what a download is called; take another name"));
        for (size_t i = 0; i < ELEMENTSOF(good); i++)
                ASSERT(startswith(plan((BuildWant){ .name = good[i], .from = "debian-13" }), "debian 13 "));
}

TEST(the_driver_suits_the_hosts_gpus) {
        BuildWant w = { .from = "debian-13", .nvidia = "", .gpus = &blackwell, .n_gpus = 1 };

        ASSERT_STREQ(strchr(plan(w), '|') + 1,
                     COMMON
                     "|newest debian13/x86_64|linux-headers-amd64 nvidia-driver-cuda nvidia-kernel-open-dkms");
        w.arch = "arm64";
        ASSERT(strstr(plan(w), "debian13/sbsa|linux-headers-arm64"));
        w = (BuildWant){ .from = "debian-12", .nvidia = "", .gpus = &volta, .n_gpus = 1, .cuda = true };
        ASSERT(strstr(plan(w),
                      "|580 debian12/x86_64|linux-headers-amd64 nvidia-driver-cuda nvidia-kernel-dkms "
                      "cuda-toolkit-12-9"));
        /* The host's driver, unless another one is asked for. */
        w = (BuildWant){ .from = "ubuntu-24.04", .nvidia = "", .host_driver = "580.95.05" };
        ASSERT(strstr(plan(w), "|580.95.05 ubuntu2404/x86_64|linux-headers-generic libnvidia-compute-580"));
        w.nvidia = "595";
        ASSERT(strstr(plan(w), "|595 ubuntu2404/x86_64|"));
        w.host_driver = "a card of its own";
        w.nvidia = "";
        ASSERT(strstr(plan(w), "|580 ubuntu2404/x86_64|"));
        w.nvidia = "580.";
        ASSERT(startswith(plan(w), "-22 --with-nvidia: '580.' is no version"));
        w = (BuildWant){ .from = "debian-12", .nvidia = "595", .gpus = &volta, .n_gpus = 1 };
        ASSERT(startswith(plan(w), "-22 --with-nvidia: "));
        w = (BuildWant){ .from = "ubuntu-25.10", .nvidia = "" };
        ASSERT(strstr(plan(w), "is not known"));
        w = (BuildWant){ .from = "debian-13", .cuda = true };
        ASSERT(startswith(plan(w), "-22 --with-cuda"));
}

/* A worker of Kubernetes has the driver, and nothing that its operators bring along. */
TEST(the_worker_has_a_recipe_of_its_own) {
        const char *text = plan((BuildWant){ .name = BUILDPLAN_WORKER });

        ASSERT_STREQ(text,
                     "debian 13 30|" COMMON " network-manager curl wget vim htop|newest debian13/x86_64|"
                     "linux-headers-amd64 nvidia-driver-cuda nvidia-kernel-open-dkms");
        ASSERT(!strstr(text, "toolkit") && !strstr(text, "dcgm") && !strstr(text, "kube"));
}

/* The content of a file that the guest gets; NULL: it gets none of that name. */
static const char *file_of(json_object *o, const char *path) {
        for (size_t i = 0; i < json_length(o, "write_files"); i++)
                if (streq(json_text(json_item(o, "write_files", i), "path"), path))
                        return json_text(json_item(o, "write_files", i), "content");
        return NULL;
}

TEST(the_guest_is_told_its_job) {
        _cleanup_(buildplan_done) BuildPlan p = {};
        _cleanup_free_ char *text = NULL, *again = NULL, *verify = NULL, *said = NULL;
        _cleanup_json_ json_object *o = NULL, *v = NULL;

        ASSERT_EQ(buildplan_make(&(BuildWant){ .name = BUILDPLAN_WORKER, .nvidia = "580", .arch = "amd64" },
                                 &p, &said),
                  0);
        ASSERT_EQ(buildinit_user_data(BUILD_JOB_BUILD, &p, &text), 0);
        ASSERT_EQ(buildinit_user_data(BUILD_JOB_BUILD, &p, &again), 0);
        ASSERT_STREQ(text, again);
        ASSERT(startswith(text, "#cloud-config\n"));
        o = json_tokener_parse(strchr(text, '\n'));
        ASSERT_STREQ(file_of(o, "/run/gpuvm/job"),
                     "job=build\npackages='" COMMON " network-manager curl wget vim htop'\n"
                     "driver='linux-headers-amd64 nvidia-driver-cuda nvidia-kernel-open-dkms'\n"
                     "driver_version='580'\n"
                     "repository='https://developer.download.nvidia.com/compute/cuda/repos/debian13/x86_64/'\n"
                     "key_file='8793F200.pub'\nfingerprint='02182E60104FCDC26EAE1B8597A5D4CB8793F200'\n");
        ASSERT(startswith(file_of(o, "/run/gpuvm/run"), "#!/bin/bash\n"));
        ASSERT(strstr(file_of(o, "/run/systemd/system/gpuvm-job.service"), "\nSuccessAction=poweroff\n"));
        ASSERT_EQ(json_length(o, "users"), 0);
        ASSERT_EQ(json_length(o, "runcmd"), 2);

        ASSERT_EQ(buildinit_user_data(BUILD_JOB_VERIFY, &p, &verify), 0);
        v = json_tokener_parse(strchr(verify, '\n'));
        ASSERT(startswith(file_of(v, "/run/gpuvm/job"), "job=verify\ndriver='linux-headers"));
}

static int answer(const char *text, BuildAnswer *ret) {
        return buildinit_answer(text, strlen(text) + 1, ret);
}

TEST(answers_are_taken_for_no_more_than_they_are) {
        _cleanup_(build_answer_done) BuildAnswer a = {};

        ASSERT_EQ(answer(BUILDINIT_BLANK, &a), -ENODATA);
        ASSERT_EQ(answer("", &a), -EBADMSG);
        ASSERT_EQ(answer("{\"result\":\"do", &a), -EBADMSG);
        ASSERT_EQ(answer("{\"result\":\"done\"}", &a), -EBADMSG);
        ASSERT_EQ(answer("{\"result\":\"done\",\"packages\":{\"a\":1}}", &a), -EBADMSG);
        ASSERT_EQ(answer("{\"result\":\"failed\",\"reason\":\"\\u001b[2J\"}", &a), -EBADMSG);
        ASSERT_EQ(buildinit_answer("{\"result\":\"failed\"}", 5, &a), -EBADMSG);
        ASSERT_EQ(answer("{\"result\":\"failed\",\"step\":\"driver\",\"reason\":\"E: no\"}", &a), 0);
        ASSERT(!a.done);
        ASSERT_STREQ(a.step, "driver");
        ASSERT_STREQ(a.reason, "E: no");
        build_answer_done(&a);
        ASSERT_EQ(answer("{\"result\":\"done\",\"kernel\":\"6.12\",\"driver\":\"580\",\"packages\":{\"a\":\"1\"}}",
                         &a),
                  0);
        ASSERT(a.done);
        ASSERT_STREQ(a.driver, "580");
}

TEST(what_is_built_becomes_an_entry) {
        _cleanup_(image_entry_done) ImageEntry base = { .name = strdup("debian-13-amd64"),
                                                        .kind = strdup("debian"),
                                                        .release = strdup("13"),
                                                        .arch = strdup("amd64"),
                                                        .digest = strdup("sha256:00") },
                                               e = {}, found = {};
        BuildAnswer a = { .done = true, .kernel = (char *) "6.12", .driver = (char *) "580.95.05" };
        _cleanup_close_ int cache = -EBADF;
        char one[DIGEST_HEX_MAX], two[DIGEST_HEX_MAX];
        int root = tree_new();

        ASSERT_EQ(imagebuilt_recipe(&base, "x", 1, false, one), 0);
        ASSERT_EQ(imagebuilt_recipe(&base, "x", 1, true, two), 0);
        ASSERT(!streq(one, two));
        cache = imagecache_open(root);
        ASSERT(cache >= 0);
        tree_put(IMAGE_CACHE "/x.part", "an image");
        a.packages = json_tokener_parse("{\"vim\":\"9\"}");
        ASSERT_EQ(imagebuilt_adopt(root, cache,
                                   &(ImageBuilt){ .name = "x",
                                                  .base = &base,
                                                  .answer = &a,
                                                  .recipe = one,
                                                  .part = "x.part",
                                                  .size = 1 << 20 },
                                   &e),
                  0);
        (void) json_object_put(a.packages);
        ASSERT_EQ(fs_exists(root, IMAGE_CACHE "/x.part"), 0);
        ASSERT_EQ(imagecache_find(root, "x", &found), 0);
        ASSERT_STREQ(found.file, e.file);
        ASSERT_STREQ(imagebuilt_recipe_of(&found), one);
        ASSERT(imagebuilt_has_driver(&found));
        ASSERT_STREQ(imagebuilt_recipe_of(&base), "");
        ASSERT_STREQ(json_text(json_member(found.built, "packages", json_type_object), "vim"), "9");
        ASSERT_EQ(imagecache_verify(root, &found, NULL, NULL), 0);
}
