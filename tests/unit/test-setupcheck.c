/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How a guest's setup went, and what its own check says. */

#include "setupcheck.h"
#include "tests/tap.h"

static Findings found;

static void steps(const char *text) {
        findings_done(&found);
        ASSERT_EQ(setupcheck_steps("x", text, 0, &found), 0);
        ASSERT_EQ(setupcheck_whole("x", text, 0, &found), 0);
}

static void program(const char *text) {
        findings_done(&found);
        ASSERT_EQ(setupcheck_program("x", text, &found), 0);
}

static void expect(size_t i, FindingLevel level, const char *check, const char *text) {
        ASSERT(i < found.n);
        ASSERT_STREQ(found.items[i].check, check);
        ASSERT_STREQ(found.items[i].text, text);
        ASSERT_EQ(found.items[i].level, level);
        ASSERT_EQ(level == FINDING_FAIL, found.items[i].remedy && level != FINDING_WARN);
}

TEST(all_done) {
        steps("firewall start 100\nfirewall done 102\ndriver start 102\ndriver done 300\n");
        ASSERT_EQ(found.n, 3);
        expect(0, FINDING_OK, "setup", "has done step firewall in 2 s");
        expect(1, FINDING_OK, "setup", "has done step driver in 198 s of at most 600");
        expect(2, FINDING_OK, "setup", "was there as a whole in 200 s of at most 1800");
}

TEST(the_last_time_counts) {
        steps("driver start 100\ndriver failed 110\n");
        ASSERT_EQ(found.n, 1);
        expect(0, FINDING_FAIL, "setup", "failed at step driver of its setup");
        steps("driver start 100\ndriver failed 110\ndriver start 200\n");
        expect(0, FINDING_WARN, "setup", "is at step driver of its setup");
        steps("driver start 100\ndriver failed 110\ndriver start 200\ndriver done 230\n");
        expect(0, FINDING_OK, "setup", "has done step driver in 30 s of at most 600");
}

TEST(what_it_went_on_without) {
        steps("store start 100\nstore failed 110\ndriver start 200\ndriver done 230\n");
        ASSERT_EQ(found.n, 2);
        expect(0, FINDING_FAIL, "setup", "failed at step store of its setup, and went on without it");
        expect(1, FINDING_OK, "setup", "has done step driver in 30 s of at most 600");
}

TEST(too_slow) {
        steps("driver start 100\ndriver done 701\n");
        expect(0, FINDING_WARN, "setup", "has done step driver in 601 s of at most 600");
        steps("firewall start 0100\nfirewall done 101\nmodels start 101\nmodels done 2000\n");
        expect(2, FINDING_WARN, "setup", "was there as a whole in 1900 s of at most 1800");
}

TEST(each_limit) {
        static const char text[] = "boot start 1000\nboot done 1301\nollama start 1400\nollama done 1900\n"
                                   "vllm start 1900\nvllm done 2300\nengines start 2300\nengines done 2301\n";

        findings_done(&found);
        ASSERT_EQ(setupcheck_steps("x", text, 601, &found), 0);
        ASSERT_EQ(setupcheck_whole("x", text, 601, &found), 0);
        ASSERT_EQ(found.n, 7);
        expect(0, FINDING_WARN, "setup", "was made in 601 s of at most 600");
        expect(1, FINDING_WARN, "setup", "has booted in 301 s of at most 300");
        expect(2, FINDING_OK, "setup", "has done step ollama in 500 s");
        expect(5, FINDING_WARN, "setup", "has installed its engines in 901 s of at most 900");
        expect(6, FINDING_WARN, "setup", "was there as a whole in 1902 s of at most 1800");
        steps("vllm start 10\nvllm done 910\nengines start 910\nengines done 910\n");
        expect(2, FINDING_OK, "setup", "has installed its engines in 900 s of at most 900");
        steps("ollama start 10\nollama done 20\nvllm start 20\n");
        ASSERT_EQ(found.n, 2);
}

static void engines(const char *text, FindingLevel level, const char *said) {
        findings_done(&found);
        ASSERT_EQ(setupcheck_engines("x", text, &found), 0);
        ASSERT_EQ(found.n, 1);
        expect(0, level, "engines", said);
}

TEST(engines_at_a_moment) {
        char text[4096] = "engines fail ";

        engines("engines ok has engines that answer\n", FINDING_OK, "has engines that answer");
        engines("engines fail has no answer from vllm\nengines ok too\n", FINDING_FAIL,
                "has no answer from vllm");
        ASSERT(found.items[0].remedy);
        engines("engines skip is still setting up its engines\n", FINDING_SKIP,
                "is still setting up its engines");
        engines("engines warn has not come to its engines in its setup\n", FINDING_WARN,
                "has not come to its engines in its setup");
        engines(NULL, FINDING_WARN, "has not said whether its engines answer");
        engines("", FINDING_WARN, "has not said whether its engines answer");
        engines("engines perhaps x\n", FINDING_WARN, "has not said whether its engines answer");
        engines("nvidia-smi ok x\nengines ok x\n", FINDING_WARN, "has not said whether its engines answer");
        memset(text + strlen(text), 'x', sizeof(text) - strlen(text) - 1);
        text[sizeof(text) - 1] = '\0';
        findings_done(&found);
        ASSERT_EQ(setupcheck_engines("x", text, &found), 0);
        ASSERT_EQ(strlen(found.items[0].text), 200);
        findings_done(&found);
}

TEST(what_is_none) {
        steps("");
        ASSERT_EQ(found.n, 0);
        steps("driver\ndriver start\ndriver start -1\nother start 1\ndriver done 5\nstart driver 9\n");
        ASSERT_EQ(found.n, 0);
        program("nvidia-smi\nnvidia-smi ok\nnvidia-smi perhaps x\nothers ok x\n");
        ASSERT_EQ(found.n, 0);
}

TEST(no_answer_is_no_good_one) {
        program(NULL);
        ASSERT_EQ(found.n, 1);
        expect(0, FINDING_WARN, "setup", "did not answer what its driver and engines do");
        ASSERT(found.items[0].remedy);
}

TEST(checks_with_their_remedies) {
        program("nvidia-smi ok NVIDIA GeForce RTX 5060 Ti, 16311 MiB\nollama-health fail it does not run\nfirst-token skip no\n");
        ASSERT_EQ(found.n, 3);
        expect(0, FINDING_OK, "nvidia-smi", "NVIDIA GeForce RTX 5060 Ti, 16311 MiB");
        expect(1, FINDING_FAIL, "ollama-health", "it does not run");
        expect(2, FINDING_SKIP, "first-token", "no");
        program("lspci fail x\nmodel-store fail x\nmodel-backup fail x\nvllm-gpu fail x\nollama-list fail x\nollama-gpu fail x\n"
                "ssh-keys fail x\nfirewall fail x\nswap fail x\nsecrets fail x\nnvtop fail x\nvllm-user fail x\nvllm-boot fail x\n"
                "vllm-listen fail x\nollama-user fail x\nollama-boot fail x\nollama-listen fail x\n");
        ASSERT_EQ(found.n, 17);
        for (size_t i = 0; i < found.n; i++)
                ASSERT(found.items[i].level == FINDING_FAIL && found.items[i].remedy);
        findings_done(&found);
}

TEST(what_is_more_than_was_asked_for) {
        program("firewall warn it lets in more than was asked for: 9100/tcp\n");
        ASSERT_EQ(found.n, 1);
        expect(0, FINDING_WARN, "firewall", "it lets in more than was asked for: 9100/tcp");
        ASSERT(strstr(found.items[0].remedy, "ufw delete"));
        findings_done(&found);
}
