/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "stopped.h"
#include "fs.h"
#include "json.h"

enum { REPORT_MAX = 4 * 1024 * 1024 };

static int first_line(const char *phase, char **ret) {
        return str_printf(ret, "The GPU-VM bootstrap of this machine has stopped in phase '%s':\n", phase);
}

/* What the cause quotes of other programs is no command to a terminal. */
static void make_printable(char *s) {
        for (; *s; s++)
                if ((unsigned char) *s < 0x20 || *s == 0x7f)
                        *s = ' ';
}

static int tell_login(int root, const char *phase, const char *cause) {
        _cleanup_free_ char *line = NULL, *text = NULL, *printable = strdup(cause);

        if (!printable || first_line(phase, &line) < 0)
                return -ENOMEM;
        make_printable(printable);
        if (str_printf(&text, "%s%s\n'gpu-vm-bootstrap --status' tells more.\n", line, printable) < 0)
                return -ENOMEM;
        return fs_write_atomic(root, STOPPED_PATH, text, strlen(text), 0644);
}

/* What the last phase has proven was about the machine as it was then. */
static int mark_report(int root, const char *phase) {
        _cleanup_json_ json_object *o = NULL;
        _cleanup_free_ char *text = NULL;
        const char *marked;
        int r;

        r = fs_read(root, REPORT_PATH, REPORT_MAX, &text, NULL);
        if (r < 0)
                return r == -ENOENT ? 0 : r;
        o = json_tokener_parse(text);
        if (!json_object_get_boolean(json_member(o, "ready", json_type_boolean)))
                return 0;
        if (json_add(o, "ready", json_object_new_boolean(false)) < 0 ||
            json_add_text(o, "stopped", phase) < 0)
                return -ENOMEM;
        marked = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE);
        return marked ? fs_write_atomic(root, REPORT_PATH, marked, strlen(marked), 0644) : -ENOMEM;
}

int stopped_note(int root, const char *phase, const char *cause) {
        int r = tell_login(root, phase, cause), k = mark_report(root, phase);

        return r < 0 ? r : k;
}

int stopped_clear(int root, const char *phase) {
        _cleanup_free_ char *line = NULL, *text = NULL;
        int r;

        r = phase ? fs_read(root, STOPPED_PATH, FS_FILE_MAX, &text, NULL) : 0;
        if (r == -ENOENT)
                return 0;
        if (r >= 0 && phase && first_line(phase, &line) < 0)
                return -ENOMEM;
        if (r < 0 || (phase && !startswith(text, line)))
                return r;
        r = fs_remove(root, STOPPED_PATH);
        return MIN(r, 0);
}
