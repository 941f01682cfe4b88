/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "nvme.h"
#include "fs.h"
#include "strv.h"

#define SUBSYSTEMS "/sys/devices/virtual/nvme-subsystem"

int nvme_list_controllers(int root, const char *target, char ***ret) {
        const char *name = strstr(target, "/nvme-subsystem/");
        _cleanup_strv_ char **names = NULL, **found = NULL;
        _cleanup_free_ char *dir = NULL;
        int r;

        *ret = NULL;
        if (!name)
                return 0;
        name += strlen("/nvme-subsystem/");
        if (str_printf(&dir, SUBSYSTEMS "/%.*s", (int) strcspn(name, "/"), name) < 0)
                return -ENOMEM;
        r = fs_list(root, dir, &names);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        STRV_FOREACH(n, names)
                if (startswith(*n, "nvme") && strv_extendf(&found, "%s/%s", dir, *n) < 0)
                        return -ENOMEM;
        *ret = TAKE_PTR(found);
        return 0;
}
