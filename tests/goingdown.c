/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Takes the power from a file system: goingdown DIRECTORY default|logflush|nologflush. Whatever is not on the
 * disk is lost; with logflush the journal still gets there, but no data does, so a file that was not fsynced
 * shows torn. */

#include <fcntl.h>
#include <sys/ioctl.h>

#include "macro.h"

/* The request of XFS, which ext4 and f2fs have taken over by number. */
#define FS_IOC_GOINGDOWN _IOR('X', 125, uint32_t)

int main(int argc, char *argv[]) {
        static const char *const modes[] = { "default", "logflush", "nologflush" };
        _cleanup_close_ int fd = -EBADF;

        if (argc != 3)
                return 2;
        fd = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        for (uint32_t i = 0; fd >= 0 && i < ELEMENTSOF(modes); i++)
                if (streq(argv[2], modes[i]) && ioctl(fd, FS_IOC_GOINGDOWN, &i) == 0)
                        return 0;
        perror(argv[1]);
        return 1;
}
