/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A kernel command line: words have no more bytes than the line, a word is found by its own key, and what it
 * says about gpuvm gives settings that a configuration file could have given. */

#include "cmdline.h"
#include "conf.h"
#include "strv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds) {
        if (!holds)
                abort();
}

static void check_words(const char *text, char *const *words) {
        size_t total = 0;

        STRV_FOREACH(w, words) {
                _cleanup_free_ char *key = strndup(*w, strcspn(*w, "="));

                total += strlen(*w);
                check(cmdline_has(words, *w));
                check(key && cmdline_get(words, key) != NULL);
        }
        check(total <= strlen(text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *text = strndup((const char *) data, size), *once = NULL, *twice = NULL;
        _cleanup_(conf_done) Conf c = {}, d = {};
        _cleanup_strv_ char **words = NULL;

        check(text && cmdline_parse(text, &words) == 0);
        check_words(text, words);
        check(conf_init(&c) == 0 && conf_parse_cmdline(text, NULL, NULL, &c) == 0);
        check(conf_format(&c, &once) == 0);
        check(conf_init(&d) == 0 && conf_parse("again", once, strlen(once), NULL, NULL, &d) == 0);
        check(conf_format(&d, &twice) == 0 && streq(once, twice));
        return 0;
}
