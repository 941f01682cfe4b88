/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "problems.h"
#include "json.h"
#include "log.h"

void problems_done(Problems *p) {
        (void) json_object_put(p->list);
}

void problems_tell(const char *file, unsigned line, const char *text, void *userdata) {
        json_object *o = json_object_new_object();
        Problems *p = userdata;

        p->n++;
        if (line > 0)
                log_error("%s:%u: %s", file, line, text);
        else
                log_error("%s: %s", file, text);
        if (!p->list)
                p->list = json_object_new_array();
        if (json_add_text(o, "file", file) < 0 || json_add(o, "line", json_object_new_int((int) line)) < 0 ||
            json_add_text(o, "text", text) < 0) {
                (void) json_object_put(o);
                p->failed = true;
        } else if (json_append(p->list, o) < 0)
                p->failed = true;
}

json_object *problems_to_json(const Problems *p) {
        if (p->failed)
                return NULL;
        return p->list ? json_object_get(p->list) : json_object_new_array();
}
