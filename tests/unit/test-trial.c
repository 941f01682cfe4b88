/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Trial: what the state says, when a trial counts as what, and the entries of both loaders. */

#include "entrytrial.h"
#include "grubenv.h"
#include "grubtrial.h"
#include "strv.h"
#include "tests/tree.h"
#include "trial.h"

#define BOOT_1 "11111111-1111-4111-8111-111111111111"
#define BOOT_2 "22222222-2222-4222-8222-222222222222"

static int parse(const char *text, Trial *ret) {
        return trial_parse(text, strlen(text), ret);
}

TEST(state_comes_back) {
        for (int stage = TRIAL_STAGE_MAKING; stage <= TRIAL_STAGE_OFFLINE; stage++)
                for (int with = 0; with < 4; with++) {
                        Trial t = { .stage = (TrialStage) stage,
                                    .boot_id = (char *) BOOT_1,
                                    .off = with & 1 ? (char *) "iommu=off" : NULL,
                                    .network = with & 2 };
                        _cleanup_(trial_done) Trial again = {};
                        _cleanup_free_ char *text = NULL;

                        ASSERT_EQ(trial_format(&t, &text), 0);
                        ASSERT_EQ(parse(text, &again), 0);
                        ASSERT_EQ(again.stage, t.stage);
                        ASSERT_STREQ(again.boot_id, BOOT_1);
                        ASSERT(streq_ptr(again.off, t.off));
                        ASSERT_EQ(again.network, t.network);
                }
}

TEST(state_is_strict) {
        static const char *const bad[] = {
                "",
                "gpuvm-trial 1\nboot " BOOT_1 "\nstage ready\nend",
                "gpuvm-trial 2\nboot " BOOT_1 "\nstage ready\nend\n",
                "gpuvm-trial 1\nboot 1\nstage ready\nend\n",
                "gpuvm-trial 1\nboot " BOOT_1 "\nstage readily\nend\n",
                "gpuvm-trial 1\nboot " BOOT_1 "\nstage ready\n",
                "gpuvm-trial 1\nboot " BOOT_1 "\nstage ready\noff \nend\n",
                "gpuvm-trial 1\nboot " BOOT_1 "\nstage ready\noff a b\nend\n",
                "gpuvm-trial 1\nboot " BOOT_1 "\nstage ready\non a\nend\n",
                "gpuvm-trial 1\nboot " BOOT_1 "\nstage ready\noff a\nmore\nend\n",
                "gpuvm-trial 1\nboot " BOOT_1 "\nstage ready\nnetwork\noff a\nend\n",
                "gpuvm-trial 1\nboot " BOOT_1 "\nstage ready\noff a\nnetwork\nmore\nend\n",
                "gpuvm-trial 1\nboot " BOOT_1 "\nstage ready\noff a\noff a\nnetwork\nend\n",
        };
        Trial t = {};

        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                ASSERT_EQ(parse(bad[i], &t), -EBADMSG);
        ASSERT_EQ(trial_parse("gpuvm-trial 1\nboot " BOOT_1 "\nstage ready\nend\n\0\n", 70, &t), -EBADMSG);
}

static TrialVerdict judge(TrialStage stage, const char *boot, bool running, bool armed) {
        static char *const trial[] = { (char *) "ro", (char *) "gpuvm.trial=" BOOT_1, NULL };
        static char *const old[] = { (char *) "ro", NULL };
        Trial t = { .stage = stage, .boot_id = (char *) BOOT_1 };

        return trial_judge(&t, boot, running ? trial : old, armed);
}

TEST(verdicts) {
        const Trial none = {};
        char *const trial[] = { (char *) "gpuvm.trial=x", NULL };

        ASSERT_EQ(trial_judge(&none, BOOT_1, NULL, false), TRIAL_NONE);
        ASSERT_EQ(trial_judge(&none, BOOT_1, NULL, true), TRIAL_NONE);
        ASSERT_EQ(trial_judge(&none, BOOT_1, trial, false), TRIAL_RUNNING);

        ASSERT_EQ(judge(TRIAL_STAGE_MAKING, BOOT_1, false, true), TRIAL_NONE);
        ASSERT_EQ(judge(TRIAL_STAGE_MAKING, BOOT_2, false, false), TRIAL_NONE);
        ASSERT_EQ(judge(TRIAL_STAGE_MAKING, BOOT_2, true, false), TRIAL_RUNNING);
        ASSERT_EQ(judge(TRIAL_STAGE_READY, BOOT_1, false, true), TRIAL_PENDING);
        ASSERT_EQ(judge(TRIAL_STAGE_READY, BOOT_1, false, false), TRIAL_NONE);
        ASSERT_EQ(judge(TRIAL_STAGE_READY, BOOT_1, true, true), TRIAL_PENDING);
        ASSERT_EQ(judge(TRIAL_STAGE_READY, BOOT_2, true, false), TRIAL_RUNNING);
        ASSERT_EQ(judge(TRIAL_STAGE_READY, BOOT_2, false, true), TRIAL_PENDING);
        ASSERT_EQ(judge(TRIAL_STAGE_READY, BOOT_2, false, false), TRIAL_LOST);
        ASSERT_EQ(judge(TRIAL_STAGE_UP, BOOT_2, true, false), TRIAL_RUNNING);
        ASSERT_EQ(judge(TRIAL_STAGE_UP, BOOT_2, false, false), TRIAL_NONE);
        ASSERT_EQ(judge(TRIAL_STAGE_GOOD, BOOT_2, false, false), TRIAL_GOOD);
        ASSERT_EQ(judge(TRIAL_STAGE_GOOD, BOOT_2, true, false), TRIAL_GOOD);
        ASSERT_EQ(judge(TRIAL_STAGE_LOST, BOOT_2, false, false), TRIAL_FAILED);
        ASSERT_EQ(judge(TRIAL_STAGE_USELESS, BOOT_2, true, false), TRIAL_FAILED);
        ASSERT_EQ(judge(TRIAL_STAGE_OFFLINE, BOOT_2, true, false), TRIAL_RUNNING);
        ASSERT_EQ(judge(TRIAL_STAGE_OFFLINE, BOOT_2, false, false), TRIAL_FAILED);
}

static void save(int root, TrialStage stage) {
        ASSERT_EQ(trial_save(root, &(Trial){ .stage = stage, .boot_id = (char *) BOOT_1 }), 0);
}

static TrialStage saved(int root) {
        _cleanup_(trial_done) Trial t = {};

        ASSERT_EQ(trial_load(root, &t), 1);
        return t.stage;
}

TEST(notes_the_boot) {
        int root = tree_new();

        tree_put("/proc/cmdline", "ro gpuvm.trial=" BOOT_1 "\n");
        tree_put("/proc/sys/kernel/random/boot_id", BOOT_2 "\n");
        ASSERT_EQ(trial_note_boot(root), 0);
        ASSERT_EQ(fs_exists(root, TRIAL_PATH), 0);
        save(root, TRIAL_STAGE_READY);
        ASSERT_EQ(trial_note_boot(root), 0);
        ASSERT_EQ(saved(root), TRIAL_STAGE_UP);
        save(root, TRIAL_STAGE_GOOD);
        ASSERT_EQ(trial_note_boot(root), 0);
        ASSERT_EQ(saved(root), TRIAL_STAGE_GOOD);
        save(root, TRIAL_STAGE_LOST);
        ASSERT_EQ(trial_note_boot(root), 1);
        save(root, TRIAL_STAGE_OFFLINE);
        ASSERT_EQ(trial_note_boot(root), 1);
        save(root, TRIAL_STAGE_READY);
        tree_put("/proc/cmdline", "ro\n");
        ASSERT_EQ(trial_note_boot(root), 0);
        ASSERT_EQ(saved(root), TRIAL_STAGE_READY);
        tree_put(TRIAL_PATH, "x\n");
        ASSERT_EQ(trial_note_boot(root), -EBADMSG);
}

/* As grub-mkconfig of grub-common 2.06 writes it. */
#define HEADER                                                                                            \
        "### BEGIN /etc/grub.d/00_header ###\nif [ -s $prefix/grubenv ]; then\n  set have_grubenv=true\n" \
        "  load_env\nfi\nif [ \"${next_entry}\" ] ; then\n   set default=\"${next_entry}\"\n   set "      \
        "next_entry=\n   save_env next_entry\n   set boot_once=true\nelse\n   set default=\"%s\"\nfi\n"   \
        "### END /etc/grub.d/00_header ###\n"
#define ENTRY(title, kernel)                                                                                 \
        "menuentry '" title "' --class debian --unrestricted $menuentry_id_option 'gnulinux' {\n"            \
        "\tload_video\n\tsavedefault\n\tinitrdfail\n\tif [ x$grub_platform = xxen ]; then insmod xzio; fi\n" \
        "\techo\t'Loading Linux ...'\n\tlinux\t/boot/vmlinuz-" kernel " root=UUID=1 ro  quiet\n"             \
        "\tinitrd\t/boot/ucode.img /boot/initrd.img-" kernel "\n}\n"
#define CUSTOM                                                                                   \
        "### BEGIN /etc/grub.d/41_custom ###\nif [ -f  ${config_directory}/custom.cfg ]; then\n" \
        "  source ${config_directory}/custom.cfg\nfi\n### END /etc/grub.d/41_custom ###\n"

static char *menu(const char *default_entry) {
        char *text = NULL;

        ASSERT_EQ(str_printf(&text,
                             HEADER "### BEGIN /etc/grub.d/05_other ###\n" ENTRY("Other", "5") "%s%s" CUSTOM,
                             default_entry,
                             "### BEGIN /etc/grub.d/10_linux ###\n" ENTRY(
                                             "Debian", "6.2") "submenu 'Advanced' {\n" ENTRY("Debian, 6.2",
                                                                                             "6.2"),
                             ENTRY("Debian, 6.1 (recovery mode)", "6.1")
                                             ENTRY("Debian, 6.1",
                                                   "6.1") "}\n### END /etc/grub.d/10_linux ###\n"),
                  0);
        return text;
}

static const TrialWish wish = { .firmware = "intel", .running = "/boot/vmlinuz-6.1", .boot_id = BOOT_1 };

TEST(grub_entry) {
        _cleanup_free_ char *cfg = menu("0"), *reason = NULL;
        _cleanup_(grubtrial_done) GrubTrial t = {};

        ASSERT_EQ(grubtrial_make(cfg, &wish, ".own", &t, &reason), 0);
        ASSERT_STREQ(t.kernel, "6.2");
        ASSERT_STREQ(t.image, "/boot/initrd.img-6.2");
        ASSERT_STREQ(t.block,
                     "# gpuvm trial begins here; 'gpuvm-undo iommu' takes it away.\n"
                     "if [ \"${default}\" = \"gpuvm-trial\" ]; then\nset fallback=\"0\"\n"
                     "menuentry 'Trial of gpuvm' --id 'gpuvm-trial' --unrestricted {\n"
                     "\tload_video\n\tif [ x$grub_platform = xxen ]; then insmod xzio; fi\n"
                     "\techo\t'Loading Linux ...'\n"
                     "\tlinux\t/boot/vmlinuz-6.2 root=UUID=1 ro quiet intel_iommu=on iommu=pt panic=10 "
                     "gpuvm.trial=" BOOT_1 "\n\tinitrd\t/boot/ucode.img /boot/initrd.img-6.2.own\n}\nfi\n"
                     "# gpuvm trial ends here\n");
}

TEST(grub_entry_of_the_running_kernel) {
        _cleanup_free_ char *cfg = menu("${saved_entry}"), *reason = NULL;
        _cleanup_(grubtrial_done) GrubTrial t = {};

        ASSERT_EQ(grubtrial_make(cfg, &wish, "", &t, &reason), 0);
        ASSERT_STREQ(t.kernel, "6.1");
        ASSERT(!strstr(t.block, "recovery"));
        ASSERT(strstr(t.block, "/boot/initrd.img-6.1\n"));
}

/* Without one of the lines that carry a start once there is none. */
TEST(grub_needs_its_code) {
        static const char *const parts[] = { "load_env", "set default=\"${next_entry}\"",
                                             "save_env next_entry", "source ${config_directory}/custom.cfg",
                                             "/etc/grub.d/10_linux" };

        for (size_t i = 0; i < ELEMENTSOF(parts); i++) {
                _cleanup_free_ char *cfg = menu("0"), *reason = NULL;
                _cleanup_(grubtrial_done) GrubTrial t = {};
                char *at = strstr(cfg, parts[i]);

                ASSERT(at);
                memset(at, '#', strlen(parts[i]));
                ASSERT_EQ(grubtrial_make(cfg, &wish, "", &t, &reason), 1);
                ASSERT(strstr(reason, "the boot menu"));
        }
}

TEST(grub_off) {
        static const TrialWish taken = { .firmware = "intel",
                                         .override = true,
                                         .running = "/boot/vmlinuz-6.1",
                                         .boot_id = BOOT_1 };
        _cleanup_free_ char *cfg = menu("0"), *reason = NULL;
        _cleanup_(grubtrial_done) GrubTrial t = {};

        for (char *at = cfg; (at = strstr(at, "ro  quiet"));)
                memcpy(at, "iommu=off", 9);
        ASSERT_EQ(grubtrial_make(cfg, &wish, "", &t, &reason), -EPERM);
        ASSERT_EQ(grubtrial_make(cfg, &taken, "", &t, &reason), 0);
        ASSERT(!strstr(t.block, "iommu=off"));
}

TEST(custom_cfg_keeps_its_bytes) {
        static const char *const texts[] = { "", "set a=1\n", "set a=1", "\n\n# b\n" };
        static const char block[] = "# gpuvm trial begins here\nx\n# gpuvm trial ends here\n";

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                _cleanup_free_ char *with = NULL, *twice = NULL, *without = NULL;

                ASSERT_EQ(grubtrial_edit(texts[i], block, &with), 0);
                ASSERT(strstr(with, block));
                ASSERT_EQ(grubtrial_edit(with, block, &twice), 0);
                ASSERT_STREQ(twice, with);
                ASSERT_EQ(grubtrial_edit(with, NULL, &without), 0);
                ASSERT_STREQ(without, texts[i]);
        }
}

TEST(half_a_block_stays) {
        static const char half[] = "set a=1\n# gpuvm trial begins here\nx\nset b=2\n";
        static const char block[] = "# gpuvm trial begins here\ny\n# gpuvm trial ends here\n";
        _cleanup_free_ char *without = NULL, *with = NULL, *again = NULL, *text = NULL;

        ASSERT_EQ(grubtrial_edit(half, NULL, &without), 0);
        ASSERT_STREQ(without, half);
        ASSERT_EQ(grubtrial_edit(half, block, &with), 0);
        ASSERT_EQ(grubtrial_edit(with, NULL, &again), 0);
        ASSERT_STREQ(again, half);
        /* The end of a later one is not its end. */
        ASSERT_EQ(str_printf(&text, "%s%s", half, block), 0);
        free(again);
        ASSERT_EQ(grubtrial_edit(text, NULL, &again), 0);
        ASSERT_STREQ(again, half);
}

TEST(environment_block) {
        char block[1024];
        _cleanup_free_ char *value = NULL;

        memset(block, '#', sizeof(block));
        memcpy(block, "# GRUB Environment Block\nnext_entry=\nsaved_entry=a b\nnext=1\n", 60);
        ASSERT_EQ(grubenv_get(block, sizeof(block), "saved_entry", &value), 0);
        ASSERT_STREQ(value, "a b");
        free(TAKE_PTR(value));
        ASSERT_EQ(grubenv_get(block, sizeof(block), "next_entry", &value), 0);
        ASSERT_STREQ(value, "");
        free(TAKE_PTR(value));
        ASSERT_EQ(grubenv_get(block, sizeof(block), "entry", &value), -ENOENT);
        ASSERT_EQ(grubenv_get(block, sizeof(block) - 1, "next", &value), -EBADMSG);
        block[0] = 'x';
        ASSERT_EQ(grubenv_get(block, sizeof(block), "next", &value), -EBADMSG);
}

#define LOADER_ENTRY \
        "title Debian\nversion 6.1\n%soptions root=UUID=1 ro\noptions quiet\nlinux /t/6.1/linux\n%s"

TEST(loader_entry) {
        _cleanup_free_ char *text = NULL, *entry = NULL, *reason = NULL;

        ASSERT_EQ(str_printf(&text, LOADER_ENTRY, "sort-key debian\n",
                             "initrd /ucode\ninitrd /t/6.1/initrd.img-6.1"),
                  0);
        ASSERT_EQ(entrytrial_edit(text, &wish, ".own", &entry, &reason), 0);
        ASSERT_STREQ(entry,
                     "title Trial of gpuvm\nversion 6.1\nsort-key zz-gpuvm-trial\noptions root=UUID=1 ro\n"
                     "options quiet intel_iommu=on iommu=pt\nlinux /t/6.1/linux\ninitrd /ucode\n"
                     "initrd /t/6.1/initrd.img-6.1.own\noptions panic=10 gpuvm.trial=" BOOT_1 "\n");
}

TEST(loader_entry_that_will_not_do) {
        _cleanup_free_ char *unsorted = NULL, *imageless = NULL, *entry = NULL, *reason = NULL;

        ASSERT_EQ(str_printf(&unsorted, LOADER_ENTRY, "", "initrd /t/6.1/initrd.img-6.1\n"), 0);
        ASSERT_EQ(entrytrial_edit(unsorted, &wish, "", &entry, &reason), 1);
        ASSERT(strstr(reason, "sort-key"));
        free(TAKE_PTR(reason));
        ASSERT_EQ(str_printf(&imageless, LOADER_ENTRY, "sort-key debian\n", ""), 0);
        ASSERT_EQ(entrytrial_edit(imageless, &wish, "", &entry, &reason), 1);
        ASSERT(strstr(reason, "initramfs"));
}
