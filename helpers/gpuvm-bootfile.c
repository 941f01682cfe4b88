/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Bootfile: removes what was kept of replaced boot files (bootfile.h) once the machine has come up with the
 * new ones.
 *
 * gpuvm-bootfile.service runs it at the end of a boot, where /var/lib/gpuvm/unproven says that something
 * waits for that. An image takes as much room as the real one, and a full /boot breaks the next upgrade of
 * the kernel. */

#include "bootfile.h"
#include "fs.h"
#include "phase.h"

static int forget(Phase *p, const char *path) {
        _cleanup_free_ char *old = NULL;
        int r;

        r = str_printf(&old, "%s" BOOTFILE_OLD, path);
        if (r >= 0)
                r = phase_change(p, "remove", old, "the machine has come up with the new one");
        if (r > 0)
                r = bootfile_forget(p->root, path);
        return r < 0 ? phase_fail(p, r, "Make it and /var/lib/gpuvm writable; the next start tries again",
                                  "Cannot remove %s", strna(old))
                     : 0;
}

static int run(Phase *p, int argc, char *argv[]) {
        _cleanup_strv_ char **paths = NULL;
        int r, failed = 0;

        r = bootfile_proven(p->root, &paths);
        if (r < 0)
                return phase_fail(p, r, "Make /boot and /proc readable; the next start tries again",
                                  "Cannot tell what the machine has come up with");
        STRV_FOREACH(path, paths) {
                r = forget(p, *path);
                if (r < 0)
                        failed = r;
        }
        return failed;
}

static const Helper helper = {
        .name = "gpuvm-bootfile",
        .summary = "Remove what was kept of boot files, once the machine has come up with new ones.",
        .run = run,
        .no_record = true,
};

DEFINE_HELPER(helper)
