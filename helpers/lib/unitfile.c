/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "unitfile.h"
#include "fs.h"

static int has_entry(int root, const char *directory, const char *unit) {
        _cleanup_free_ char *path = NULL;
        int r = str_printf(&path, "%s/%s", directory, unit);

        return r < 0 ? r : fs_exists(root, path);
}

int unitfile_exists(int root, const char *unit) {
        static const char *const directories[] = { "/etc/systemd/system", "/run/systemd/system",
                                                   "/usr/local/lib/systemd/system", "/usr/lib/systemd/system",
                                                   "/lib/systemd/system" };
        int r = 0;

        for (size_t i = 0; r == 0 && i < ELEMENTSOF(directories); i++)
                r = has_entry(root, directories[i], unit);
        return r;
}

int unitfile_is_enabled(int root, const char *unit) {
        return has_entry(root, "/etc/systemd/system/multi-user.target.wants", unit);
}
