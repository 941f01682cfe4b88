/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "turn.h"
#include "fs.h"

enum { POLL_USEC = 100 * 1000 };

/* fcntl(2) tells who has the lock, and no child takes it along: one that hangs in a driver for ever does not
 * hold it for ever. */
static int lock(int fd, bool alone, int command, struct flock *l) {
        *l = (struct flock){ .l_type = alone ? F_WRLCK : F_RDLCK, .l_whence = SEEK_SET };
        return RET_NERRNO(fcntl(fd, command, l));
}

int turn_take(int root, bool alone, uint64_t wait_usec, pid_t *ret_other) {
        _cleanup_close_ int fd = -EBADF;
        uint64_t end = boottime_usec() + wait_usec;
        struct flock l;
        int r;

        r = fs_mkdir_p(root, "/run/gpuvm", 0755);
        if (r < 0)
                return r;
        fd = fs_open(root, TURN_PATH, O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
        if (fd < 0)
                return fd;
        while ((r = lock(fd, alone, F_SETLK, &l)) == -EAGAIN || r == -EACCES) {
                if (boottime_usec() >= end) {
                        r = lock(fd, alone, F_GETLK, &l);
                        *ret_other = r < 0 || l.l_type == F_UNLCK ? 0 : l.l_pid;
                        return -EBUSY;
                }
                (void) usleep(POLL_USEC);
        }
        if (r >= 0)
                (void) TAKE_FD(fd); /* closed at the end of the process, and the lock with it */
        return r;
}
