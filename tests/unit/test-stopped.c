/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "fs.h"
#include "stopped.h"
#include "tests/tree.h"

static bool contains(const char *path, const char *what) {
        _cleanup_free_ char *text = NULL;

        return fs_read(tree_root, path, FS_FILE_MAX, &text, NULL) >= 0 && strstr(text, what);
}

TEST(tells_who_logs_in) {
        int root = tree_new();

        ASSERT_EQ(stopped_note(root, "nvidia", "No \033[2Jroute.\nDo this."), 0);
        ASSERT(contains(STOPPED_PATH, "has stopped in phase 'nvidia':\nNo  [2Jroute. Do this.\n"));
        ASSERT(contains(STOPPED_PATH, "--status"));
        ASSERT_EQ(fs_exists(root, REPORT_PATH), 0);
        ASSERT_EQ(stopped_note(root, "kvm", "No disk."), 0);
        ASSERT(contains(STOPPED_PATH, "'kvm':\nNo disk."));
}

TEST(is_over_when_that_phase_ends_well) {
        int root = tree_new();

        ASSERT_EQ(stopped_clear(root, "kvm"), 0);
        ASSERT_EQ(stopped_note(root, "kvm", "No disk."), 0);
        ASSERT_EQ(stopped_clear(root, "preflight"), 0);
        ASSERT_EQ(stopped_clear(root, "k"), 0);
        ASSERT_EQ(fs_exists(root, STOPPED_PATH), 1);
        ASSERT_EQ(stopped_clear(root, "kvm"), 0);
        ASSERT_EQ(fs_exists(root, STOPPED_PATH), 0);
        ASSERT_EQ(stopped_note(root, "kvm", "No disk."), 0);
        ASSERT_EQ(stopped_clear(root, NULL), 0);
        ASSERT_EQ(fs_exists(root, STOPPED_PATH), 0);
        ASSERT_EQ(stopped_clear(root, NULL), 0);
}

TEST(takes_ready_out_of_the_report) {
        int root = tree_new();

        tree_put(REPORT_PATH, "{ \"ready\": true, \"checks\": [ { \"check\": \"moon\" } ] }");
        ASSERT_EQ(stopped_note(root, "nvidia", "No route."), 0);
        ASSERT(contains(REPORT_PATH, "\"ready\":false") && contains(REPORT_PATH, "\"stopped\":\"nvidia\""));
        ASSERT(contains(REPORT_PATH, "\"check\":\"moon\""));
        /* The first after the checks is the one to tell. */
        ASSERT_EQ(stopped_note(root, "kvm", "No disk."), 0);
        ASSERT(contains(REPORT_PATH, "\"stopped\":\"nvidia\""));
}

TEST(leaves_what_is_no_report) {
        static const char *const texts[] = { "", "[]", "{", "{ \"ready\": \"true\" }",
                                             "{ \"ready\": false }" };
        int root = tree_new();

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                tree_put(REPORT_PATH, texts[i]);
                ASSERT_EQ(stopped_note(root, "nvidia", "No route."), 0);
                ASSERT(contains(REPORT_PATH, texts[i]) && !contains(REPORT_PATH, "stopped"));
        }
}
