/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "etcfile.h"
#include "fs.h"

int etcfile_put(Phase *p, Undo *u, const char *path, const char *text, const char *why) {
        _cleanup_free_ char *now = NULL;
        int r;

        if (fs_read(p->root, path, FS_FILE_MAX, &now, NULL) >= 0 && streq(now, text))
                return 0;
        r = phase_change(p, "write", path, "%s", why);
        if (r <= 0)
                return r < 0 ? log_oom() : 1;
        r = undo_write_file(u, path, text, strlen(text), 0644);
        return r < 0 ? phase_fail(p, r, "See that /etc and " STATE_DIR " can be written.",
                                  "Cannot write '%s'", path)
                     : 1;
}
