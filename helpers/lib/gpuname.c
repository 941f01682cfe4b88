/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gpuname.h"

#include <systemd/sd-hwdb.h>

int gpuname_shorten(const char *model, char **ret) {
        const char *open = strrchr(model, '['), *close = open ? strchr(open, ']') : NULL;

        *ret = close && close > open + 1 ? strndup(open + 1, (size_t) (close - open - 1)) : strdup(model);
        return *ret ? 0 : -ENOMEM;
}

int gpuname_read(const char *modalias, char **ret) {
        _cleanup_(sd_hwdb_unrefp) sd_hwdb *db = NULL;
        const char *model = NULL;

        *ret = NULL;
        if (sd_hwdb_new(&db) < 0 || sd_hwdb_get(db, modalias, "ID_MODEL_FROM_DATABASE", &model) < 0)
                return 0;
        return gpuname_shorten(model, ret);
}
