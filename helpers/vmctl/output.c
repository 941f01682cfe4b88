/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Output: what is printed, tables, sizes and questions. */

#include <libsmartcols/libsmartcols.h>
#include <poll.h>

#include "fs.h"
#include "stop.h"
#include "vmctl.h"

enum { LOOK_MSEC = 1000, CHUNK = 4096 };

/* C1 controls, U+0080 to U+009F, begin with this byte; it waits for the next one. */
enum { C1_FIRST = 0xc2 };

static bool c1_may_follow;

static size_t put_control(char *to, unsigned char c) {
        return (size_t) sprintf(to, "\\u%04x", c);
}

/* At most 7 bytes. */
static size_t put_byte(char *to, unsigned char c) {
        bool second = c1_may_follow;
        size_t n = 0;

        c1_may_follow = c == C1_FIRST;
        if (second && c >= 0x80 && c < 0xa0)
                return put_control(to, c);
        if (second)
                to[n++] = (char) C1_FIRST;
        if (c1_may_follow)
                return n;
        if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f)
                return n + put_control(to + n, c);
        to[n++] = (char) c;
        return n;
}

/* cookie_write_function_t: 0 is an error. */
static ssize_t write_visibly(_unused_ void *cookie, const char *data, size_t size) {
        char text[CHUNK + 8];
        size_t n = 0;
        int r = 0;

        for (size_t i = 0; i < size && r >= 0; i++) {
                n += put_byte(text + n, (unsigned char) data[i]);
                if (n >= CHUNK || i + 1 == size) {
                        r = write_all(STDOUT_FILENO, text, n);
                        n = 0;
                }
        }
        if (r >= 0)
                return (ssize_t) size;
        errno = -r;
        return 0;
}

/* The GNU C library's stdout may be replaced, and all that prints goes there, also in libraries. */
int output_begin(void) {
        const cookie_io_functions_t functions = { .write = write_visibly };
        FILE *f = fopencookie(NULL, "w", functions);

        if (!f)
                return negative_errno();
        (void) setvbuf(f, NULL, isatty(STDOUT_FILENO) ? _IOLBF : _IOFBF, BUFSIZ);
        stdout = f;
        return 0;
}

static struct libscols_table *new_table(const char *const *columns, int flags) {
        struct libscols_table *t = scols_new_table();

        for (; t && *columns; columns++, flags = 0)
                if (!scols_table_new_column(t, *columns, 0, flags)) {
                        scols_unref_table(t);
                        return NULL;
                }
        return t;
}

struct libscols_table *table_new(const char *const *columns) {
        return new_table(columns, 0);
}

struct libscols_table *table_new_tree(const char *const *columns) {
        return new_table(columns, SCOLS_FL_TREE);
}

struct libscols_line *table_add_below(struct libscols_table *t, struct libscols_line *parent,
                                      const char *const *values) {
        struct libscols_line *line = t ? scols_table_new_line(t, parent) : NULL;

        if (!line)
                return NULL;
        for (size_t i = 0; i < scols_table_get_ncols(t); i++)
                if (scols_line_set_data(line, i, isempty(values[i]) ? "-" : values[i]) < 0)
                        return NULL;
        return line;
}

int table_add(struct libscols_table *t, const char *const *values) {
        return table_add_below(t, NULL, values) ? 0 : -ENOMEM;
}

void table_free(struct libscols_table *t) {
        scols_unref_table(t);
}

int table_print(struct libscols_table *t) {
        int r = t ? scols_print_table(t) : -ENOMEM;

        scols_unref_table(t);
        return r;
}

SizeText size_text(uint64_t kib) {
        static const char units[] = "KMGTP";
        uint64_t n = kib * 10, i = 0;
        SizeText s;

        for (; n >= 10240 && i + 2 < sizeof(units); i++)
                n /= 1024;
        if (n % 10 == 0)
                (void) snprintf(s.text, sizeof(s.text), "%llu %ciB", (unsigned long long) n / 10, units[i]);
        else
                (void) snprintf(s.text, sizeof(s.text), "%llu.%llu %ciB", (unsigned long long) n / 10,
                                (unsigned long long) n % 10, units[i]);
        return s;
}

int vmctl_ask(const char *question) {
        _cleanup_fclose_ FILE *tty = fopen("/dev/tty", "r+e");
        struct pollfd p = { .events = POLLIN };
        char answer[16] = "";

        if (!tty)
                return log_full_errno(LOG_ERR, ENXIO,
                                      "There is no terminal to ask on; say --yes to go on without");
        fprintf(tty, "%s [y/N] ", question);
        fflush(tty);
        p.fd = fileno(tty);
        /* Who catches signals is not ended by them, and reading would go on. */
        while (poll(&p, 1, LOOK_MSEC) <= 0)
                if (stop_asked())
                        return log_full_errno(LOG_ERR, EINTR, "Interrupted; nothing was changed");
        return fgets(answer, sizeof(answer), tty) && (answer[0] == 'y' || answer[0] == 'Y');
}
