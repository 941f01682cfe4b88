/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "yamldoc.h"
#include "library.h"

#include <limits.h>
#include <stdarg.h>
#include <yaml.h>

#define LIBRARY "libyaml-0.so.2"

/* The functions used here, with libyaml's own prototypes. */
#define FUNCTIONS(X)                \
        X(yaml_event_delete)        \
        X(yaml_parser_delete)       \
        X(yaml_parser_initialize)   \
        X(yaml_parser_parse)        \
        X(yaml_parser_set_encoding) \
        X(yaml_parser_set_input_string)

static struct {
        void *library;
#define X(f) typeof(&(f)) f;
        FUNCTIONS(X)
#undef X
} ly;

#define X(f) { #f, &ly.f },
static const LibraryFunction functions[] = { FUNCTIONS(X) };
#undef X

typedef struct Parser {
        yaml_parser_t parser;
        yaml_event_t event; /* the one that is looked at */
        bool has_event;
        unsigned n_nodes, depth;
        YamlError *error;
} Parser;

static void parser_done(Parser *p) {
        if (p->has_event)
                ly.yaml_event_delete(&p->event);
        ly.yaml_parser_delete(&p->parser);
}

void yamldoc_free(YamlNode *n) {
        for (YamlNode *next; n; n = next) {
                next = n->next;
                yamldoc_free(n->first);
                free(n->key);
                free(n->text);
                free(n);
        }
}

static unsigned line_of(const yaml_mark_t *mark) {
        return mark->line < INT_MAX ? (unsigned) mark->line + 1 : 0;
}

_printf_(4, 5) static int refuse(Parser *p, int error, unsigned line, const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        (void) vsnprintf(p->error->text, sizeof(p->error->text), format, ap);
        va_end(ap);
        p->error->line = line;
        return error;
}

/* The next event. */
static int step(Parser *p) {
        if (p->has_event)
                ly.yaml_event_delete(&p->event);
        p->has_event = false;
        if (ly.yaml_parser_parse(&p->parser, &p->event) == 1) {
                p->has_event = true;
                return 0;
        }
        if (p->parser.error == YAML_MEMORY_ERROR)
                return -ENOMEM;
        return refuse(p, -EBADMSG, line_of(&p->parser.problem_mark), "no YAML: %s",
                      p->parser.problem ?: "it cannot be read");
}

/* A text with a NUL in it is none that C could hold. */
static int copy_text(Parser *p, char **ret) {
        const char *value = (const char *) p->event.data.scalar.value;

        if (memchr(value, '\0', p->event.data.scalar.length))
                return refuse(p, -EBADMSG, line_of(&p->event.start_mark), "a NUL in a text");
        *ret = strdup(value);
        return *ret ? 0 : -ENOMEM;
}

static int read_node(Parser *p, char *key, unsigned line, YamlNode **ret);

static int read_key(Parser *p, const YamlNode *map, char **ret, unsigned *ret_line) {
        *ret_line = line_of(&p->event.start_mark);
        if (p->event.type != YAML_SCALAR_EVENT)
                return refuse(p, -EBADMSG, *ret_line, "a key that is no text");
        if (yamldoc_find(map, (const char *) p->event.data.scalar.value))
                return refuse(p, -EBADMSG, *ret_line, "the key '%.60s' is there twice",
                              (const char *) p->event.data.scalar.value);
        return copy_text(p, ret);
}

/* What is in a list or map, up to its end. */
static int read_inside(Parser *p, YamlNode *n) {
        const yaml_event_type_t end = n->kind == YAML_MAP ? YAML_MAPPING_END_EVENT : YAML_SEQUENCE_END_EVENT;
        YamlNode **last = &n->first;
        int r;

        if (++p->depth > YAMLDOC_DEPTH_MAX)
                return refuse(p, -EFBIG, n->line, "more than %d levels deep", YAMLDOC_DEPTH_MAX);
        r = step(p);
        while (r >= 0 && p->event.type != end) {
                unsigned line = line_of(&p->event.start_mark);
                char *key = NULL;

                if (n->kind == YAML_MAP) {
                        r = read_key(p, n, &key, &line);
                        if (r >= 0)
                                r = step(p);
                }
                if (r >= 0)
                        r = read_node(p, key, line, last);
                else
                        free(key);
                if (r >= 0) {
                        last = &(*last)->next;
                        r = step(p);
                }
        }
        p->depth--;
        return r;
}

/* The one that the event begins. Takes the key, also where it fails; what has been read is in *ret in any
 * case, for its parent to free. */
static int read_node(Parser *p, char *key, unsigned line, YamlNode **ret) {
        YamlNode *n = ++p->n_nodes > YAMLDOC_NODES_MAX ? NULL : calloc(1, sizeof(*n));

        if (!n) {
                free(key);
                return p->n_nodes <= YAMLDOC_NODES_MAX
                                ? -ENOMEM
                                : refuse(p, -EFBIG, line, "more than %d values", YAMLDOC_NODES_MAX);
        }
        *n = (YamlNode){ .kind = YAML_TEXT, .line = line, .key = key };
        *ret = n;
        switch (p->event.type) {
        case YAML_SCALAR_EVENT:
                n->quoted = p->event.data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
                return copy_text(p, &n->text);
        case YAML_ALIAS_EVENT:
                n->kind = YAML_REFERENCE;
                n->text = strdup((const char *) p->event.data.alias.anchor);
                return n->text ? 0 : -ENOMEM;
        case YAML_MAPPING_START_EVENT:
        case YAML_SEQUENCE_START_EVENT:
                n->kind = p->event.type == YAML_MAPPING_START_EVENT ? YAML_MAP : YAML_LIST;
                return read_inside(p, n);
        default:
                return refuse(p, -EBADMSG, line, "no YAML: a value is missing");
        }
}

/* Up to and with its end, and nothing behind it. */
static int read_document(Parser *p, YamlNode **ret) {
        int r;

        r = step(p); /* the stream's beginning */
        if (r >= 0)
                r = step(p);
        if (r >= 0 && p->event.type != YAML_DOCUMENT_START_EVENT)
                return refuse(p, -EBADMSG, 0, "nothing is in it");
        if (r >= 0)
                r = step(p);
        if (r >= 0)
                r = read_node(p, NULL, line_of(&p->event.start_mark), ret);
        if (r >= 0)
                r = step(p); /* the document's end */
        if (r >= 0)
                r = step(p);
        if (r >= 0 && p->event.type != YAML_STREAM_END_EVENT)
                return refuse(p, -EBADMSG, line_of(&p->event.start_mark), "more than one document");
        return r;
}

static int parse(const char *data, size_t size, YamlNode **ret, YamlError *reterr) {
        _cleanup_(parser_done) Parser p = { .error = reterr };
        _cleanup_yamldoc_ YamlNode *root = NULL;
        int r;

        if (ly.yaml_parser_initialize(&p.parser) != 1)
                return -ENOMEM;
        if (size > YAMLDOC_SIZE_MAX)
                return refuse(&p, -EFBIG, 0, "more than %d bytes", YAMLDOC_SIZE_MAX);
        ly.yaml_parser_set_encoding(&p.parser, YAML_UTF8_ENCODING);
        ly.yaml_parser_set_input_string(&p.parser, (const unsigned char *) strempty(data), size);
        r = read_document(&p, &root);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(root);
        return 0;
}

int yamldoc_parse(const char *data, size_t size, YamlNode **ret, YamlError *reterr) {
        int r = library_load(LIBRARY, functions, ELEMENTSOF(functions), &ly.library);

        *reterr = (YamlError){};
        return r < 0 ? r : parse(data, size, ret, reterr);
}

bool yamldoc_is_null(const YamlNode *n) {
        return n->kind == YAML_TEXT && !n->quoted &&
                        (!*n->text || streq(n->text, "~") || strcasecmp(n->text, "null") == 0);
}

const YamlNode *yamldoc_find(const YamlNode *map, const char *key) {
        for (const YamlNode *n = map && map->kind == YAML_MAP ? map->first : NULL; n; n = n->next)
                if (streq(n->key, key))
                        return n;
        return NULL;
}
