/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Json: json-c with scope cleanup. */

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>

#include "macro.h"

static inline void json_putp(json_object **o) {
        if (*o)
                (void) json_object_put(*o);
}
#define _cleanup_json_ _cleanup_(json_putp)

/* A member, item or text of what may be anything: what is missing, or of another type, is NULL, "" or 0. */
static inline json_object *json_member(json_object *o, const char *key, json_type type) {
        json_object *v = NULL;

        return json_object_is_type(o, json_type_object) && json_object_object_get_ex(o, key, &v) &&
                                        json_object_is_type(v, type)
                        ? v
                        : NULL;
}

static inline const char *json_text(json_object *o, const char *key) {
        return json_object_get_string(json_member(o, key, json_type_string)) ?: "";
}

static inline size_t json_length(json_object *o, const char *key) {
        json_object *a = json_member(o, key, json_type_array);

        return a ? json_object_array_length(a) : 0;
}

static inline json_object *json_item(json_object *o, const char *key, size_t i) {
        json_object *a = json_member(o, key, json_type_array);

        return a ? json_object_array_get_idx(a, i) : NULL;
}

/* Writes it for programs and humans, with a newline. Returns 0 or -EIO. */
static inline int json_print(json_object *o, FILE *f) {
        return fprintf(f, "%s\n", json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY)) < 0 ? -EIO : 0;
}

/* Takes the value, also where that fails; a NULL value or object is one that could not be made, so that calls
 * can be nested. Returns 0 or -ENOMEM. */
static inline int json_add(json_object *o, const char *key, json_object *value) {
        if (o && value && json_object_object_add(o, key, value) == 0)
                return 0;
        (void) json_object_put(value);
        return -ENOMEM;
}

static inline int json_add_text(json_object *o, const char *key, const char *value) {
        return json_add(o, key, json_object_new_string(value));
}

/* NULL is the value null, which json_add() would take for a failure. */
static inline int json_add_text_or_null(json_object *o, const char *key, const char *value) {
        if (value)
                return json_add_text(o, key, value);
        return o && json_object_object_add(o, key, NULL) == 0 ? 0 : -ENOMEM;
}

/* As json_add(). */
static inline int json_append(json_object *array, json_object *value) {
        if (array && value && json_object_array_add(array, value) == 0)
                return 0;
        (void) json_object_put(value);
        return -ENOMEM;
}

/* Words up to NULL; words may be NULL. Returns NULL without memory. */
static inline json_object *json_new_list(const char *const *words) {
        json_object *list = json_object_new_array();

        for (; words && *words; words++)
                if (json_append(list, json_object_new_string(*words)) < 0) {
                        (void) json_object_put(list);
                        return NULL;
                }
        return list;
}
