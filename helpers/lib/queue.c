/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <sys/file.h>

#include "fs.h"
#include "queue.h"

#define POLL_USEC (20 * USEC_PER_MSEC)

/* Whoever enters writes himself down: that is how the others see that it moves. */
static int write_down(int fd) {
        char text[32];
        int n = snprintf(text, sizeof(text), "%d\n", (int) getpid());

        if (ftruncate(fd, 0) < 0)
                return negative_errno();
        return pwrite(fd, text, (size_t) n, 0) < 0 ? negative_errno() : 0;
}

static bool has_moved(int fd, struct timespec *seen) {
        struct stat st;

        if (fstat(fd, &st) < 0 || (st.st_mtim.tv_sec == seen->tv_sec && st.st_mtim.tv_nsec == seen->tv_nsec))
                return false;
        *seen = st.st_mtim;
        return true;
}

int queue_enter(int root, const char *path, uint64_t patience_usec, bool (*interrupted)(void)) {
        struct timespec seen = {};
        _cleanup_close_ int fd = -EBADF;
        uint64_t end = 0;
        int r;

        fd = fs_open(root, path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
        if (fd < 0)
                return fd;
        while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
                if (errno != EWOULDBLOCK && errno != EINTR)
                        return negative_errno();
                if (interrupted && interrupted())
                        return -EINTR;
                if (has_moved(fd, &seen) || end == 0)
                        end = monotonic_usec() + patience_usec;
                if (monotonic_usec() >= end)
                        return -ETIMEDOUT;
                (void) usleep(POLL_USEC);
        }
        r = write_down(fd);
        return r < 0 ? r : TAKE_FD(fd);
}
