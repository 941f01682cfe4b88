/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Any bytes as gpuvm.conf: what comes out is told in lines of text, is bounded, and reads back as the same.
 */

#include "conf.h"
#include "ini.h"
#include "strv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds) {
        if (!holds)
                abort();
}

static void on_problem(const char *file, unsigned line, const char *text, void *userdata) {
        check(streq(file, "file") && line > 0 && *text && strlen(text) < 512);
        ++*(size_t *) userdata;
}

/* The settings hold no byte that could end a line, start a specifier or leave a quote. */
static void check_text(const char *text) {
        check(ini_is_utf8(text, strlen(text)));
        for (const char *p = text; *p; p++)
                check(*p == '\n' || ((unsigned char) *p >= ' ' && *p != 0x7f && *p != '%' && *p != '\\'));
}

static void no_problem(const char *file, unsigned line, const char *text, void *userdata) {
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *once = NULL, *twice = NULL;
        _cleanup_(conf_done) Conf c = {}, d = {};
        size_t n_problems = 0;

        check(conf_init(&c) == 0);
        check(conf_parse("file", (const char *) data, size, on_problem, &n_problems, &c) == 0);
        check(n_problems <= size && c.n_gpus <= 256 && strv_length(c.accept_siblings) <= 64);
        check(conf_format(&c, &once) == 0);
        check_text(once);
        check(conf_init(&d) == 0);
        check(conf_parse("again", once, strlen(once), no_problem, NULL, &d) == 0);
        check(conf_format(&d, &twice) == 0);
        check(streq(once, twice));
        return 0;
}
