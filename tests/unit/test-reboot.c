/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "reboot.h"
#include "rebootcheck.h"
#include "stopped.h"
#include "strv.h"
#include "tests/tree.h"

#define BOOT_1 "11111111-1111-4111-8111-111111111111"
#define BOOT_2 "22222222-2222-4222-8222-222222222222"
#define BOOT_3 "33333333-3333-4333-8333-333333333333"

static char *const iommu[] = { (char *) "iommu", NULL };
static char *const packages[] = { (char *) "packages", NULL };
static char *const both[] = { (char *) "packages", (char *) "iommu", NULL };

static RebootVerdict ask(RebootStory *s, const char *boot, char *const *causes, bool by_us) {
        const char *which = NULL;
        RebootVerdict v;

        ASSERT_EQ(reboot_decide(s, boot, causes, by_us, &v, &which), 0);
        ASSERT_EQ(v == REBOOT_CAUSE_USED_UP, which != NULL);
        return v;
}

TEST(grants_two_for_one_cause) {
        _cleanup_(reboot_story_done) RebootStory s = {};

        ASSERT_EQ(ask(&s, BOOT_1, iommu, true), REBOOT_GRANTED);
        ASSERT_EQ(ask(&s, BOOT_2, iommu, true), REBOOT_GRANTED);
        ASSERT_EQ(ask(&s, BOOT_3, iommu, true), REBOOT_CAUSE_USED_UP);
        ASSERT_EQ(s.total, 2);
        ASSERT_STREQ(s.boot_id, BOOT_2);
        ASSERT_EQ(ask(&s, BOOT_3, both, true), REBOOT_CAUSE_USED_UP);
        ASSERT_EQ(ask(&s, BOOT_3, packages, true), REBOOT_GRANTED);
}

TEST(grants_four_in_all) {
        static const char *const names[] = { "a", "b", "c", "d", "e" };
        _cleanup_(reboot_story_done) RebootStory s = {};

        for (size_t i = 0; i < 5; i++) {
                char boot[] = BOOT_1;

                boot[0] = (char) ('2' + i);
                ASSERT_EQ(ask(&s, boot, (char *const[]){ (char *) names[i], NULL }, true),
                          i < 4 ? REBOOT_GRANTED : REBOOT_TOTAL_USED_UP);
        }
        ASSERT_EQ(s.total, 4);
}

TEST(counts_a_boot_once) {
        _cleanup_(reboot_story_done) RebootStory s = {};

        for (int i = 0; i < 10; i++)
                ASSERT_EQ(ask(&s, BOOT_1, iommu, true), REBOOT_GRANTED);
        ASSERT_EQ(s.total, 1);
        ASSERT_EQ(s.causes[0].n, 1);
}

TEST(counts_only_our_own) {
        _cleanup_(reboot_story_done) RebootStory s = {};

        for (int i = 0; i < 10; i++)
                ASSERT_EQ(ask(&s, i % 2 ? BOOT_1 : BOOT_2, iommu, false), REBOOT_GRANTED);
        ASSERT_EQ(s.total, 0);
        ASSERT_STREQ(s.boot_id, BOOT_1);
        /* Reboot=auto was set meanwhile, in the same boot: now it is ours. */
        ASSERT_EQ(ask(&s, BOOT_1, iommu, true), REBOOT_GRANTED);
        ASSERT_EQ(s.total, 1);
        /* And an administrator's after ours does not count either. */
        ASSERT_EQ(ask(&s, BOOT_2, iommu, false), REBOOT_GRANTED);
        ASSERT(!s.counted);
        ASSERT_EQ(s.total, 1);
}

TEST(resumes_in_another_boot_only) {
        _cleanup_(reboot_story_done) RebootStory s = {};

        ASSERT_EQ(resume_decide(&s, BOOT_1), RESUME_NOTHING);
        ASSERT_EQ(ask(&s, BOOT_1, iommu, true), REBOOT_GRANTED);
        ASSERT_EQ(resume_decide(&s, BOOT_1), RESUME_NOTHING);
        ASSERT_EQ(resume_decide(&s, BOOT_2), RESUME_GO);
        ASSERT_EQ(resume_decide(&s, BOOT_3), RESUME_GO);
        ASSERT_EQ(resume_decide(&s, BOOT_3), RESUME_USED_UP);
        ASSERT_EQ(ask(&s, BOOT_3, iommu, true), REBOOT_GRANTED);
        ASSERT_EQ(resume_decide(&s, BOOT_1), RESUME_GO);
}

TEST(keeps_the_story_on_disk) {
        _cleanup_(reboot_story_done) RebootStory s = {}, t = {};
        int root = tree_new();

        ASSERT_EQ(reboot_story_load(root, &t), 0);
        ASSERT(!t.boot_id);
        ASSERT_EQ(ask(&s, BOOT_1, both, true), REBOOT_GRANTED);
        ASSERT_EQ(ask(&s, BOOT_2, iommu, true), REBOOT_GRANTED);
        ASSERT_EQ(resume_decide(&s, BOOT_3), RESUME_GO);
        ASSERT_EQ(reboot_story_save(root, &s), 0);
        ASSERT_EQ(reboot_story_load(root, &t), 1);
        ASSERT_STREQ(t.boot_id, BOOT_2);
        ASSERT(t.counted);
        ASSERT_EQ(t.total, 2);
        ASSERT_EQ(t.resumes, 1);
        ASSERT_EQ(t.n_causes, 2);
        ASSERT_STREQ(t.causes[1].name, "iommu");
        ASSERT_EQ(t.causes[1].n, 2);
        ASSERT_EQ(stopped_note(root, "nvidia", "No route."), 0);
        ASSERT_EQ(reboot_story_end(root), 0);
        ASSERT_EQ(reboot_story_end(root), 0);
        ASSERT_EQ(fs_exists(root, REBOOT_PENDING_PATH), 0);
        ASSERT_EQ(fs_exists(root, STOPPED_PATH), 0);
}

TEST(refuses_what_it_did_not_write) {
        static const char good[] = "gpuvm-pending 1\nboot " BOOT_1
                                   "\ncounted 1\ntotal 1\nresumes 0\ncause iommu 1\nend\n";
        static const char *const bad[] = {
                "",
                "\n",
                "gpuvm-pending 1\n",
                "gpuvm-pending 2\nboot " BOOT_1 "\ncounted 1\ntotal 1\nresumes 0\nend\n",
                "gpuvm-pending 1\nboot n/a\ncounted 1\ntotal 1\nresumes 0\nend\n",
                "gpuvm-pending 1\nboot " BOOT_1 "\ncounted 2\ntotal 1\nresumes 0\nend\n",
                "gpuvm-pending 1\nboot " BOOT_1 "\ncounted 1\ntotal -1\nresumes 0\nend\n",
                "gpuvm-pending 1\nboot " BOOT_1 "\ncounted 1\ntotal 5\nresumes 0\nend\n",
                "gpuvm-pending 1\nboot " BOOT_1 "\ncounted 1\ntotal 1\nresumes 3\nend\n",
                "gpuvm-pending 1\nboot " BOOT_1 "\ncounted 1\ntotal 1\nresumes 0\ncause ../x 1\nend\n",
                "gpuvm-pending 1\nboot " BOOT_1 "\ncounted 1\ntotal 1\nresumes 0\ncause iommu\nend\n",
                "gpuvm-pending 1\nboot " BOOT_1 "\ncounted 1\ntotal 1\nresumes 0\ncause iommu 9\nend\n",
                "gpuvm-pending 1\nboot " BOOT_1
                "\ncounted 1\ntotal 1\nresumes 0\ncause a 1\ncause a 0\nend\n",
                "gpuvm-pending 1\nboot " BOOT_1 "\ncounted 1\ntotal 1\nresumes 0\nwhat\nend\n",
        };
        RebootStory s = {};

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                int r = reboot_story_parse(bad[i], strlen(bad[i]), &s);

                if (r != -EBADMSG)
                        printf("# case %zu\n", i);
                ASSERT_EQ(r, -EBADMSG);
        }
        /* Torn at any byte. */
        for (size_t n = 0; n < sizeof(good) - 1; n++)
                ASSERT_EQ(reboot_story_parse(good, n, &s), -EBADMSG);
        ASSERT_EQ(reboot_story_parse(good, sizeof(good) - 1, &s), 0);
        reboot_story_done(&s);
        ASSERT_EQ(reboot_story_parse(good, sizeof(good), &s), -EBADMSG);
}

TEST(unreadable_is_not_empty) {
        _cleanup_(reboot_story_done) RebootStory s = {};
        int root = tree_new();

        ASSERT_EQ(fs_mkdir_p(root, REBOOT_PENDING_PATH, 0755), 0);
        ASSERT_EQ(reboot_story_load(root, &s), -EISDIR);
}

TEST(knows_requests_that_cannot_help) {
        _cleanup_strv_ char **causes = NULL, **useless = NULL, **reasons = NULL;
        int root = tree_new();

        tree_put("/proc/cmdline", "root=/dev/vda1 intel_iommu=on quiet\n");
        ASSERT_EQ(reboot_request(root, "packages", "a newer kernel was installed"), 0);
        ASSERT_EQ(reboot_request_word(root, "iommu", "the IOMMU is off", "amd_iommu=on"), 0);
        ASSERT_EQ(reboot_causes(root, &causes, &useless), 0);
        ASSERT_EQ(strv_length(causes), 2);
        ASSERT(!useless);
        ASSERT_EQ(reboot_request_word(root, "iommu", "the IOMMU is off", "intel_iommu=on"), 0);
        strv_free(TAKE_PTR(causes));
        ASSERT_EQ(reboot_causes(root, &causes, &useless), 0);
        ASSERT_EQ(strv_length(useless), 1);
        ASSERT_STREQ(useless[0], "iommu");
        ASSERT_EQ(reboot_requests(root, &reasons), 0);
        ASSERT_STREQ(reasons[0], "iommu: the IOMMU is off");
        ASSERT_EQ(reboot_withdraw(root, "iommu"), 0);
        ASSERT_EQ(reboot_withdraw(root, "iommu"), 0);
        strv_free(TAKE_PTR(reasons));
        ASSERT_EQ(reboot_requests(root, &reasons), 0);
        ASSERT_EQ(strv_length(reasons), 1);
}

TEST(withdraws_by_name_or_all) {
        static char *const steps[] = { (char *) "iommu", (char *) "../../../etc/keep", NULL };
        _cleanup_strv_ char **reasons = NULL;
        int root = tree_new();

        ASSERT_EQ(reboot_withdraw_many(root, NULL), 0);
        tree_put("/etc/keep", "x");
        ASSERT_EQ(reboot_request(root, "packages", "a newer kernel"), 0);
        ASSERT_EQ(reboot_request(root, "iommu", "the IOMMU is off"), 0);
        ASSERT_EQ(reboot_withdraw_many(root, steps), 0);
        ASSERT_EQ(reboot_requests(root, &reasons), 0);
        ASSERT_EQ(strv_length(reasons), 1);
        ASSERT_STREQ(reasons[0], "packages: a newer kernel");
        ASSERT_EQ(fs_exists(root, "/etc/keep"), 1);
        ASSERT_EQ(reboot_withdraw_many(root, NULL), 0);
        strv_free(TAKE_PTR(reasons));
        ASSERT_EQ(reboot_requests(root, &reasons), 0);
        ASSERT(!reasons);
}

TEST(watches_its_own_restart_only) {
        static const RebootDate d = { .when_usec = 1000, .latest_usec = 50 };

        ASSERT_EQ(rebootcheck_watch(&d, 999, 10, "reboot", 1000), REBOOT_WAITING);
        ASSERT_EQ(rebootcheck_watch(&d, 999, 10, NULL, 0), REBOOT_CALLED_OFF);
        ASSERT_EQ(rebootcheck_watch(&d, 999, 10, "poweroff", 1000), REBOOT_CALLED_OFF);
        ASSERT_EQ(rebootcheck_watch(&d, 999, 10, "reboot", 1001), REBOOT_CALLED_OFF);
        /* When it is done logind has forgotten it. */
        ASSERT_EQ(rebootcheck_watch(&d, 1000, 10, NULL, 0), REBOOT_DUE);
}

TEST(waits_no_longer_when_the_clock_is_set) {
        static const RebootDate d = { .when_usec = 1000, .latest_usec = 50 };

        /* Set back: the agreed time may be hours away. */
        ASSERT_EQ(rebootcheck_watch(&d, 1, 50, "reboot", 1000), REBOOT_WAITING);
        ASSERT_EQ(rebootcheck_watch(&d, 1, 51, "reboot", 1000), REBOOT_OVERDUE);
        /* Set ahead: logind acts at once, and has the whole grace for that. */
        ASSERT_EQ(rebootcheck_watch(&d, UINT64_MAX, 11, NULL, 0), REBOOT_DUE);
        ASSERT_EQ(rebootcheck_watch(&d, UINT64_MAX, 51, NULL, 0), REBOOT_OVERDUE);
}

TEST(remembers_what_it_told_logind) {
        static const RebootDate d = { .when_usec = UINT64_C(1793192400000001), .latest_usec = 50 };
        int root = tree_new();
        RebootDate e = {};

        ASSERT_EQ(rebootcheck_recall(root, &e), 0);
        ASSERT_EQ(rebootcheck_remember(root, &d), 0);
        ASSERT_EQ(rebootcheck_recall(root, &e), 1);
        ASSERT(rebootcheck_is_ours(&e, "reboot", UINT64_C(1793192400000001)));
        ASSERT(!rebootcheck_is_ours(&e, "reboot", UINT64_C(1793192400000002)));
        /* No date at all is nobody's, and not 1970's. */
        tree_put("/run/gpuvm/scheduled", "soon\n");
        ASSERT_EQ(rebootcheck_recall(root, &e), 0);
        ASSERT_EQ(fs_remove(root, "/run/gpuvm/scheduled"), 1);
        ASSERT_EQ(fs_mkdir_p(root, "/run/gpuvm/scheduled", 0755), 0);
        ASSERT_EQ(rebootcheck_recall(root, &e), -EISDIR);
}

/* The C library's, but for a wall clock that somebody sets an hour ahead each time that it is read. */
int clock_gettime(clockid_t clock, struct timespec *ts) {
        static time_t ahead;
        int r = (int) syscall(SYS_clock_gettime, clock, ts);

        if (r == 0 && clock == CLOCK_REALTIME)
                ts->tv_sec += ahead += 3600;
        return r;
}

static pid_t hold_dpkg_lock(int root, unsigned seconds) {
        struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
        int pipes[2];
        pid_t pid;
        char c;

        ASSERT_EQ(pipe(pipes), 0);
        pid = fork();
        if (pid == 0) {
                int fd = openat(root, "var/lib/dpkg/lock", O_RDWR | O_CLOEXEC);

                if (fd < 0 || fcntl(fd, F_SETLK, &l) < 0 || write(pipes[1], "", 1) != 1)
                        _exit(1);
                (void) sleep(seconds);
                _exit(0);
        }
        (void) close(pipes[1]);
        ASSERT_EQ(read(pipes[0], &c, 1), 1);
        (void) close(pipes[0]);
        return pid;
}

TEST(waits_for_dpkg_while_the_clock_is_set) {
        int root = tree_new(), status;
        Phase p = { .name = "reboot", .root = root };
        pid_t pid;

        tree_put("/var/lib/dpkg/lock", "");
        ASSERT_EQ(fs_mkdir_p(root, "/proc", 0755), 0);
        pid = hold_dpkg_lock(root, 1);
        ASSERT_EQ(rebootcheck_busy(&p, 60 * USEC_PER_SEC), 0);
        ASSERT_EQ(waitpid(pid, &status, 0), pid);
        ASSERT_EQ(status, 0);
}
