/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "nvidiaversion.h"
#include "fs.h"
#include "strv.h"

/* Debian's archive renames the module. One that says nothing in /sys does in /proc: "NVRM version: NVIDIA
 * UNIX Open Kernel Module for x86_64  580.95.05  Release Build  (...)". */
int nvidiaversion_loaded(int root, char **ret) {
        _cleanup_strv_ char **words = NULL;
        _cleanup_free_ char *line = NULL;
        int r;

        r = fs_read_line(root, "/sys/module/nvidia/version", ret);
        if (r == -ENOENT)
                r = fs_read_line(root, "/sys/module/nvidia_current/version", ret);
        if (r != -ENOENT)
                return r;
        r = fs_read_line(root, "/proc/driver/nvidia/version", &line);
        if (r >= 0)
                r = strv_split(line, " ", &words);
        STRV_FOREACH(w, words)
                if (strchr(*w, '.') && strspn(*w, "0123456789.") == strlen(*w))
                        return free_and_strdup(ret, *w);
        return r < 0 ? r : -ENODATA;
}

/* The version that a library's file has at its end: "libcuda.so.580.95.05". */
int nvidiaversion_library(int root, char **ret) {
        static const char *const libraries[] = { "/usr/lib/x86_64-linux-gnu/libcuda.so.1",
                                                 "/usr/lib/aarch64-linux-gnu/libcuda.so.1",
                                                 "/usr/lib/x86_64-linux-gnu/nvidia/current/libcuda.so.1",
                                                 "/usr/lib/aarch64-linux-gnu/nvidia/current/libcuda.so.1" };

        for (size_t i = 0; i < ELEMENTSOF(libraries); i++) {
                _cleanup_free_ char *name = NULL;
                const char *version;

                if (fs_readlink_name(root, libraries[i], &name) < 0)
                        continue;
                version = startswith(name, "libcuda.so.");
                if (version && strchr(version, '.'))
                        return free_and_strdup(ret, version);
        }
        return -ENOENT;
}
