/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Output: tables, sizes and questions. */

#include <libsmartcols/libsmartcols.h>
#include <poll.h>

#include "stop.h"
#include "vmctl.h"

enum { LOOK_MSEC = 1000 };

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
