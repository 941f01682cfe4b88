/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <sys/stat.h>

#include "fs.h"
#include "imagefile.h"
#include "qcow2.h"

enum { SECTOR = 512 };

/* More than any file system takes. */
#define SIZE_LIMIT (UINT64_C(1) << 56)

/* What would be taken for a raw disk, and is none: the formats of other hypervisors and of packers. */
static const struct {
        const char *magic;
        size_t size;
        const char *reason;
} others[] = {
        { "\xfd"
          "7zXZ",
          6, "is packed. Unpack it by 'unxz'" },
        { "\x1f\x8b", 2, "is packed. Unpack it by 'gunzip'" },
        { "\x28\xb5\x2f\xfd", 4, "is packed. Unpack it by 'unzstd'" },
        { "BZh", 3, "is packed. Unpack it by 'bunzip2'" },
        { "PK\3\4", 4, "is packed. Unpack it by 'unzip'" },
        { "KDMV", 4, "is VMware's. 'qemu-img convert -O qcow2' makes one of it that can be used" },
        { "vhdxfile", 8, "is Hyper-V's. 'qemu-img convert -O qcow2' makes one of it that can be used" },
        { "conec"
          "tix",
          8, "is Hyper-V's. 'qemu-img convert -O qcow2' makes one of it that can be used" },
        { "<<< Oracle VM VirtualBox", 24,
          "is VirtualBox's. 'qemu-img convert -O qcow2' makes one of it that can be used" },
        { "QED", 4, "is in an old format. 'qemu-img convert -O qcow2' makes one of it that can be used" },
        { "LUKS\xba\xbe", 6, "is encrypted" },
};

static const char *check_raw(const void *head, size_t n, uint64_t size) {
        for (size_t i = 0; i < ELEMENTSOF(others); i++)
                if (n >= others[i].size && memcmp(head, others[i].magic, others[i].size) == 0)
                        return others[i].reason;
        return size == 0                     ? "is empty"
                        : size % SECTOR != 0 ? "is no disk: it does not end with a sector"
                                             : NULL;
}

static int look(int fd, ImageFile *ret, const char **reterr_reason) {
        _cleanup_free_ char *head = malloc(QCOW2_HEADER_MAX);
        ImageFile f = { .format = "raw" };
        struct stat st;
        ssize_t n;
        Qcow2 q;

        if (!head)
                return -ENOMEM;
        if (fstat(fd, &st) < 0)
                return negative_errno();
        if (!S_ISREG(st.st_mode)) {
                *reterr_reason = "is no file";
                return -EBADMSG;
        }
        n = pread(fd, head, QCOW2_HEADER_MAX, 0);
        if (n < 0)
                return negative_errno();
        f.size = (uint64_t) st.st_size;
        if (n >= 4 && memcmp(head, "QFI\xfb", 4) == 0) {
                if (qcow2_check(head, (size_t) n, SIZE_LIMIT, &q, reterr_reason) < 0)
                        return -EBADMSG;
                f = (ImageFile){ .format = "qcow2", .size = q.size };
        } else {
                const char *reason = check_raw(head, (size_t) n, f.size);

                if (reason) {
                        *reterr_reason = reason;
                        return -EBADMSG;
                }
        }
        *ret = f;
        return 0;
}

int imagefile_look(const char *path, ImageFile *ret, const char **reterr_reason) {
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

        return fd < 0 ? negative_errno() : look(fd, ret, reterr_reason);
}

int imagefile_overlay(int root, const char *base, const char *format, const char *path, uint64_t size) {
        _cleanup_free_ void *image = NULL;
        size_t n = 0;
        int r = qcow2_overlay(base, format, size, &image, &n);

        return r < 0 ? r : fs_write_atomic(root, path, image, n, 0600);
}
