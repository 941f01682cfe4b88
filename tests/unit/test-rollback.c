/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <signal.h>
#include <sys/file.h>

#include "fs.h"
#include "rollback.h"
#include "tests/tap.h"
#include "tests/tree.h"

static char taken_back[256];

static int note(const Rollback *b, const RollbackStep *s, void *userdata) {
        (void) userdata;
        (void) snprintf(taken_back + strlen(taken_back), sizeof(taken_back) - strlen(taken_back), "%s:%d:%s ",
                        b->name, s->kind, s->object);
        return streq(s->object, "/fails") ? -EIO : 0;
}

TEST(taken_back_from_the_last_to_the_first) {
        int root = tree_new();
        Rollback b = {};

        ASSERT_EQ(rollback_begin(root, "a", &b), 0);
        ASSERT_EQ(rollback_add(&b, ROLLBACK_FILE, "/one"), 0);
        ASSERT_EQ(rollback_add(&b, ROLLBACK_MACHINE, "uuid"), 0);
        ASSERT_EQ(rollback_run(&b, note, NULL), 0);
        ASSERT_STREQ(taken_back, "a:1:uuid a:0:/one ");
        ASSERT_EQ(fs_exists(root, ROLLBACK_DIR "/a"), 0);
}

TEST(what_is_committed_stays) {
        int root = tree_new();
        Rollback b = {};

        ASSERT_EQ(rollback_begin(root, "a", &b), 0);
        ASSERT_EQ(rollback_add(&b, ROLLBACK_FILE, "/one"), 0);
        ASSERT_EQ(rollback_commit(&b), 0);
        ASSERT_EQ(rollback_recover(root, note, NULL), 0);
        ASSERT_STREQ(taken_back, "");
}

TEST(one_at_a_time_by_name) {
        int root = tree_new();
        Rollback a = {}, b = {};

        ASSERT_EQ(rollback_begin(root, "a", &a), 0);
        ASSERT_EQ(rollback_begin(root, "a", &b), -EEXIST);
        ASSERT_EQ(rollback_begin(root, "b", &b), 0);
        ASSERT_EQ(rollback_begin(root, "../b", &b), -EINVAL);
        rollback_done(&a);
        ASSERT_EQ(rollback_begin(root, "a", &a), -EEXIST);
        rollback_done(&b);
}

TEST(who_was_killed_is_taken_back_and_who_works_is_not) {
        int root = tree_new(), status;
        Rollback live = {};
        pid_t pid = fork();

        if (pid == 0) {
                Rollback b = {};

                _exit(rollback_begin(root, "dead", &b) < 0 || rollback_add(&b, ROLLBACK_FILE, "/one") < 0);
        }
        ASSERT(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
        ASSERT_EQ(rollback_begin(root, "live", &live), 0);
        ASSERT_EQ(rollback_add(&live, ROLLBACK_FILE, "/two"), 0);
        ASSERT_EQ(rollback_recover(root, note, NULL), 1);
        ASSERT_STREQ(taken_back, "dead:0:/one ");
        ASSERT_EQ(rollback_recover(root, note, NULL), 0);
        rollback_done(&live);
}

TEST(what_fails_is_tried_again) {
        int root = tree_new();
        Rollback b = {};

        ASSERT_EQ(rollback_begin(root, "a", &b), 0);
        ASSERT_EQ(rollback_add(&b, ROLLBACK_FILE, "/fails"), 0);
        ASSERT_EQ(rollback_add(&b, ROLLBACK_FILE, "/two"), 0);
        ASSERT_EQ(rollback_run(&b, note, NULL), -EIO);
        ASSERT_STREQ(taken_back, "a:0:/two a:0:/fails ");
        ASSERT_EQ(rollback_recover(root, note, NULL), -EIO);
        ASSERT_EQ(fs_exists(root, ROLLBACK_DIR "/a"), 1);
}

static int fail_machine(const Rollback *b, const RollbackStep *s, void *userdata) {
        (void) note(b, s, userdata);
        return s->kind == ROLLBACK_MACHINE ? -ECONNRESET : 0;
}

TEST(the_disk_stays_as_long_as_the_machine_does) {
        int root = tree_new();
        Rollback b = {};

        ASSERT_EQ(rollback_begin(root, "a", &b), 0);
        ASSERT_EQ(rollback_add(&b, ROLLBACK_FILE, "/one"), 0);
        ASSERT_EQ(rollback_add(&b, ROLLBACK_MACHINE, "uuid"), 0);
        ASSERT_EQ(rollback_add(&b, ROLLBACK_UNIT, "u"), 0);
        ASSERT_EQ(rollback_run(&b, fail_machine, NULL), -ECONNRESET);
        ASSERT_STREQ(taken_back, "a:2:u a:1:uuid ");
        ASSERT_EQ(fs_exists(root, ROLLBACK_DIR "/a"), 1);
}

TEST(which_machine_was_cut) {
        int root = tree_new();
        Rollback b = {};

        ASSERT_EQ(rollback_is_cut(root, "a", "uuid"), 0);
        ASSERT_EQ(rollback_begin(root, "a", &b), 0);
        ASSERT_EQ(rollback_add(&b, ROLLBACK_MACHINE, "uuid"), 0);
        ASSERT_EQ(rollback_is_cut(root, "a", "uuid"), 0); /* its maker is at work */
        rollback_done(&b);
        ASSERT_EQ(rollback_is_cut(root, "a", "uuid"), 1);
        ASSERT_EQ(rollback_is_cut(root, "a", "another"), 0);
        ASSERT_EQ(rollback_is_cut(root, "b", "uuid"), 0);
}

/* Whoever takes back what was cut sees a record between its making and its lock. */
TEST(beside_one_who_takes_back) {
        int root = tree_new();
        pid_t pid = fork();

        if (pid == 0)
                for (;;)
                        (void) !rollback_recover(root, note, NULL);
        ASSERT(pid > 0);
        for (unsigned i = 0; i < 300; i++) {
                Rollback b = {};
                int r = rollback_begin(root, "a", &b);

                if (r < 0 || rollback_commit(&b) < 0) {
                        (void) kill(pid, SIGKILL);
                        tap_stop(EXIT_FAILURE, __LINE__, "%d: %d", i, r);
                }
        }
        ASSERT(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid);
}

TEST(claims_of_those_at_work) {
        _cleanup_strv_ char **names = NULL, **addresses = NULL, **macs = NULL, **gpus = NULL, **cpus = NULL;
        int root = tree_new();
        Rollback b = {};

        ASSERT_EQ(rollback_claims(root, &names, &addresses, &macs), 0);
        ASSERT(!names);
        ASSERT_EQ(rollback_begin(root, "a", &b), 0);
        ASSERT_EQ(rollback_add(&b, ROLLBACK_ADDRESS, "192.0.2.7/24"), 0);
        ASSERT_EQ(rollback_add(&b, ROLLBACK_MAC, "52:54:00:01:02:03"), 0);
        ASSERT_EQ(rollback_add(&b, ROLLBACK_GPU, "0000:01:00.0"), 0);
        ASSERT_EQ(rollback_add(&b, ROLLBACK_CPUS, "2,3,18"), 0);
        ASSERT_EQ(rollback_claimed(root, ROLLBACK_CPUS, &cpus), 0);
        ASSERT(strv_length(cpus) == 1 && streq(cpus[0], "2,3,18"));
        ASSERT_EQ(rollback_claimed(root, ROLLBACK_GPU, &gpus), 0);
        ASSERT_EQ(strv_length(gpus), 1);
        ASSERT_STREQ(gpus[0], "0000:01:00.0");
        ASSERT_EQ(rollback_add(&b, ROLLBACK_FILE, "two\nlines"), -EINVAL);
        ASSERT_EQ(rollback_claims(root, &names, &addresses, &macs), 0);
        ASSERT_STREQ(names[0], "a");
        ASSERT_STREQ(addresses[0], "192.0.2.7/24");
        ASSERT_STREQ(macs[0], "52:54:00:01:02:03");
        rollback_done(&b);
}

TEST(one_that_cannot_be_read_is_named) {
        _cleanup_strv_ char **gpus = NULL;
        _cleanup_free_ char *path = NULL;
        int root = tree_new();

        ASSERT_EQ(rollback_find_broken(root, &path), 0);
        tree_put(ROLLBACK_DIR "/a", "file /one\nfile /tw");
        ASSERT_EQ(rollback_find_broken(root, &path), 0);
        tree_put(ROLLBACK_DIR "/b", "nonsense\n");
        tree_put(ROLLBACK_DIR "/c", "gpu 0000:01:00.0\n");
        ASSERT_EQ(rollback_claimed(root, ROLLBACK_GPU, &gpus), -EBADMSG);
        ASSERT_EQ(rollback_recover(root, note, NULL), -EBADMSG);
        ASSERT(strstr(taken_back, "a:0:/one ") && strstr(taken_back, "c:6:0000:01:00.0 ")); /* the others */
        ASSERT_EQ(rollback_find_broken(root, &path), 1);
        ASSERT_STREQ(path, ROLLBACK_DIR "/b");
}

TEST(a_line_that_was_cut_is_no_step) {
        static const char text[] = "file /one\nmachine u\nfile /tw";
        Rollback b = {};

        ASSERT_EQ(rollback_parse(text, strlen(text), &b), 0);
        ASSERT_EQ(b.n, 2);
        ASSERT_STREQ(b.steps[1].object, "u");
        rollback_done(&b);
        ASSERT_EQ(rollback_parse("file relative\n", 14, &b), -EBADMSG);
        ASSERT_EQ(rollback_parse("nonsense\n", 9, &b), -EBADMSG);
        ASSERT_EQ(rollback_parse("file \n", 6, &b), -EBADMSG);
        ASSERT_EQ(b.n, 0);
}
