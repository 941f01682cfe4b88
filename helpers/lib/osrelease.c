/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <sys/utsname.h>

#include "fs.h"
#include "osrelease.h"

static int unquote(const char *v, char **ret) {
        size_t n = *v == '"' || *v == '\'' ? strcspn(v + 1, (const char[]){ *v, '\0' }) : strcspn(v, " \t\r");

        *ret = strndup(*v == '"' || *v == '\'' ? v + 1 : v, n);
        return *ret ? 0 : -ENOMEM;
}

int osrelease_get(int root, const char *field, char **ret) {
        _cleanup_free_ char *text = NULL;
        char *save = NULL;
        int r;

        r = fs_read(root, "/etc/os-release", FS_ATTR_MAX, &text, NULL);
        if (r == -ENOENT)
                r = fs_read(root, "/usr/lib/os-release", FS_ATTR_MAX, &text, NULL);
        if (r < 0)
                return r;
        for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
                const char *v = startswith(line, field);

                if (v && *v == '=')
                        return unquote(v + 1, ret);
        }
        return -ENODATA;
}

int osrelease_machine(int root, char **ret) {
        _cleanup_free_ char *machine = NULL;
        struct utsname u;
        int r;

        r = fs_read_line(root, "/proc/sys/kernel/arch", &machine); /* from Linux 6.1 on */
        if (r == -ENOENT && uname(&u) >= 0)
                r = free_and_strdup(&machine, u.machine);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(machine);
        return 0;
}
