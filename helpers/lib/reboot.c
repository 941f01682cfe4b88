/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "reboot.h"
#include "fs.h"
#include "phase.h"

#define REQUESTS_DIR RUN_DIR "/reboot.d"

int reboot_request(int root, const char *phase, const char *why) {
        _cleanup_free_ char *path = NULL;

        if (str_printf(&path, REQUESTS_DIR "/%s", phase) < 0)
                return -ENOMEM;
        return fs_write_atomic(root, path, why, strlen(why), 0644);
}

int reboot_withdraw(int root, const char *phase) {
        _cleanup_free_ char *path = NULL;
        int r;

        if (str_printf(&path, REQUESTS_DIR "/%s", phase) < 0)
                return -ENOMEM;
        r = fs_remove(root, path);
        return r < 0 ? r : 0;
}

int reboot_requests(int root, char ***ret) {
        _cleanup_strv_ char **names = NULL, **l = NULL;
        int r;

        r = fs_list(root, REQUESTS_DIR, &names);
        if (r < 0 && r != -ENOENT)
                return r;
        STRV_FOREACH(name, names) {
                _cleanup_free_ char *path = NULL, *why = NULL;

                if (**name == '.')
                        continue;
                if (str_printf(&path, REQUESTS_DIR "/%s", *name) < 0)
                        return -ENOMEM;
                r = fs_read_line(root, path, &why);
                if (r >= 0)
                        r = strv_extendf(&l, "%s: %s", *name, why);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(l);
        return 0;
}
