/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <arpa/inet.h>

#include "enginecheck.h"
#include "fs.h"
#include "ini.h"
#include "parse.h"
#include "strv.h"

/* Neither needs a key, and neither computes anything. */
static const struct {
        const char *listen, *port, *runs, *path, *check;
} engines[_ENGINE_NAME_MAX] = {
        [ENGINE_VLLM] = { "VLLM_LISTEN", "VLLM_PORT", "vllm-health ok ", "/health", "vllm-http" },
        [ENGINE_OLLAMA] = { "OLLAMA_LISTEN", "OLLAMA_PORT", "ollama-health ok ", "/api/version",
                            "ollama-http" },
};

typedef struct Address {
        int family;
        struct in6_addr bytes;
} Address;

typedef struct Place {
        EngineName engine;
        Address listen; /* family 0: not known */
        unsigned port;  /* 0: not known */
} Place;

void engineanswer_done(EngineAnswer *a) {
        free(a->url);
        free(a->error);
        *a = (EngineAnswer){};
}

static Address parse_address(const char *s) {
        Address a = {};

        if (inet_pton(AF_INET, s, &a.bytes) == 1)
                a.family = AF_INET;
        else if (inet_pton(AF_INET6, s, &a.bytes) == 1)
                a.family = AF_INET6;
        return a;
}

/* As a shell and systemd read it; what is no such value is not known. */
static int on_assignment(unsigned line, const char *section, const char *key, const char *value,
                         void *userdata) {
        _cleanup_strv_ char **words = NULL;
        Place *p = userdata;
        int r = ini_split_words(value, &words);

        (void) line;
        (void) section;
        if (r == -ENOMEM)
                return r;
        if (r < 0 || strv_length(words) != 1)
                return 0;
        if (streq(key, engines[p->engine].listen))
                p->listen = parse_address(words[0]);
        if (streq(key, engines[p->engine].port) && parse_uint(words[0], UINT16_MAX, &p->port) < 0)
                p->port = 0;
        return 0;
}

static int on_section(unsigned line, const char *section, void *userdata) {
        (void) line;
        (void) section;
        (void) userdata;
        return 0;
}

static void on_problem(unsigned line, const char *text, void *userdata) {
        (void) line;
        (void) text;
        (void) userdata;
}

/* 0.0.0.0 are all of its family, and :: those of both. */
static bool listens_at(const Address *listen, const Address *a) {
        static const struct in6_addr all;

        if (memcmp(&listen->bytes, &all, sizeof(all)) == 0)
                return listen->family == AF_INET6 || a->family == AF_INET;
        return listen->family == a->family && memcmp(&listen->bytes, &a->bytes, sizeof(a->bytes)) == 0;
}

static bool has_line(const char *text, const char *prefix) {
        for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n')
                if (startswith(line, prefix))
                        return true;
        return false;
}

int enginecheck_url(EngineName e, const char *settings, const char *found, const char *address, char **ret) {
        Place p = { .engine = e };
        const Ini ini = { .section = on_section,
                          .assignment = on_assignment,
                          .problem = on_problem,
                          .userdata = &p };
        Address a = parse_address(address);
        bool v6 = a.family == AF_INET6;
        int r = ini_parse(&ini, settings, strlen(settings));

        if (r < 0)
                return r;
        if (p.listen.family == 0 || p.port == 0 || a.family == 0 || !listens_at(&p.listen, &a) ||
            !has_line(found, engines[e].runs))
                return 0;
        r = str_printf(ret, "http://%s%s%s:%u%s", v6 ? "[" : "", address, v6 ? "]" : "", p.port,
                       engines[e].path);
        return r < 0 ? r : 1;
}

static int judge(const char *machine, EngineName e, const EngineAnswer *a, Findings *l) {
        static const char remedy[] =
                        "'ufw status' in the guest shows whether its firewall lets this host in (Firewall= in its file, --firewall), 'vmctl check' on the host whether bridge and routes are well";

        if (a->status == 200)
                return findings_add(l, FINDING_OK, engines[e].check, machine, NULL, "answers at %s", a->url);
        if (a->status > 0)
                return findings_add(l, FINDING_WARN, engines[e].check, machine,
                                    "Does something else answer in its place, at that address?",
                                    "answers in the guest, but from here %s gives status %d", a->url,
                                    a->status);
        return findings_add(l, FINDING_WARN, engines[e].check, machine, remedy,
                            "answers in the guest, but is not reached from here at %s: %s", a->url,
                            a->error ?: strerror(-a->status));
}

int enginecheck(const char *machine, const EngineAnswer answers[static _ENGINE_NAME_MAX], Findings *ret) {
        int r = 0;

        for (EngineName e = 0; e < _ENGINE_NAME_MAX && r >= 0; e++)
                if (answers[e].url)
                        r = judge(machine, e, &answers[e], ret);
        return r;
}
