/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <math.h>

#include "metrics.h"
#include "strv.h"
#include "tests/tap.h"

static void expect(const Metrics *m, const char *expected) {
        _cleanup_free_ char *text = NULL;

        ASSERT_EQ(metrics_text(m, &text), 0);
        ASSERT_STREQ(text, expected);
}

/* As a label of a sample. */
static void expect_label(const char *value, const char *escaped) {
        _cleanup_(metrics_done) Metrics m = {};
        _cleanup_free_ char *expected = NULL;

        metrics_add(&m, "a", METRICS_LABELED({ "l", value }), 1);
        ASSERT(asprintf(&expected, "a{l=\"%s\"} 1\n", escaped) > 0);
        expect(&m, expected);
}

TEST(a_metric_and_its_samples) {
        _cleanup_(metrics_done) Metrics m = {};

        expect(&m, "");
        metrics_gauge(&m, "up", "Whether it is on.");
        metrics_add(&m, "up", NULL, 1);
        metrics_gauge(&m, "heat", "How hot.");
        metrics_add(&m, "heat", METRICS_LABELED({ "gpu", "0000:01:00.0" }, { "vm", NULL }), 36.5);
        metrics_add(&m, "heat", METRICS_LABELED({ "gpu", "0000:02:00.0" }), NAN);
        expect(&m,
               "# HELP up Whether it is on.\n# TYPE up gauge\nup 1\n"
               "# HELP heat How hot.\n# TYPE heat gauge\nheat{gpu=\"0000:01:00.0\",vm=\"\"} 36.5\n");
}

TEST(numbers_keep_what_they_are) {
        _cleanup_(metrics_done) Metrics m = {};

        metrics_add(&m, "a", NULL, 0);
        metrics_add(&m, "a", NULL, 25769803776.0);
        metrics_add(&m, "a", NULL, 0.07);
        metrics_add(&m, "a", NULL, 2.1e9);
        expect(&m, "a 0\na 25769803776\na 0.07\na 2100000000\n");
}

TEST(labels_are_anybodys_words) {
        expect_label("", "");
        expect_label("GeForce RTX 4090", "GeForce RTX 4090");
        expect_label("a\"b\\c\nx", "a\\\"b\\\\c\\nx");
        expect_label("\xc3\xa4\xf0\x9f\x98\x80", "\xc3\xa4\xf0\x9f\x98\x80");
        expect_label("\x1b[31m\t\x7f\xc2\x9b",
                     "?[31m?"
                     "?"
                     "?");
        expect_label("\xff\xc3(\xed\xa0\x80",
                     "?"
                     "?(?"
                     "?"
                     "?");
        expect_label("cut \xe2\x82",
                     "cut ?"
                     "?");
        expect_label("} 1\nup 0\n", "} 1\\nup 0\\n");
}
