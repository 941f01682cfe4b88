/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which engines are asked from outside, where, and what becomes of the answer. */

#include "enginecheck.h"
#include "tests/tap.h"

#define RUN "lspci ok x\nvllm-health ok it answers\nollama-health ok it answers\n"

static const char open_to_all[] = "# Written.\nVLLM_LISTEN=\"0.0.0.0\"\nOLLAMA_LISTEN=\"192.0.2.7\"\n"
                                  "VLLM_PORT=\"8000\"\nOLLAMA_PORT=\"11434\"\nENGINE=\"both\"\n";

static void expect(EngineName e, const char *settings, const char *found, const char *address,
                   const char *url) {
        _cleanup_free_ char *got = NULL;

        ASSERT_EQ(enginecheck_url(e, settings, found, address, &got), url != NULL);
        if (url)
                ASSERT_STREQ(got, url);
}

TEST(what_is_open_is_asked) {
        expect(ENGINE_VLLM, open_to_all, RUN, "192.0.2.7", "http://192.0.2.7:8000/health");
        expect(ENGINE_OLLAMA, open_to_all, RUN, "192.0.2.7", "http://192.0.2.7:11434/api/version");
        expect(ENGINE_VLLM, "VLLM_LISTEN='::'\nVLLM_PORT=80", RUN, "2001:db8::7",
               "http://[2001:db8::7]:80/health");
        expect(ENGINE_VLLM, "VLLM_LISTEN=::\nVLLM_PORT=80", RUN, "192.0.2.7", "http://192.0.2.7:80/health");
        expect(ENGINE_VLLM, "VLLM_LISTEN=2001:DB8:0::7\nVLLM_PORT=80", RUN, "2001:db8::7",
               "http://[2001:db8::7]:80/health");
        expect(ENGINE_VLLM, "VLLM_LISTEN=192.0.2.1\nVLLM_LISTEN=192.0.2.7\nVLLM_PORT=80", RUN, "192.0.2.7",
               "http://192.0.2.7:80/health");
}

TEST(nobody_else_is_asked) {
        expect(ENGINE_OLLAMA, open_to_all, RUN, "192.0.2.8", NULL);
        expect(ENGINE_VLLM, open_to_all, RUN, "2001:db8::7", NULL);
        expect(ENGINE_VLLM, open_to_all, RUN, "evil.example", NULL);
        expect(ENGINE_VLLM, "VLLM_LISTEN=127.0.0.1\nVLLM_PORT=8000", RUN, "192.0.2.7", NULL);
        expect(ENGINE_VLLM, "VLLM_LISTEN=::1\nVLLM_PORT=8000", RUN, "192.0.2.7", NULL);
        expect(ENGINE_VLLM, "VLLM_LISTEN=::7\nVLLM_PORT=8000", RUN, "192.0.2.7", NULL);
}

TEST(what_sleeps_is_left_alone) {
        expect(ENGINE_VLLM, open_to_all, "vllm-health skip it does not run\n", "192.0.2.7", NULL);
        expect(ENGINE_VLLM, open_to_all, "vllm-health fail it does not run\n", "192.0.2.7", NULL);
        expect(ENGINE_VLLM, open_to_all, "not vllm-health ok x\nollama-health ok x\n", "192.0.2.7", NULL);
        expect(ENGINE_VLLM, open_to_all, "", "192.0.2.7", NULL);
}

TEST(what_are_no_settings) {
        expect(ENGINE_VLLM, "", RUN, "192.0.2.7", NULL);
        expect(ENGINE_VLLM, "VLLM_LISTEN=0.0.0.0", RUN, "192.0.2.7", NULL);
        expect(ENGINE_VLLM, "VLLM_LISTEN=0.0.0.0\nVLLM_PORT=", RUN, "192.0.2.7", NULL);
        expect(ENGINE_VLLM, "VLLM_LISTEN=0.0.0.0\nVLLM_PORT=99999", RUN, "192.0.2.7", NULL);
        expect(ENGINE_VLLM, "VLLM_LISTEN=0.0.0.0\nVLLM_PORT=0", RUN, "192.0.2.7", NULL);
        expect(ENGINE_VLLM, "VLLM_LISTEN=\"0.0.0.0\nVLLM_PORT=80", RUN, "192.0.2.7", NULL);
        expect(ENGINE_VLLM, "VLLM_LISTEN=0.0.0.0 x\nVLLM_PORT=80", RUN, "192.0.2.7", NULL);
        expect(ENGINE_VLLM, "VLLM_LISTEN=a@b\nVLLM_PORT=80/x", RUN, "192.0.2.7", NULL);
        expect(ENGINE_VLLM, "[x]\nVLLM_LISTEN\n[\n", RUN, "192.0.2.7", NULL);
}

TEST(answers) {
        EngineAnswer a[_ENGINE_NAME_MAX] = { [ENGINE_VLLM] = { strdup("http://192.0.2.7:8000/health"),
                                                               200 } };
        Findings l = {};

        ASSERT_EQ(enginecheck("x", a, &l), 0);
        ASSERT_EQ(l.n, 1);
        ASSERT_EQ(l.items[0].level, FINDING_OK);
        ASSERT_STREQ(l.items[0].check, "vllm-http");
        ASSERT_STREQ(l.items[0].text, "answers at http://192.0.2.7:8000/health");
        findings_done(&l);

        a[ENGINE_VLLM].status = -ETIMEDOUT;
        a[ENGINE_OLLAMA] = (EngineAnswer){ strdup("http://192.0.2.7:11434/api/version"), 404 };
        ASSERT_EQ(enginecheck("x", a, &l), 0);
        ASSERT_EQ(l.n, 2);
        ASSERT_EQ(l.items[0].level, FINDING_WARN);
        ASSERT_STREQ(l.items[0].text,
                     "answers in the guest, but is not reached from here at "
                     "http://192.0.2.7:8000/health: Connection timed out");
        ASSERT(strstr(l.items[0].remedy, "ufw status"));
        ASSERT_EQ(l.items[1].level, FINDING_WARN);
        ASSERT_STREQ(l.items[1].check, "ollama-http");
        ASSERT_STREQ(l.items[1].text,
                     "answers in the guest, but from here http://192.0.2.7:11434/api/version gives status 404");
        ASSERT(l.items[1].remedy);
        findings_done(&l);

        a[ENGINE_VLLM].error = strdup("No route to host");
        ASSERT_EQ(enginecheck("x", a, &l), 0);
        ASSERT(strstr(l.items[0].text, "/health: No route to host"));
        findings_done(&l);
        for (EngineName e = 0; e < _ENGINE_NAME_MAX; e++)
                engineanswer_done(&a[e]);
        ASSERT_EQ(enginecheck("x", a, &l), 0);
        ASSERT_EQ(l.n, 0);
}
