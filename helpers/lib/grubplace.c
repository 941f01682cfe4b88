/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "grubplace.h"
#include "fs.h"
#include "strv.h"

#define BLANKS " \t"

/* What follows the command on a line, or NULL. */
static const char *command(const char *line, const char *name) {
        const char *p = startswith(line + strspn(line, BLANKS), name);

        return p && *p && strchr(BLANKS, *p) ? p + strspn(p, BLANKS) : NULL;
}

/* "$menuentry_id_option 'ID'", behind a title in which there can be anything. */
static int get_id(const char *line, char **ret) {
        static const char mark[] = "$menuentry_id_option '";
        const char *id = NULL;

        for (const char *p = line; (p = strstr(p, mark));)
                id = p += strlen(mark);
        if (!id)
                return -ENOENT;
        *ret = strndup(id, strcspn(id, "'"));
        return *ret ? 0 : -ENOMEM;
}

/* The release in "linux /boot/vmlinuz-RELEASE ...", or NULL. */
static int get_kernel(const char *line, char **ret) {
        const char *a = command(line, "linux") ?: command(line, "linuxefi"), *end, *name;

        if (!a)
                return -ENOENT;
        end = a + strcspn(a, BLANKS);
        for (name = end; name > a && name[-1] != '/';)
                name--;
        name = startswith(name, "vmlinuz-");
        if (!name || name >= end)
                return -ENOENT;
        *ret = strndup(name, (size_t) (end - name));
        return *ret ? 0 : -ENOMEM;
}

/* What is open at a line of the menu. */
typedef struct Walk {
        bool section; /* of 10_linux */
        bool entry;
        char *submenu, *id; /* "" for one without an id */
} Walk;

static void walk_done(Walk *w) {
        free(w->submenu);
        free(w->id);
}

static int open_with(const char *line, char **ret) {
        _cleanup_free_ char *id = NULL;
        int r = get_id(line, &id);

        return r == -ENOENT ? free_and_strdup(ret, "") : r < 0 ? r : free_and_strdup(ret, id);
}

static int walk_line(Walk *w, const char *line) {
        const char *p = line + strspn(line, BLANKS);

        if (startswith(p, "### BEGIN "))
                w->section = strstr(p, "grub.d/10_linux") != NULL;
        if (command(line, "menuentry")) {
                w->entry = true;
                return open_with(line, &w->id);
        }
        if (command(line, "submenu"))
                return open_with(line, &w->submenu);
        if (!streq(p, "}"))
                return 0;
        /* The end of an entry, or of the submenu around it. */
        if (!w->entry)
                return free_and_strdup(&w->submenu, NULL);
        w->entry = false;
        return 0;
}

static int make_place(const Walk *w, char **ret) {
        return str_printf(ret, "%s%s%s", strempty(w->submenu), w->submenu ? ">" : "", w->id);
}

/* True if this is the entry: not the recovery one, nor the first of the menu, which starts whichever kernel
 * is the newest. */
static bool is_of(const Walk *w, const char *kernel) {
        const char *rest = strstr(w->id, kernel);

        return rest && rest[strlen(kernel)] == '-' && !strstr(w->id, "-recovery-") &&
                        !(w->submenu && !*w->submenu);
}

/* Finds the entry of a kernel (place NULL), or the kernel at a place (kernel NULL). */
static int find(const char *text, const char *place, const char *kernel, char **ret) {
        _cleanup_strv_ char **lines = NULL;
        _cleanup_(walk_done) Walk w = {};
        int r;

        r = strv_split(text, "\n", &lines);
        STRV_FOREACH(line, lines) {
                _cleanup_free_ char *release = NULL, *here = NULL;

                if (r >= 0)
                        r = walk_line(&w, *line);
                if (r < 0)
                        return r;
                if (!w.section || !w.entry || !*w.id)
                        continue;
                r = get_kernel(*line, &release);
                if (r == -ENOENT) {
                        r = 0;
                        continue;
                }
                if (r >= 0)
                        r = make_place(&w, &here);
                if (r < 0)
                        return r;
                if (kernel ? streq(release, kernel) && is_of(&w, kernel) : streq(here, place)) {
                        *ret = kernel ? TAKE_PTR(here) : TAKE_PTR(release);
                        return 0;
                }
        }
        return r < 0 ? r : -ENOENT;
}

int grubplace_find(const char *text, const char *kernel, char **ret) {
        return find(text, NULL, kernel, ret);
}

int grubplace_kernel(const char *text, const char *place, char **ret) {
        return find(text, place, NULL, ret);
}

/* Among those of 00_header the one that is not for a start once, and is no variable. */
int grubplace_default(const char *text, char **ret) {
        _cleanup_strv_ char **lines = NULL;
        int r;

        r = strv_split(text, "\n", &lines);
        if (r < 0)
                return r;
        STRV_FOREACH(line, lines) {
                const char *value = startswith(*line + strspn(*line, BLANKS), "set default=\"");

                if (!value || startswith(value, "${next_entry}"))
                        continue;
                if (startswith(value, "${saved_entry}"))
                        value = "saved";
                *ret = strndup(value, strcspn(value, "\""));
                return *ret ? 0 : -ENOMEM;
        }
        return -ENOENT;
}
