/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Any bytes as configuration and command line, up to the tree that is written: names are those of our units,
 * one directory deep; links lead into the unit directory; texts are printable, without "%"; each phase needs
 * one that is linked too. The first NUL separates the file from the command line. */

#include <ctype.h>

#include "plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds) {
        if (!holds)
                abort();
}

static void check_name(const char *s, size_t n) {
        check(n > 0 && n < 64 && *s != '.');
        for (size_t i = 0; i < n; i++)
                check(islower((unsigned char) s[i]) || isdigit((unsigned char) s[i]) || strchr(".-", s[i]));
}

static bool has(const Plan *p, const char *directory, const char *unit, size_t n) {
        for (size_t i = 0; i < p->n; i++) {
                const char *e = startswith(p->entries[i].path, directory);

                if (e && strlen(e) == n && strncmp(e, unit, n) == 0)
                        return true;
        }
        return false;
}

static void check_text(const Plan *p, const char *text) {
        const char *needs = strstr(text, "\nRequires=");

        check(strlen(text) < 512 && text[strlen(text) - 1] == '\n' && strstr(text, "\n[Unit]\n"));
        for (const char *t = text; *t; t++)
                check(*t == '\n' || (isprint((unsigned char) *t) && *t != '%'));
        if (needs) {
                needs += strlen("\nRequires=");
                check(has(p, "gpuvm-bootstrap.target.requires/", needs, strcspn(needs, "\n")));
        }
}

static void check_entry(const Plan *p, const PlanEntry *e) {
        const char *slash = strchr(e->path, '/');

        check(slash && (startswith(e->path, "gpuvm-") || startswith(e->path, "multi-user.target.wants/")));
        check_name(e->path, (size_t) (slash - e->path));
        check_name(slash + 1, strlen(slash + 1));
        check(!e->target != !e->text);
        if (e->text)
                check_text(p, e->text);
        else {
                const char *name = startswith(e->target, GPUVM_UNITDIR "/");

                check(name && streq(name, slash + 1) && startswith(name, "gpuvm-"));
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        const uint8_t *nul = memchr(data, 0, size);
        size_t n = nul ? (size_t) (nul - data) : size;
        _cleanup_free_ char *words = strndup((const char *) data + n + !!nul, size - n - !!nul), *one = NULL,
                            *two = NULL;
        _cleanup_(plan_done) Plan p = {}, q = {};
        _cleanup_(conf_done) Conf c = {};

        check(words && conf_init(&c) == 0);
        check(conf_parse("file", (const char *) data, n, NULL, NULL, &c) == 0);
        check(conf_parse_cmdline(words, NULL, NULL, &c) == 0);
        check(plan_make(&c, size % 2 ? "/etc/gpuvm.conf" : NULL, &p) == 0);
        check(p.n >= 1 && p.n <= 2 * PLAN_PHASES_MAX + 2);
        check(c.enabled ==
              has(&p, "gpuvm-bootstrap.target.requires/", "gpuvm-verify.service",
                  strlen("gpuvm-verify.service")));
        for (size_t i = 0; i < p.n; i++) {
                check_entry(&p, &p.entries[i]);
                check(i == 0 || strcmp(p.entries[i - 1].path, p.entries[i].path) < 0);
        }
        check(plan_make(&c, size % 2 ? "/etc/gpuvm.conf" : NULL, &q) == 0);
        check(plan_format(&p, &one) == 0 && plan_format(&q, &two) == 0 && streq(one, two));
        return 0;
}
