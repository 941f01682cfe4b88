/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a guest's agent answers, taken for each kind of answer. */

#include "agentanswer.h"
#include "strv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Nothing that a terminal would obey, and no more than was promised. */
static void check(int r, const char *text) {
        if (r < 0 && r != -EBADMSG)
                abort();
        if (r < 0 && text)
                abort();
        if (text && strlen(text) > AGENT_TEXT_MAX)
                abort();
        for (; text && *text; text++)
                if ((*text < ' ' && *text != '\n' && *text != '\t') || *text > '~')
                        abort();
}

static void check_addresses(const char *json) {
        _cleanup_strv_ char **l = NULL;

        check(agentanswer_addresses(json, &l), NULL);
        if (strv_length(l) > AGENT_ADDRESSES_MAX)
                abort();
        STRV_FOREACH(address, l)
                if ((*address)[strspn(*address, "0123456789abcdefABCDEF.:/")] != '\0')
                        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *json = strndup((const char *) data, size), *text = NULL, *out = NULL;
        int64_t number;
        int status = 0, r;

        check(agentanswer_handle(json, &number), NULL);
        check(agentanswer_pid(json, &number), NULL);
        check(agentanswer_text(json, &text), text);
        check_addresses(json);
        r = agentanswer_end(json, &status, &out);
        check(r, out);
        if ((r > 0) != (out != NULL) || status < 0 || status > 255)
                abort();
        return 0;
}
