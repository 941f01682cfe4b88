/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <time.h>

#include "fs.h"
#include "log.h"
#include "logfile.h"

static int log_fd = -EBADF;

/* One write(2) per line: O_APPEND keeps lines of helpers that run at the same time whole. */
static bool sink(int level, const char *text, const char *const *fields) {
        static const char *const names[] = { "emerg",   "alert",  "crit", "ERROR",
                                             "WARNING", "notice", "info", "debug" };
        char line[2560], stamp[40];
        struct tm tm;
        time_t t = time(NULL);
        int n;

        (void) fields;
        if (!localtime_r(&t, &tm) || strftime(stamp, sizeof(stamp), "%Y-%m-%d %H:%M:%S%z", &tm) == 0)
                (void) snprintf(stamp, sizeof(stamp), "@%lld", (long long) t);
        n = snprintf(line, sizeof(line), "%s %s %s: %s\n", stamp, names[level], log_program(), text);
        if (n > 0 && write(log_fd, line, MIN((size_t) n, sizeof(line) - 1)) < 0)
                return false;
        return false; /* stderr wants it too */
}

void logfile_open(int root, bool create) {
        log_fd = fs_open(root, LOGFILE_PATH, O_WRONLY | O_APPEND | O_NOFOLLOW | (create ? O_CREAT : 0), 0640);
        if (log_fd >= 0)
                log_add_sink(sink);
}
