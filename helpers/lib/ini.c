/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ini.h"
#include "strv.h"

#define BLANKS " \t\n\r"

/* Bytes of the sequence that starts here, or 0. Refuses surrogates and forms longer than needed. */
static size_t utf8_sequence(const unsigned char *p, size_t left) {
        static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
        uint32_t c;
        size_t n;

        if (p[0] < 0x80)
                return p[0] != 0;
        n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
        if (p[0] < 0xc2 || p[0] > 0xf4 || n > left)
                return 0;
        c = p[0] & (0xffU >> (n + 1));
        for (size_t i = 1; i < n; i++) {
                if ((p[i] & 0xc0) != 0x80)
                        return 0;
                c = c << 6 | (p[i] & 0x3fU);
        }
        return c >= least[n] && c <= 0x10ffff && (c < 0xd800 || c > 0xdfff) ? n : 0;
}

bool ini_is_utf8(const char *data, size_t size) {
        while (size > 0) {
                size_t n = utf8_sequence((const unsigned char *) data, size);

                if (n == 0)
                        return false;
                data += n;
                size -= n;
        }
        return true;
}

int ini_split_words(const char *value, char ***l) {
        for (;;) {
                _cleanup_free_ char *word = NULL;
                char *out, quote = 0;
                int r;

                value += strspn(value, BLANKS);
                if (!*value)
                        return 0;
                word = out = malloc(strlen(value) + 1);
                if (!word)
                        return -ENOMEM;
                for (; *value && (quote || !strchr(BLANKS, *value)); value++)
                        if (*value == '\\' && value[1])
                                *out++ = *++value;
                        else if (quote ? *value == quote : *value == '"' || *value == '\'')
                                quote = quote ? 0 : *value;
                        else
                                *out++ = *value;
                if (quote)
                        return -EINVAL;
                *out = '\0';
                r = strv_extend(l, word);
                if (r < 0)
                        return r;
        }
}

/* The reader. A logical line gathers in "text" until a physical one does not end in a backslash. */
typedef struct Reader {
        const Ini *ini;
        char *section;
        char *text;
        size_t length, room;
        unsigned first; /* where the logical line began */
        bool skip;      /* the logical line cannot be taken; already told */
} Reader;

static void reader_done(Reader *r) {
        free(r->section);
        free(r->text);
}

static int append(Reader *r, const char *data, size_t n) {
        if (r->length + n + 1 > r->room) {
                size_t room = MAX(r->room * 2, r->length + n + 1);
                char *t = realloc(r->text, room);

                if (!t)
                        return -ENOMEM;
                r->text = t;
                r->room = room;
        }
        memcpy(r->text + r->length, data, n);
        r->length += n;
        r->text[r->length] = '\0';
        return 0;
}

static void refuse(Reader *r, const char *why) {
        if (!r->skip)
                r->ini->problem(r->first, why, r->ini->userdata);
        r->skip = true;
}

/* After a header that cannot be taken: what follows must not slip into the section before. */
static int leave_section(Reader *r) {
        return free_and_strdup(&r->section, "");
}

static char *strip(char *s) {
        size_t n;

        s += strspn(s, BLANKS);
        n = strlen(s);
        while (n > 0 && strchr(BLANKS, s[n - 1]))
                n--;
        s[n] = '\0';
        return s;
}

static int take_header(Reader *r, char *line) {
        size_t n = strlen(line);

        if (line[n - 1] != ']' || n == 2) {
                refuse(r, "Section header without a name or ']', left out with what follows it");
                return leave_section(r);
        }
        line[n - 1] = '\0';
        if (free_and_strdup(&r->section, line + 1) < 0)
                return -ENOMEM;
        return r->ini->section(r->first, r->section, r->ini->userdata);
}

static int take_line(Reader *r) {
        char *line = strip(r->text), *equals;

        if (!*line)
                return 0;
        if (*line == '[')
                return take_header(r, line);
        equals = strchr(line, '=');
        if (!equals || equals == line) {
                refuse(r, equals ? "No key before '=', line left out" : "No '=' in the line, line left out");
                return 0;
        }
        if (streq_ptr(r->section, ""))
                return 0;
        *equals = '\0';
        return r->ini->assignment(r->first, r->section, strip(line), strip(equals + 1), r->ini->userdata);
}

static int finish(Reader *r) {
        int k = 0;

        if (r->length > 0 && !r->skip)
                k = take_line(r);
        r->length = 0;
        r->first = 0;
        r->skip = false;
        return k;
}

static bool ends_in_backslash(const char *p, size_t n) {
        size_t k = 0;

        while (k < n && p[n - 1 - k] == '\\')
                k++;
        return k % 2 == 1;
}

/* The first byte that is no blank, or NUL. */
static char first_byte(const char *p, size_t n) {
        size_t i = 0;

        while (i < n && (p[i] == ' ' || p[i] == '\t'))
                i++;
        return i < n ? p[i] : '\0';
}

/* Why these bytes cannot be taken, or NULL. */
static const char *unfit(const Reader *r, const char *p, size_t n) {
        if (r->length + n > INI_LINE_MAX)
                return "Line longer than 64 KiB, left out";
        if (memchr(p, 0, n))
                return "NUL byte in the line, left out";
        return ini_is_utf8(p, n) ? NULL : "Line is not UTF-8, left out";
}

static int take_physical(Reader *r, unsigned number, const char *p, size_t n) {
        char first = first_byte(p, n);
        const char *why;
        bool more;
        int k = 0;

        if (first == '#' || first == ';')
                return 0;
        if (n > 0 && p[n - 1] == '\r')
                n--;
        why = unfit(r, p, n);
        if (r->first == 0) {
                r->first = number;
                if (why && first == '[' && leave_section(r) < 0)
                        return -ENOMEM;
        }
        if (why)
                refuse(r, why);
        more = ends_in_backslash(p, n);
        if (!r->skip)
                k = append(r, p, n - more);
        if (k >= 0 && more && !r->skip)
                k = append(r, " ", 1);
        return k < 0 || more ? k : finish(r);
}

int ini_parse(const Ini *ini, const char *data, size_t size) {
        _cleanup_(reader_done) Reader r = { .ini = ini };
        const char *end = data + size;
        unsigned number = 0;
        int k;

        if (size >= 3 && memcmp(data, "\xef\xbb\xbf", 3) == 0)
                data += 3;
        while (data < end) {
                const char *newline = memchr(data, '\n', (size_t) (end - data)), *stop = newline ?: end;

                k = take_physical(&r, ++number, data, (size_t) (stop - data));
                if (k < 0)
                        return k;
                data = newline ? newline + 1 : end;
        }
        return finish(&r);
}
