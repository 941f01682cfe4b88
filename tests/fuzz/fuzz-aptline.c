/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Lines of apt-get and dpkg: each kind of line is understood or not, never half. */

#include "aptline.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds) {
        if (!holds)
                abort();
}

static void check_line(const char *line) {
        _cleanup_(apt_step_done) AptStep s = {};
        const char *text = NULL;
        unsigned percent = 1000;
        int r;

        check(apt_remedy(apt_classify(line)) != NULL);
        r = apt_parse_step(line, &s);
        check(r == 0 || r == 1);
        check((r == 1) == (s.kind != APT_STEP_NONE));
        check((r == 1) == (s.package != NULL));
        check((s.version != NULL) == (s.kind == APT_STEP_INSTALL || s.kind == APT_STEP_UPGRADE));
        check(!s.package || (*s.package && *s.package != '-' && !strchr(s.package, ' ')));
        if (apt_parse_progress(line, &text, &percent) > 0)
                check(percent <= 999 && text > line && text <= line + strlen(line) && *text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *text = malloc(size + 1);
        char *save = NULL;

        if (!text)
                return 0;
        memcpy(text, data, size);
        text[size] = '\0';
        for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
                check_line(line);
        return 0;
}
