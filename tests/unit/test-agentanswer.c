/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "agentanswer.h"
#include "strv.h"
#include "tests/tap.h"

TEST(numbers) {
        int64_t n = 0;

        ASSERT_EQ(agentanswer_handle("{\"return\":1000}", &n), 0);
        ASSERT_EQ(n, 1000);
        ASSERT_EQ(agentanswer_pid("{\"return\":{\"pid\":812}}", &n), 0);
        ASSERT_EQ(n, 812);
        ASSERT_EQ(agentanswer_handle("{\"return\":{}}", &n), -EBADMSG);
        ASSERT_EQ(agentanswer_handle("{\"return\":\"1\"}", &n), -EBADMSG);
        ASSERT_EQ(agentanswer_pid("{\"return\":812}", &n), -EBADMSG);
        ASSERT_EQ(agentanswer_pid("", &n), -EBADMSG);
        ASSERT_EQ(agentanswer_pid("{", &n), -EBADMSG);
}

TEST(what_a_file_says) {
        _cleanup_free_ char *text = NULL, *none = NULL;

        ASSERT_EQ(agentanswer_text("{\"return\":{\"count\":5,\"buf-b64\":\"YWIKYwk=\",\"eof\":true}}", &text),
                  0);
        ASSERT_STREQ(text, "ab\nc\t");
        ASSERT_EQ(agentanswer_text("{\"return\":{\"count\":0,\"buf-b64\":\"\",\"eof\":true}}", &none), 0);
        ASSERT_STREQ(none, "");
}

/* An escape sequence, a NUL and a byte of UTF-8 for whoever reads it on a terminal. */
TEST(nothing_but_text) {
        _cleanup_free_ char *text = NULL;
        char *bad = NULL;

        ASSERT_EQ(agentanswer_text("{\"return\":{\"buf-b64\":\"G1sybQDDCg==\"}}", &text), 0);
        ASSERT_STREQ(text, "?[2m??\n");
        ASSERT_EQ(agentanswer_text("{\"return\":{\"buf-b64\":\"a b\"}}", &bad), -EBADMSG);
        ASSERT_EQ(agentanswer_text("{\"return\":{\"buf-b64\":\"YWI\\u00e9\"}}", &bad), -EBADMSG);
        ASSERT_EQ(agentanswer_text("{\"error\":{\"desc\":\"no\"}}", &bad), -EBADMSG);
        ASSERT(!bad);
}

TEST(no_more_than_can_be_used) {
        enum { SIZE = 4 * AGENT_TEXT_MAX };
        static const char head[] = "{\"return\":{\"buf-b64\":\"";
        _cleanup_free_ char *json = calloc(1, sizeof(head) + SIZE + 4), *text = NULL;

        ASSERT(json);
        strcpy(json, head);
        memset(json + strlen(head), 'Y', SIZE);
        strcat(json, "\"}}");
        ASSERT_EQ(agentanswer_text(json, &text), 0);
        ASSERT_EQ(strlen(text), AGENT_TEXT_MAX);
}

TEST(how_a_process_ends) {
        _cleanup_free_ char *text = NULL, *none = NULL, *killed = NULL;
        int status = -1;

        ASSERT_EQ(agentanswer_end("{\"return\":{\"exited\":false}}", &status, &text), 0);
        ASSERT(!text);
        ASSERT_EQ(agentanswer_end("{\"return\":{\"exited\":true,\"exitcode\":9,\"out-data\":\"aGk=\"}}",
                                  &status, &text),
                  1);
        ASSERT_EQ(status, 9);
        ASSERT_STREQ(text, "hi");
        ASSERT_EQ(agentanswer_end("{\"return\":{\"exited\":true,\"exitcode\":0}}", &status, &none), 1);
        ASSERT_EQ(status, 0);
        ASSERT_STREQ(none, "");
        ASSERT_EQ(agentanswer_end("{\"return\":{\"exited\":true,\"signal\":9}}", &status, &killed), 1);
        ASSERT_EQ(status, 137);
}

TEST(an_end_that_is_none) {
        static const char *const bad[] = {
                "{\"return\":{}}",
                "{\"return\":{\"exited\":true}}",
                "{\"return\":{\"exited\":\"yes\",\"exitcode\":0}}",
                "{\"return\":{\"exited\":true,\"exitcode\":-1}}",
                "{\"return\":{\"exited\":true,\"exitcode\":256}}",
                "{\"return\":{\"exited\":true,\"signal\":1000}}",
                "{\"return\":{\"exited\":true,\"exitcode\":0,\"out-data\":\"!\"}}",
                "[]",
        };
        char *text = NULL;
        int status;

        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                ASSERT_EQ(agentanswer_end(bad[i], &status, &text), -EBADMSG);
        ASSERT(!text);
}

TEST(addresses_and_nothing_else) {
        static const char json[] =
                        "{\"return\":[{\"name\":\"lo\",\"ip-addresses\":[{\"ip-address\":\"10.9.9.9\",\"prefix\":32}]},"
                        "{\"name\":\"eth0\"},7,{\"name\":\"eth1\",\"ip-addresses\":["
                        "{\"ip-address\":\"192.0.2.7\",\"prefix\":24},{\"ip-address\":\"2001:db8::7\",\"prefix\":64},"
                        "{\"ip-address\":\"\\u001b[2J\",\"prefix\":24},{\"ip-address\":\"-oProxyCommand=x\"},"
                        "{\"ip-address\":\"192.0.2.8\",\"prefix\":33},{\"ip-address\":\"192.0.2.9 x\"},{}]}]}";
        _cleanup_strv_ char **l = NULL, **none = NULL;
        _cleanup_free_ char *all = NULL;

        ASSERT_EQ(agentanswer_addresses(json, &l), 0);
        all = strv_join(l, " ");
        ASSERT_STREQ(all, "192.0.2.7/24 2001:db8::7/64 192.0.2.8");
        ASSERT_EQ(agentanswer_addresses("{\"return\":[]}", &none), 0);
        ASSERT(!none);
        ASSERT_EQ(agentanswer_addresses("{\"return\":{}}", &none), -EBADMSG);
        ASSERT_EQ(agentanswer_addresses("", &none), -EBADMSG);
}

TEST(no_more_addresses_than_can_be_used) {
        _cleanup_strv_ char **l = NULL, **parts = NULL;
        _cleanup_free_ char *json = NULL, *list = NULL;

        for (int i = 0; i < 4 * AGENT_ADDRESSES_MAX; i++)
                ASSERT(strv_extendf(&parts, "%s{\"ip-address\":\"::%x\"}", i > 0 ? "," : "", i + 2) >= 0);
        list = strv_join(parts, "");
        ASSERT(asprintf(&json, "{\"return\":[{\"name\":\"a\",\"ip-addresses\":[%s]}]}", list) > 0);
        ASSERT_EQ(agentanswer_addresses(json, &l), 0);
        ASSERT_EQ(strv_length(l), AGENT_ADDRESSES_MAX);
}
