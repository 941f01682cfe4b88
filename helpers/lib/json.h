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

/* Writes it for programs and humans, with a newline. Returns 0 or -EIO. */
static inline int json_print(json_object *o, FILE *f) {
        return fprintf(f, "%s\n", json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY)) < 0 ? -EIO : 0;
}
