/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "aptsource.h"
#include "fs.h"
#include "tests/tap.h"

/* "URIS SUITES COMPONENTS SIGNED-BY;" for each. */
static char *describe(const char *text, bool deb822) {
        _cleanup_(aptsources_done) AptSources l = {};
        char *all = strdup("");

        ASSERT_EQ(aptsources_parse(&l, text, deb822), 0);
        for (size_t i = 0; i < l.n; i++) {
                const AptSource *s = &l.items[i];
                _cleanup_free_ char *uris = strv_join(s->uris, "+"), *suites = strv_join(s->suites, "+"),
                                    *components = strv_join(s->components, "+"), *old = all;

                ASSERT(str_printf(&all, "%s%s %s %s %s;", old, uris, suites, components,
                                  s->signed_by ?: "-") >= 0);
        }
        return all;
}

TEST(reads_lines) {
        static const struct {
                const char *text, *want;
        } rows[] = {
                { "deb http://a/debian bookworm main contrib", "http://a/debian bookworm main+contrib -;" },
                { "  deb\thttp://a  b  c # d\n", "http://a b c -;" },
                { "deb [arch=amd64 signed-by=/k.gpg] http://a / \n", "http://a /  /k.gpg;" },
                { "deb [ signed-by=/k.gpg arch=amd64 ] http://a b c", "http://a b c /k.gpg;" },
                { "# deb http://a b c\ndeb-src http://a b c\n\ndeb http://d e f\r\n", "http://d e f -;" },
                { "deb http://a\n", "" },
                { "deb [arch=amd64 http://a b c\n", "" },
                { "debug http://a b c", "" },
                { "", "" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_free_ char *got = describe(rows[i].text, false);

                ASSERT_STREQ(got, rows[i].want);
        }
}

TEST(reads_stanzas) {
        static const struct {
                const char *text, *want;
        } rows[] = {
                { "Types: deb\nURIs: http://a/debian\nSuites: bookworm bookworm-updates\nComponents: main\n"
                  "Signed-By: /usr/share/keyrings/k.gpg\n",
                  "http://a/debian bookworm+bookworm-updates main /usr/share/keyrings/k.gpg;" },
                { "types:deb deb-src\nuris:http://a\nsuites:./\n", "http://a ./  -;" },
                { "# c\nTypes: deb\n# c\nURIs: http://a\n http://b\nSuites: x\nComponents:\n main\n universe\n",
                  "http://a+http://b x main+universe -;" },
                { "Types: deb\nURIs: http://a\nSuites: x\nEnabled: no\n\nTypes: deb\nURIs: http://b\nSuites: y\n \n",
                  "http://b y  -;" },
                { "Types: deb-src\nURIs: http://a\nSuites: x\n", "" },
                { "Types: deb\nSuites: x\n\n\n\nURIs: http://a\n", "" },
                { "Types: deb\nURIs: http://a\nSuites: x\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n a\n",
                  "http://a x  ;" },
                { "Types: deb\nURIs: http://a\nSuites: x\nSigned-By: /k.asc ABCD\nX-Repolib-Name: n\n o\n",
                  "http://a x  /k.asc ABCD;" },
                { "nonsense\n more\nTypes", "" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_free_ char *got = describe(rows[i].text, true);

                ASSERT_STREQ(got, rows[i].want);
        }
}

TEST(knows_a_uri) {
        _cleanup_(aptsources_done) AptSources l = {};

        ASSERT_EQ(aptsources_parse(&l, "deb https://a.example/x/ /", false), 0);
        ASSERT(aptsources_have_uri(&l, "https://a.example/x") &&
               aptsources_have_uri(&l, "https://a.example/x/"));
        ASSERT(!aptsources_have_uri(&l, "https://a.example/") &&
               !aptsources_have_uri(&l, "https://a.example/xy"));
}

#define HEAD "# Written by gpuvm: NVIDIA's driver is in these; 'gpuvm-undo nvidia' takes it back.\n"

TEST(adds_components) {
        static const char *const wanted[] = { "contrib", "non-free", NULL };
        static const struct {
                const char *text, *want;
                int r;
        } rows[] = {
                { "deb http://a/debian bookworm main",
                  HEAD
                  "\nTypes: deb\nURIs: http://a/debian\nSuites: bookworm\nComponents: contrib non-free\n",
                  1 },
                { "deb [signed-by=/k] http://a bookworm main contrib\n"
                  "deb [signed-by=/k] http://a bookworm-updates main\n"
                  "deb http://s bookworm-security main contrib non-free\n"
                  "deb http://a bookworm-backports main\ndeb http://other bookworm stuff\n",
                  HEAD
                  "\nTypes: deb\nURIs: http://a\nSuites: bookworm\nComponents: non-free\nSigned-By: /k\n"
                  "\nTypes: deb\nURIs: http://a\nSuites: bookworm-updates\nComponents: contrib non-free\n"
                  "Signed-By: /k\n",
                  1 },
                { "deb http://a bookworm main\ndeb http://b bookworm contrib non-free\n", NULL, 0 },
                { "deb http://a trixie main", NULL, -ENOENT },
                { "deb http://a bookworm-updates main", NULL, -ENOENT },
                { "deb http://a bookworm contrib", NULL, -ENOENT },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(aptsources_done) AptSources l = {};
                _cleanup_free_ char *text = NULL;

                ASSERT_EQ(aptsources_parse(&l, rows[i].text, false), 0);
                ASSERT_EQ(aptsources_add_components(&l, "bookworm", wanted, &text), rows[i].r);
                ASSERT(streq_ptr(text, rows[i].want));
        }
}

TEST(a_key_in_the_file_is_not_repeated) {
        static const char *const wanted[] = { "contrib", NULL };
        _cleanup_(aptsources_done) AptSources l = {};
        _cleanup_free_ char *text = NULL;

        ASSERT_EQ(aptsources_parse(
                                  &l,
                                  "Types: deb\nURIs: http://a\nSuites: x\nComponents: main\nSigned-By:\n -----BEGIN\n",
                                  true),
                  0);
        ASSERT_EQ(aptsources_add_components(&l, "x", wanted, &text), -ENOKEY);
}
