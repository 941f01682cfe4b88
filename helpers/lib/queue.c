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

/* Returns 1 with the lock, 0 if somebody has it; then last is when he got it, if that is later. */
static int try(int root, const char *path, unsigned place, struct timespec *last, int *ret) {
        _cleanup_free_ char *own = NULL;
        _cleanup_close_ int fd = -EBADF;
        struct stat st;
        int r;

        r = place > 0 ? str_printf(&own, "%s.%u", path, place) : 0;
        if (r < 0)
                return r;
        fd = fs_open(root, own ?: path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
        if (fd < 0)
                return fd;
        if (flock(fd, LOCK_EX | LOCK_NB) >= 0) {
                r = write_down(fd);
                if (r < 0)
                        return r;
                *ret = TAKE_FD(fd);
                return 1;
        }
        if (errno != EWOULDBLOCK && errno != EINTR)
                return negative_errno();
        if (fstat(fd, &st) >= 0 && timespec_is_later(&st.st_mtim, last))
                *last = st.st_mtim;
        return 0;
}

int queue_enter(int root, const char *path, unsigned places, uint64_t patience_usec,
                bool (*interrupted)(void)) {
        struct timespec last = {}, seen = {};
        uint64_t end = 0;
        int r = 0, fd = -EBADF;

        for (;;) {
                for (unsigned i = 0; i < places && r == 0; i++)
                        r = try(root, path, i, &last, &fd);
                if (r != 0)
                        return r < 0 ? r : fd;
                if (interrupted && interrupted())
                        return -EINTR;
                if (end == 0 || timespec_is_later(&last, &seen))
                        end = monotonic_usec() + patience_usec;
                seen = last;
                if (monotonic_usec() >= end)
                        return -ETIMEDOUT;
                (void) usleep(POLL_USEC);
        }
}
