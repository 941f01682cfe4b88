/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <ctype.h>

#include "aptsource.h"
#include "fs.h"

#define BLANKS       " \t"
#define SOURCES_LIST "/etc/apt/sources.list"
#define SOURCES_DIR  "/etc/apt/sources.list.d"

static void source_done(AptSource *s) {
        strv_free(s->uris);
        strv_free(s->suites);
        strv_free(s->components);
        free(s->signed_by);
        *s = (AptSource){};
}

void aptsources_done(AptSources *l) {
        for (size_t i = 0; i < l->n; i++)
                source_done(&l->items[i]);
        free(l->items);
        *l = (AptSources){};
}

/* Takes the source over, if it is one. */
static int add(AptSources *l, AptSource *s) {
        AptSource *t;

        if (!s->uris || !s->suites)
                return 0;
        t = reallocarray(l->items, l->n + 1, sizeof(*t));
        if (!t)
                return -ENOMEM;
        l->items = t;
        t[l->n++] = *s;
        *s = (AptSource){};
        return 0;
}

/* "[arch=amd64 signed-by=/x]": moves behind it, or gives NULL if it does not end. */
static const char *eat_options(const char *s, char **ret_signed_by) {
        const char *end = strchr(s, ']');
        _cleanup_strv_ char **words = NULL;
        _cleanup_free_ char *text = NULL;

        if (!end)
                return NULL;
        text = strndup(s + 1, (size_t) (end - s - 1));
        if (!text || strv_split(text, BLANKS, &words) < 0)
                return NULL;
        STRV_FOREACH(w, words)
                if (startswith(*w, "signed-by=") && free_and_strdup(ret_signed_by, strchr(*w, '=') + 1) < 0)
                        return NULL;
        return end + 1;
}

/* "deb [OPTIONS] URI SUITE COMPONENTS" */
static int parse_line(AptSources *l, const char *line) {
        _cleanup_(source_done) AptSource s = {};
        _cleanup_strv_ char **words = NULL;
        const char *p = startswith(line, "deb");
        int r;

        if (!p || !isblank((unsigned char) *p))
                return 0;
        p += strspn(p, BLANKS);
        if (*p == '[' && !(p = eat_options(p, &s.signed_by)))
                return 0;
        r = strv_split(p, BLANKS, &words);
        for (size_t i = 0; r >= 0 && words && words[i] && *words[i] != '#'; i++)
                r = strv_extend(i == 0 ? &s.uris : i == 1 ? &s.suites : &s.components, words[i]);
        return r < 0 ? r : add(l, &s);
}

/* A stanza as it is read: what may be said anywhere in it. */
typedef struct Stanza {
        AptSource source;
        char **types, **enabled, **keys;
        char ***field; /* where a line that goes on belongs; NULL: to what we do not care for */
} Stanza;

static void stanza_done(Stanza *s) {
        source_done(&s->source);
        strv_free(s->types);
        strv_free(s->enabled);
        strv_free(s->keys);
        *s = (Stanza){};
}

static int end_stanza(AptSources *l, Stanza *s) {
        static const char *const no[] = { "no", "false", "without", "off", "disable", "0" };
        int r = 0;

        for (size_t i = 0; s->enabled && i < ELEMENTSOF(no); i++)
                if (strcasecmp(*s->enabled, no[i]) == 0)
                        s->source.uris = (strv_free(s->source.uris), NULL);
        if (s->keys) {
                s->source.signed_by = *s->keys[0] == '/' ? strv_join(s->keys, " ") : strdup("");
                r = s->source.signed_by ? 0 : -ENOMEM;
        }
        if (r >= 0 && strv_contains(s->types, "deb"))
                r = add(l, &s->source);
        stanza_done(s);
        return r;
}

static char ***find_field(Stanza *s, const char *line, size_t n) {
        const struct {
                const char *name;
                char ***field;
        } fields[] = {
                { "Types", &s->types },          { "URIs", &s->source.uris },
                { "Suites", &s->source.suites }, { "Components", &s->source.components },
                { "Enabled", &s->enabled },      { "Signed-By", &s->keys },
        };

        for (size_t i = 0; i < ELEMENTSOF(fields); i++)
                if (strlen(fields[i].name) == n && strncasecmp(line, fields[i].name, n) == 0)
                        return fields[i].field;
        return NULL;
}

static int parse_stanza_line(AptSources *l, Stanza *s, const char *line) {
        _cleanup_strv_ char **words = NULL;
        const char *value = line;
        int r;

        if (*line == '#')
                return 0;
        if (line[strspn(line, BLANKS)] == '\0')
                return end_stanza(l, s);
        if (!isblank((unsigned char) *line)) {
                const char *colon = strchr(line, ':');

                s->field = colon ? find_field(s, line, (size_t) (colon - line)) : NULL;
                value = colon ? colon + 1 : line;
        }
        if (!s->field)
                return 0;
        r = strv_split(value, BLANKS, &words);
        STRV_FOREACH(w, words)
                if (r >= 0)
                        r = strv_extend(s->field, *w);
        return r;
}

int aptsources_parse(AptSources *l, const char *text, bool deb822) {
        _cleanup_(stanza_done) Stanza stanza = {};
        int r = 0;

        for (const char *end; *text && r >= 0; text = end + (*end == '\n')) {
                _cleanup_free_ char *line = NULL;

                end = strchrnul(text, '\n');
                line = strndup(text, strcspn(text, "\r\n"));
                if (!line)
                        return -ENOMEM;
                r = deb822 ? parse_stanza_line(l, &stanza, line) : parse_line(l, line + strspn(line, BLANKS));
        }
        return r < 0 || !deb822 ? r : end_stanza(l, &stanza);
}

static int load_file(int root, const char *path, AptSources *l) {
        _cleanup_free_ char *text = NULL;
        int r;

        r = fs_read(root, path, FS_FILE_MAX, &text, NULL);
        if (r == -ENOMEM)
                return r;
        return r < 0 ? 0 : aptsources_parse(l, text, endswith(path, ".sources") != NULL);
}

int aptsources_load(int root, const char *except, AptSources *ret) {
        _cleanup_(aptsources_done) AptSources l = {};
        _cleanup_strv_ char **names = NULL;
        int r;

        r = load_file(root, SOURCES_LIST, &l);
        if (r >= 0 && fs_list(root, SOURCES_DIR, &names) == -ENOMEM)
                return -ENOMEM;
        STRV_FOREACH(n, names) {
                _cleanup_free_ char *path = NULL;

                if (r < 0 || !(endswith(*n, ".list") || endswith(*n, ".sources")))
                        continue;
                r = str_printf(&path, SOURCES_DIR "/%s", *n);
                if (r >= 0 && !streq_ptr(path, except))
                        r = load_file(root, path, &l);
        }
        if (r < 0)
                return r;
        *ret = l;
        l = (AptSources){};
        return 0;
}

static bool same_uri(const char *a, const char *b) {
        size_t n = strlen(a), k = strlen(b);

        n -= n > 0 && a[n - 1] == '/';
        k -= k > 0 && b[k - 1] == '/';
        return n == k && strncmp(a, b, n) == 0;
}

bool aptsources_have_uri(const AptSources *l, const char *uri) {
        for (size_t i = 0; i < l->n; i++)
                STRV_FOREACH(u, l->items[i].uris)
                        if (same_uri(*u, uri))
                                return true;
        return false;
}

/* Those of the components that no source has for the suite. */
static int missing_components(const AptSources *l, const char *suite, const char *const *components,
                              char ***ret) {
        _cleanup_strv_ char **missing = NULL;
        int r = 0;

        for (; *components && r >= 0; components++) {
                bool have = false;

                for (size_t i = 0; i < l->n && !have; i++)
                        have = strv_contains(l->items[i].suites, suite) &&
                                        strv_contains(l->items[i].components, *components);
                if (!have)
                        r = strv_extend(&missing, *components);
        }
        if (r >= 0)
                *ret = TAKE_PTR(missing);
        return r;
}

static int write_stanza(FILE *f, const AptSource *s, const char *suite, char *const *components) {
        _cleanup_free_ char *uris = strv_join(s->uris, " "), *list = strv_join(components, " ");

        if (!uris || !list)
                return -ENOMEM;
        fprintf(f, "\nTypes: deb\nURIs: %s\nSuites: %s\nComponents: %s\n", uris, suite, list);
        if (s->signed_by)
                fprintf(f, "Signed-By: %s\n", s->signed_by);
        return 0;
}

/* The suites of a release that packages of it may come from without being asked for. */
static bool is_suite_of(const char *suite, const char *codename) {
        const char *rest = startswith(suite, codename);

        return rest && (streq(rest, "") || streq(rest, "-updates") || streq(rest, "-security"));
}

int aptsources_add_components(const AptSources *l, const char *codename, const char *const *components,
                              char **ret) {
        _cleanup_free_ char *text = NULL;
        bool found = false, any = false;
        _cleanup_fclose_ FILE *f = NULL;
        size_t size;
        int r = 0;

        f = open_memstream(&text, &size);
        if (!f)
                return -ENOMEM;
        fputs("# Written by gpuvm: NVIDIA's driver is in these; 'gpuvm-undo nvidia' takes it back.\n", f);
        for (size_t i = 0; i < l->n && r >= 0; i++) {
                const AptSource *s = &l->items[i];

                STRV_FOREACH(suite, s->suites) {
                        _cleanup_strv_ char **missing = NULL;

                        if (r < 0 || !is_suite_of(*suite, codename) || !strv_contains(s->components, "main"))
                                continue;
                        found |= streq(*suite, codename);
                        r = missing_components(l, *suite, components, &missing);
                        if (r < 0 || !missing)
                                continue;
                        any = true;
                        r = s->signed_by && !*s->signed_by ? -ENOKEY : write_stanza(f, s, *suite, missing);
                }
        }
        if (r >= 0 && (ferror(f) || fflush(f) != 0))
                r = -ENOMEM;
        if (r < 0)
                return r;
        if (!found)
                return -ENOENT;
        if (any)
                *ret = strdup(text);
        return !any ? 0 : *ret ? 1 : -ENOMEM;
}
