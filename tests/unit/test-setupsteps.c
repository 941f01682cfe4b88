/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How far a guest's setup is, by what it writes down. */

#include "setupsteps.h"
#include "tests/tap.h"

static const char *const wanted[] = { "driver", "vllm", NULL };
static SetupStepName at;

static SetupState state(const char *text) {
        SetupStep steps[_SETUP_STEP_MAX];

        ASSERT_EQ(setupsteps_parse(text, steps), 0);
        return setupsteps_state(steps, wanted, &at);
}

TEST(not_begun) {
        ASSERT_EQ(state(""), SETUP_RUNS);
        ASSERT_EQ(at, _SETUP_STEP_MAX);
        ASSERT_EQ(state("boot start 1\nboot done 5\n"), SETUP_RUNS);
        ASSERT_EQ(at, _SETUP_STEP_MAX);
}

TEST(from_step_to_step) {
        ASSERT_EQ(state("driver start 5\n"), SETUP_RUNS);
        ASSERT_EQ(at, SETUP_DRIVER);
        ASSERT_EQ(state("driver start 5\ndriver done 9\n"), SETUP_RUNS);
        ASSERT_EQ(at, _SETUP_STEP_MAX);
        ASSERT_EQ(state("driver start 5\ndriver done 9\nvllm start 9\nvllm done 10\n"), SETUP_DONE);
}

TEST(a_failure_until_it_is_tried_again) {
        ASSERT_EQ(state("driver start 5\ndriver failed 9\n"), SETUP_FAILED);
        ASSERT_EQ(at, SETUP_DRIVER);
        ASSERT_EQ(state("driver start 5\ndriver failed 9\ndriver start 20\n"), SETUP_RUNS);
        ASSERT_EQ(at, SETUP_DRIVER);
}

/* Those behind it go on, and it is told in the end. */
TEST(an_optional_one_that_fails) {
        static const char failed[] = "store start 1\nstore failed 2\ndriver start 5\n";
        _cleanup_free_ char *done = NULL, *again = NULL;

        ASSERT_EQ(state("store start 1\nstore failed 2\n"), SETUP_RUNS);
        ASSERT_EQ(at, _SETUP_STEP_MAX);
        ASSERT_EQ(state(failed), SETUP_RUNS);
        ASSERT_EQ(at, SETUP_DRIVER);
        ASSERT(asprintf(&done, "%sdriver done 9\nvllm start 9\nvllm done 10\n", failed) > 0);
        ASSERT_EQ(state(done), SETUP_FAILED);
        ASSERT_EQ(at, SETUP_STORE);
        ASSERT(asprintf(&again, "%sstore start 20\nstore done 21\n", done) > 0);
        ASSERT_EQ(state(again), SETUP_DONE);
        ASSERT_EQ(state("store start 1\nstore failed 2\ndriver start 5\ndriver failed 9\n"), SETUP_FAILED);
        ASSERT_EQ(at, SETUP_DRIVER);
}

TEST(a_restart_is_no_end) {
        ASSERT_EQ(state("driver start 5\ndriver restarts 9\n"), SETUP_RUNS);
        ASSERT_EQ(at, SETUP_DRIVER);
}

TEST(clocks_that_go_back) {
        SetupStep steps[_SETUP_STEP_MAX];

        ASSERT_EQ(setupsteps_parse("swap start 50\nswap done 40\n", steps), 0);
        ASSERT_EQ(steps[SETUP_SWAP].end, 50);
        ASSERT_EQ(setupsteps_parse("swap done 40\n", steps), 0);
        ASSERT_EQ(steps[SETUP_SWAP].end, 0);
}

TEST(names_and_limits) {
        ASSERT_STREQ(setup_step_to_string(SETUP_VLLM), "vllm");
        ASSERT_EQ(setup_step_from_string("vllm"), SETUP_VLLM);
        ASSERT_EQ(setup_step_from_string("nothing"), _SETUP_STEP_MAX);
        ASSERT(setupsteps_is_optional(SETUP_STORE) && !setupsteps_is_optional(SETUP_DRIVER));
        ASSERT(!setupsteps_is_optional(_SETUP_STEP_MAX));
        ASSERT_EQ(setupsteps_limit_sec(SETUP_DRIVER), 600);
        ASSERT_EQ(setupsteps_limit_sec(SETUP_CUDA), 0);
        ASSERT_EQ(setupsteps_limit_sec(_SETUP_STEP_MAX), 0);
}
