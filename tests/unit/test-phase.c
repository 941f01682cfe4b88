/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "json.h"
#include "phase.h"
#include "stopped.h"
#include "tests/tree.h"

static int arg_result;

static int run(Phase *p, int argc, char *argv[]) {
        int r;

        r = phase_change(p, "write", "/etc/x", "adds \"%s\"", "y");
        if (r < 0)
                return r;
        if (r > 0) {
                r = fs_write_atomic(p->root, "/etc/x", "y", 1, 0644);
                if (r < 0)
                        return r;
        }
        phase_note(p, "seen %d arguments", argc);
        if (arg_result < 0)
                return phase_fail(p, arg_result, "Do this", "Cannot do '%s'", "that");
        return arg_result;
}

static const Helper helper = { .name = "gpuvm-toy", .summary = "A toy.", .run = run };

static int main_with(const char *option) {
        char *argv[] = { (char *) "gpuvm-toy", (char *) "--root", tree_path, (char *) option, NULL };

        int out = dup(STDOUT_FILENO), null = open("/dev/null", O_WRONLY), r;

        /* What a helper says would not be TAP. */
        fflush(stdout);
        ASSERT(out >= 0 && null >= 0 && dup2(null, STDOUT_FILENO) == STDOUT_FILENO);
        optind = 0; /* getopt_long(3) starts anew */
        r = helper_main(&helper, option ? 4 : 3, argv);
        fflush(stdout);
        ASSERT(dup2(out, STDOUT_FILENO) == STDOUT_FILENO);
        close(out);
        close(null);
        return r;
}

static json_object *record(const char *directory) {
        _cleanup_free_ char *path = NULL, *text = NULL;

        ASSERT_EQ(str_printf(&path, "%s/phases/toy.json", directory), 0);
        if (fs_read(tree_root, path, 100000, &text, NULL) < 0)
                return NULL;
        return json_tokener_parse(text);
}

static const char *string_of(json_object *o, const char *key) {
        return json_object_get_string(json_object_object_get(o, key));
}

TEST(a_dry_run_changes_nothing) {
        int root = tree_new();

        ASSERT_EQ(main_with("--dry-run"), 0);
        ASSERT_EQ(fs_exists(root, "/etc"), 0);
        ASSERT_EQ(fs_exists(root, "/run"), 0);
        ASSERT_EQ(fs_exists(root, "/var"), 0);
}

TEST(a_change_is_recorded_for_this_boot_and_the_next) {
        _cleanup_json_ json_object *run_record = NULL, *state_record = NULL;
        json_object *changes;

        (void) tree_new();
        ASSERT_EQ(main_with(NULL), 0);
        run_record = record(RUN_DIR);
        state_record = record(STATE_DIR);
        ASSERT(run_record && state_record);
        ASSERT_STREQ(string_of(run_record, "result"), "ok");
        changes = json_object_object_get(run_record, "changes");
        ASSERT_EQ(json_object_array_length(changes), 1);
        ASSERT_STREQ(string_of(json_object_array_get_idx(changes, 0), "object"), "/etc/x");
        ASSERT_STREQ(string_of(json_object_array_get_idx(changes, 0), "detail"), "adds \"y\"");
}

TEST(what_was_changed_before_a_restart_stays_in_the_record) {
        _cleanup_json_ json_object *first = NULL, *second = NULL, *third = NULL;
        int root = tree_new();

        ASSERT_EQ(fs_write_atomic(root, STATE_DIR "/pending", "", 0, 0600), 0);
        ASSERT_EQ(main_with(NULL), 0);
        first = record(STATE_DIR);
        ASSERT_EQ(json_object_array_length(json_object_object_get(first, "changes")), 1);
        ASSERT_EQ(main_with(NULL), 0);
        second = record(STATE_DIR);
        ASSERT_EQ(json_object_array_length(json_object_object_get(second, "changes")), 2);
        /* The story is over: a new bootstrap starts with an empty page. */
        ASSERT_EQ(fs_remove(root, STATE_DIR "/pending"), 1);
        ASSERT_EQ(main_with(NULL), 0);
        third = record(STATE_DIR);
        ASSERT_EQ(json_object_array_length(json_object_object_get(third, "changes")), 1);
}

TEST(a_failure_is_exit_1_and_told_in_the_record) {
        _cleanup_json_ json_object *run_record = NULL;

        (void) tree_new();
        arg_result = -ENOSPC;
        ASSERT_EQ(main_with(NULL), 1);
        run_record = record(RUN_DIR);
        ASSERT(run_record);
        ASSERT_STREQ(string_of(run_record, "result"), "failed");
        ASSERT_STREQ(string_of(run_record, "failure"), "Cannot do 'that': No space left on device. Do this");
}

TEST(a_failure_is_told_to_who_logs_in_until_it_is_over) {
        _cleanup_free_ char *text = NULL;
        int root = tree_new();

        arg_result = -ENOSPC;
        ASSERT_EQ(main_with("--dry-run"), 1);
        ASSERT_EQ(fs_exists(root, STOPPED_PATH), 0);
        ASSERT_EQ(main_with(NULL), 1);
        ASSERT_EQ(fs_read(root, STOPPED_PATH, FS_FILE_MAX, &text, NULL), 0);
        ASSERT(strstr(text, "phase 'toy':\nCannot do 'that': No space left on device. Do this\n"));
        arg_result = PHASE_REBOOT_NEEDED;
        ASSERT_EQ(main_with(NULL), 75);
        ASSERT_EQ(fs_exists(root, STOPPED_PATH), 1);
        arg_result = 0;
        ASSERT_EQ(main_with("--dry-run"), 0);
        ASSERT_EQ(fs_exists(root, STOPPED_PATH), 1);
        ASSERT_EQ(main_with(NULL), 0);
        ASSERT_EQ(fs_exists(root, STOPPED_PATH), 0);
        arg_result = 1; /* an error that nothing was said about */
        ASSERT_EQ(main_with(NULL), 1);
        ASSERT_EQ(fs_exists(root, STOPPED_PATH), 1);
        arg_result = PHASE_NOT_APPLICABLE;
        ASSERT_EQ(main_with(NULL), 77);
        ASSERT_EQ(fs_exists(root, STOPPED_PATH), 0);
        arg_result = 0;
}

TEST(documented_results_become_exit_statuses) {
        (void) tree_new();
        arg_result = PHASE_NOT_APPLICABLE;
        ASSERT_EQ(main_with(NULL), 77);
        arg_result = PHASE_REBOOT_NEEDED;
        ASSERT_EQ(main_with(NULL), 75);
        ASSERT_EQ(main_with("--no-such-option"), 2);
        ASSERT_EQ(main_with("surplus"), 2);
        ASSERT_EQ(main_with("--help"), 0);
        ASSERT_EQ(main_with("--version"), 0);
}

TEST(without_root_the_host_is_refused) {
        char *argv[] = { (char *) "gpuvm-toy", NULL };

        if (geteuid() == 0)
                ASSERT_EQ(setresuid(65534, 65534, 65534), 0);
        ASSERT_EQ(helper_main(&helper, 1, argv), 1);
}
