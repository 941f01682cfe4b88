/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "strv.h"
#include "tests/tap.h"
#include "vmhealth.h"

#define SEC(n) ((uint64_t) (n) *USEC_PER_SEC)

/* A file of that kind with these lines below. */
static VmHealth declared_as(const char *kind, const char *lines) {
        _cleanup_free_ char *text = NULL;
        VmFile f = { .name = strdup("x") };
        VmHealth h;

        ASSERT(asprintf(&text, "[Vm]\nKind=%s\n%s\n", kind, lines) > 0);
        ASSERT_EQ(vmfile_parse(&f, "x.vm", text, strlen(text), NULL, NULL), 0);
        ASSERT_EQ(f.n_problems, 0);
        h = vmhealth_from(&f);
        vmfile_done(&f);
        vmhealth_begin(&h, SEC(100));
        return h;
}

static VmHealth declared(const char *lines) {
        return declared_as("debian", lines);
}

/* At second t of its life: what is well ("+agent"), what is not ("-agent"), what cannot be told ("?gpu")
 * and what is being set up ("~engines"). */
static VmHealthNews at(VmHealth *h, unsigned t, const char *checks, const char *lacks) {
        _cleanup_(findings_done) Findings l = {};
        _cleanup_strv_ char **words = NULL;
        const Finding *missed;
        VmHealthNews news;

        ASSERT_EQ(strv_split(checks, " ", &words), 0);
        STRV_FOREACH(w, words)
                ASSERT_EQ(findings_add(&l,
                                       **w == '+'                   ? FINDING_OK
                                                       : **w == '?' ? FINDING_WARN
                                                       : **w == '~' ? FINDING_SKIP
                                                                    : FINDING_FAIL,
                                       *w + 1, "x", NULL, "it"),
                          0);
        news = vmhealth_look(h, &l, SEC(100 + t), &missed);
        ASSERT(streq_ptr(missed ? missed->check : NULL, lacks));
        return news;
}

TEST(words_are_in_the_order_of_the_kinds) {
        ASSERT_EQ(declared("").ready, VMREADY_STARTED);
        ASSERT_EQ(declared("Ready=started").ready, VMREADY_STARTED);
        ASSERT_EQ(declared("Ready=agent").ready, VMREADY_AGENT);
        ASSERT_EQ(declared("Ready=address").ready, VMREADY_ADDRESS);
        ASSERT_EQ(declared("Ready=gpu").ready, VMREADY_GPU);
        ASSERT_EQ(declared_as("llm", "Ready=engines").ready, VMREADY_ENGINES);
        ASSERT_EQ(declared("").watchdog, VMWATCHDOG_REPORT);
        ASSERT_EQ(declared("Watchdog=restart").watchdog, VMWATCHDOG_RESTART);
        ASSERT_EQ(declared("Watchdog=off").watchdog, VMWATCHDOG_OFF);
        ASSERT_EQ(declared("").ready_usec, SEC(300));
        ASSERT_EQ(declared("ReadySec=2min").ready_usec, SEC(120));
        ASSERT_EQ(declared("WatchdogSec=3min").patience_usec, SEC(180));
        ASSERT_EQ(vmhealth_from(NULL).patience_usec, SEC(60));
        ASSERT_EQ(vmhealth_from(NULL).ready_usec, SEC(300));
        ASSERT_EQ(vmhealth_from(NULL).ready, VMREADY_STARTED);
}

TEST(one_for_models_is_ready_with_its_engines_unless_it_says_something_else) {
        ASSERT_EQ(declared_as("llm", "").ready, VMREADY_ENGINES);
        ASSERT_EQ(declared_as("llm", "Ready=started").ready, VMREADY_STARTED);
        ASSERT_EQ(declared_as("llm", "Ready=gpu").ready, VMREADY_GPU);
        ASSERT_EQ(declared_as("llm", "[Guest]\nUserData=/x").ready, VMREADY_STARTED);
        ASSERT_EQ(declared_as("ubuntu", "").ready, VMREADY_STARTED);
}

TEST(one_that_runs_is_ready_unless_more_is_asked_for) {
        VmHealth h = declared("");

        ASSERT_EQ(at(&h, 0, "+state -agent -address", NULL), VMHEALTH_READY);
        ASSERT_EQ(at(&h, 20, "+state -agent -address", NULL), VMHEALTH_SAME);
        ASSERT_EQ(at(&h, 900, "+state -agent -address", NULL), VMHEALTH_SAME);
}

TEST(what_is_asked_for_has_to_be_there) {
        VmHealth h = declared("Ready=gpu");

        ASSERT_EQ(at(&h, 0, "+state -agent -address -gpu", "agent"), VMHEALTH_SAME);
        ASSERT_EQ(vmhealth_next_usec(&h), SEC(2));
        ASSERT_EQ(at(&h, 20, "+state +agent -address +gpu -gpu", "gpu"), VMHEALTH_SAME);
        ASSERT_EQ(at(&h, 22, "+state +agent -address +gpu +gpu", NULL), VMHEALTH_READY);
        ASSERT_EQ(vmhealth_next_usec(&h), SEC(20));

        h = declared("Ready=address");
        ASSERT_EQ(at(&h, 0, "+state +agent -address", "address"), VMHEALTH_SAME);
        ASSERT_EQ(at(&h, 2, "+state -agent +address", "agent"), VMHEALTH_SAME); /* it had one */
        ASSERT_EQ(at(&h, 4, "+state +agent +address", NULL), VMHEALTH_READY);
}

TEST(it_is_late_once_and_may_still_become_ready) {
        VmHealth h = declared("Ready=agent\nReadySec=60");

        ASSERT_EQ(at(&h, 59, "+state -agent", "agent"), VMHEALTH_SAME);
        ASSERT_EQ(at(&h, 60, "+state -agent", "agent"), VMHEALTH_LATE);
        ASSERT_EQ(at(&h, 62, "+state -agent", "agent"), VMHEALTH_SAME);
        ASSERT_EQ(vmhealth_next_usec(&h), SEC(20));
        ASSERT_EQ(at(&h, 4000, "+state +agent", NULL), VMHEALTH_READY);
}

TEST(a_minute_without_what_was_there_is_too_long) {
        VmHealth h = declared("");

        ASSERT_EQ(at(&h, 0, "+state +agent +gpu", NULL), VMHEALTH_READY);
        ASSERT_EQ(at(&h, 100, "+state -agent -gpu", "agent"), VMHEALTH_SAME);
        ASSERT_EQ(at(&h, 159, "+state -agent -gpu", "agent"), VMHEALTH_SAME);
        ASSERT_EQ(at(&h, 159, "+state +agent +gpu", NULL), VMHEALTH_SAME); /* it was busy */
        ASSERT_EQ(at(&h, 160, "+state +agent -gpu", "gpu"), VMHEALTH_SAME);
        ASSERT_EQ(at(&h, 220, "+state +agent -gpu", "gpu"), VMHEALTH_UNHEALTHY);
        ASSERT_EQ(at(&h, 240, "+state +agent -gpu", "gpu"), VMHEALTH_SAME);
        ASSERT_EQ(at(&h, 260, "+state +agent +gpu", NULL), VMHEALTH_WELL);
        ASSERT_EQ(at(&h, 280, "-state", "state"), VMHEALTH_SAME);
        ASSERT_EQ(at(&h, 340, "-state", "state"), VMHEALTH_UNHEALTHY);
}

TEST(what_stays_is_told_again) {
        VmHealth h = declared("");

        ASSERT_EQ(at(&h, 0, "+state +agent", NULL), VMHEALTH_READY);
        ASSERT_EQ(at(&h, 20, "-state", "state"), VMHEALTH_SAME);
        ASSERT_EQ(at(&h, 80, "-state", "state"), VMHEALTH_UNHEALTHY);
        ASSERT_EQ(at(&h, 140, "-state", "state"), VMHEALTH_SAME); /* somebody has paused it */
        ASSERT_EQ(at(&h, 900, "-state", "state"), VMHEALTH_SAME);
        ASSERT_EQ(at(&h, 920, "+state -agent", "agent"), VMHEALTH_SAME);
        ASSERT_EQ(at(&h, 960, "+state -agent", "agent"), VMHEALTH_STILL);
        ASSERT_EQ(at(&h, 980, "+state -agent", "agent"), VMHEALTH_SAME);
        ASSERT_EQ(at(&h, 1020, "+state -agent", "agent"), VMHEALTH_STILL);
        ASSERT_EQ(at(&h, 1040, "+state +agent", NULL), VMHEALTH_WELL);
        ASSERT_EQ(at(&h, 1060, "+state -agent", "agent"), VMHEALTH_SAME);
        ASSERT_EQ(at(&h, 1120, "+state -agent", "agent"), VMHEALTH_UNHEALTHY);
}

TEST(engines_are_waited_for_and_missed) {
        VmHealth h = declared_as("llm", "");

        ASSERT_EQ(at(&h, 0, "+state -agent", "agent"), VMHEALTH_SAME);
        ASSERT_EQ(at(&h, 20, "+state +agent -address ?engines", "engines"), VMHEALTH_SAME);
        ASSERT_EQ(at(&h, 22, "+state +agent -address -engines", "engines"), VMHEALTH_SAME);
        ASSERT_EQ(at(&h, 24, "+state +agent -address +engines", NULL), VMHEALTH_READY);
        ASSERT_EQ(at(&h, 40, "+state +agent -engines", "engines"), VMHEALTH_SAME);
        ASSERT_EQ(at(&h, 100, "+state +agent -engines", "engines"), VMHEALTH_UNHEALTHY);
        ASSERT_EQ(at(&h, 120, "+state +agent ?engines", NULL), VMHEALTH_WELL); /* as far as anybody knows */
}

TEST(the_first_setup_has_its_time) {
        VmHealth h = declared_as("llm", "");

        ASSERT_EQ(at(&h, 290, "+state -agent", "agent"), VMHEALTH_SAME);
        ASSERT_EQ(at(&h, 310, "+state +agent ~engines", "engines"), VMHEALTH_SAME);
        ASSERT_EQ(at(&h, 1799, "+state +agent ~engines", "engines"), VMHEALTH_SAME);
        ASSERT_EQ(vmhealth_next_usec(&h), SEC(2));
        ASSERT_EQ(at(&h, 1800, "+state +agent ~engines", "engines"), VMHEALTH_LATE);
        vmhealth_begin(&h, SEC(100)); /* a step restarts the guest */
        ASSERT_EQ(at(&h, 400, "+state +agent ~engines", "engines"), VMHEALTH_SAME);
        ASSERT_EQ(at(&h, 402, "+state +agent ?engines", "engines"), VMHEALTH_SAME);
        ASSERT_EQ(at(&h, 460, "+state +agent ?engines", "engines"), VMHEALTH_LATE); /* it has failed */
        h = declared_as("llm", "");
        ASSERT_EQ(at(&h, 600, "+state +agent ~engines", "engines"), VMHEALTH_SAME);
        ASSERT_EQ(at(&h, 605, "+state -agent", "agent"), VMHEALTH_SAME); /* its agent is updated */
        ASSERT_EQ(at(&h, 659, "+state +agent ?engines", "engines"), VMHEALTH_SAME);
        ASSERT_EQ(at(&h, 660, "+state -agent", "agent"), VMHEALTH_LATE);
        h = declared_as("llm", "ReadySec=2min");
        ASSERT_EQ(at(&h, 120, "+state +agent ~engines", "engines"), VMHEALTH_LATE);
        h = declared_as("llm", "ReadySec=20min");
        ASSERT_EQ(at(&h, 1200, "+state +agent ~engines", "engines"), VMHEALTH_LATE);
}

TEST(engines_that_have_answered_are_expected) {
        VmHealth h = declared_as("llm", "Ready=started");

        ASSERT_EQ(at(&h, 0, "+state +agent -engines", NULL), VMHEALTH_READY);
        ASSERT_EQ(at(&h, 20, "+state +agent +engines", NULL), VMHEALTH_SAME);
        ASSERT_EQ(at(&h, 40, "+state +agent -engines", "engines"), VMHEALTH_SAME);
        ASSERT_EQ(at(&h, 100, "+state +agent -engines", "engines"), VMHEALTH_UNHEALTHY);
        ASSERT_EQ(at(&h, 120, "+state +agent +engines", NULL), VMHEALTH_WELL);
}

/* As that of a guest that is frozen for a backup. */
TEST(a_gpu_that_cannot_be_looked_for_is_not_lost) {
        VmHealth h = declared("Ready=gpu");

        ASSERT_EQ(at(&h, 0, "+state +agent ?gpu", "gpu"), VMHEALTH_SAME);
        ASSERT_EQ(at(&h, 20, "+state +agent +gpu", NULL), VMHEALTH_READY);
        ASSERT_EQ(at(&h, 40, "+state +agent ?gpu", NULL), VMHEALTH_SAME);
        ASSERT_EQ(at(&h, 200, "+state +agent ?gpu", NULL), VMHEALTH_SAME);
        ASSERT_EQ(at(&h, 220, "+state ?agent ?gpu", "agent"), VMHEALTH_SAME);
        ASSERT_EQ(at(&h, 280, "+state ?agent ?gpu", "agent"), VMHEALTH_UNHEALTHY);
}

TEST(a_guest_that_starts_again_has_its_time_again) {
        VmHealth h = declared("Ready=agent\nWatchdog=restart");

        ASSERT_EQ(at(&h, 0, "+state +agent", NULL), VMHEALTH_READY);
        ASSERT_EQ(at(&h, 50, "+state -agent", "agent"), VMHEALTH_SAME);
        vmhealth_begin(&h, SEC(100 + 60));
        ASSERT_EQ(h.watchdog, VMWATCHDOG_RESTART);
        ASSERT_EQ(at(&h, 200, "+state -agent", "agent"), VMHEALTH_SAME);
        ASSERT_EQ(at(&h, 220, "+state +agent", NULL), VMHEALTH_READY);
}

TEST(patience_is_the_files) {
        VmHealth h = declared("WatchdogSec=6");

        ASSERT_EQ(at(&h, 0, "+state +agent", NULL), VMHEALTH_READY);
        ASSERT_EQ(vmhealth_next_usec(&h), SEC(2));
        ASSERT_EQ(at(&h, 2, "+state -agent", "agent"), VMHEALTH_SAME);
        ASSERT_EQ(at(&h, 8, "+state -agent", "agent"), VMHEALTH_UNHEALTHY);
}

TEST(nobody_looks_where_nobody_wants_to_know) {
        VmHealth h = declared("Watchdog=off\nReady=agent");

        ASSERT_EQ(at(&h, 0, "+state -agent", "agent"), VMHEALTH_SAME);
        ASSERT_EQ(vmhealth_next_usec(&h), SEC(2));
        ASSERT_EQ(at(&h, 2, "+state +agent", NULL), VMHEALTH_READY);
        ASSERT_EQ(vmhealth_next_usec(&h), UINT64_MAX);
}

static int may(const char *times, uint64_t now, const char *expected) {
        _cleanup_free_ char *after = NULL;
        int r = vmhealth_may_restart(times, now, &after);

        ASSERT(streq_ptr(after, expected));
        return r;
}

TEST(three_times_an_hour_is_enough) {
        ASSERT_EQ(may("", 10000, "10000\n"), 1);
        ASSERT_EQ(may("9000\n10000\n", 10100, "9000\n10000\n10100\n"), 1);
        ASSERT_EQ(may("9000\n10000\n10100\n", 10200, NULL), 0);
        ASSERT_EQ(may("9000\n10000\n10100\n", 12600, "10000\n10100\n12600\n"), 1);
        ASSERT_EQ(may("junk\n99999999\n-1\n", 10000, "10000\n"), 1); /* a clock that was wrong */
}
