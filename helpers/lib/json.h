/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Json: json-c with scope cleanup. */

#include <json-c/json.h>

#include "macro.h"

static inline void json_putp(json_object **o) {
        if (*o)
                (void) json_object_put(*o);
}
#define _cleanup_json_ _cleanup_(json_putp)
