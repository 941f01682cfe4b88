/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What asks for GPUs, and what names them. */

#include "gpuwish.h"
#include "tests/tap.h"

#define WORDS(...)                              \
        (char *const *) (const char *const[]) { \
                __VA_ARGS__, NULL               \
        }

static void reads(char *const *words, const char *text) {
        _cleanup_(gpuwish_done) GpuWish w = {}, again = {};
        _cleanup_free_ char *got = NULL;
        const char *why = NULL;

        ASSERT_EQ(gpuwish_parse(words, &w, &why), 1);
        ASSERT_EQ(gpuwish_format(&w, &got), 0);
        ASSERT_STREQ(got, text);
        ASSERT_EQ(gpuwish_parse(WORDS(got), &again, &why), 1);
        ASSERT_EQ(again.n, w.n);
}

static void refuses(char *const *words) {
        _cleanup_(gpuwish_done) GpuWish w = {};
        const char *why = NULL;

        ASSERT_EQ(gpuwish_parse(words, &w, &why), -EINVAL);
        ASSERT(why != NULL);
        ASSERT(w.model == NULL);
}

TEST(one_form_for_all) {
        reads(WORDS("2"), "2");
        reads(WORDS("any"), "1");
        reads(WORDS("RTX 4090"), "RTX 4090");
        reads(WORDS("RTX", "4090"), "RTX 4090");
        reads(WORDS("4090"), "4090");
        reads(WORDS("1", "RTX 4090"), "RTX 4090");
        reads(WORDS("2", "x", "RTX", "4090"), "2 x RTX 4090");
        reads(WORDS("2x RTX 4090"), "2 x RTX 4090");
        reads(WORDS("16 A100"), "16 x A100");
        reads(WORDS("H200 SXM 141GB"), "H200 SXM 141GB");
}

TEST(names_are_none) {
        GpuWish w = {};
        const char *why = NULL;

        ASSERT_EQ(gpuwish_parse(NULL, &w, &why), 0);
        ASSERT_EQ(gpuwish_parse(WORDS("01:00.0"), &w, &why), 0);
        ASSERT_EQ(gpuwish_parse(WORDS("0000:01:00.0", "pci-0000:00:01.0/00.0"), &w, &why), 0);
        ASSERT_EQ(gpuwish_parse(WORDS("none"), &w, &why), 0);
        ASSERT_EQ(w.n, 0);
}

TEST(what_means_nothing) {
        refuses(WORDS("0"));
        refuses(WORDS("17"));
        refuses(WORDS("x"));
        refuses(WORDS("2 x"));
        refuses(WORDS("%i"));
        refuses(WORDS("A100\nB"));
        refuses(WORDS("<wish/>"));
        refuses(WORDS("01:00.0", "2"));
        refuses(WORDS("RTX 4090", "none"));
        refuses(WORDS("12345678901234567890123456789012345678901234567890123456789012345"));
}

static bool fits(const char *model, const char *name) {
        return gpuwish_fits(&(GpuWish){ .n = 1, .model = (char *) model }, name);
}

TEST(whole_words_whatever_the_case) {
        ASSERT(fits("RTX 4090", "GeForce RTX 4090"));
        ASSERT(fits("rtx 4090", "GeForce RTX 4090"));
        ASSERT(fits("4090", "GeForce RTX 4090"));
        ASSERT(!fits("409", "GeForce RTX 4090"));
        ASSERT(!fits("090", "GeForce RTX 4090"));
        ASSERT(fits("A10", "NVIDIA A100, A10"));
        ASSERT(!fits("A10", "A100 PCIe"));
        ASSERT(!fits("A10", NULL));
        ASSERT(fits(NULL, NULL));
}
