/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "busy.h"
#include "dpkg.h"
#include "fs.h"
#include "parse.h"
#include "strv.h"

enum { CMDLINE_MAX = 256 * 1024 };

bool busy_is_vm(const char *comm, const char *cmdline, size_t size) {
        const char *previous = "";

        if (!startswith(comm, "qemu-system-") && !streq(comm, "qemu-kvm") && !startswith(comm, "kvm") &&
            !startswith(comm, "cloud-hyperviso"))
                return false;
        /* kvm-pit/PID, kvm-nx-lpage-recovery and friends are kernel threads: no command line. */
        if (size == 0)
                return false;
        for (const char *w = cmdline; w < cmdline + size; previous = w, w += strlen(w) + 1)
                if ((streq(previous, "-machine") || streq(previous, "-M")) &&
                    (streq(w, "none") || startswith(w, "none,")))
                        return false;
        return true;
}

/* A record lock held by another process shows without being able to take it. */
static int locked_by_other(int root, const char *path, pid_t *ret) {
        struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
        _cleanup_close_ int fd = fs_open(root, path, O_RDONLY | O_NOFOLLOW, 0);

        if (fd == -ENOENT)
                return 0;
        if (fd < 0)
                return fd;
        if (fcntl(fd, F_GETLK, &l) < 0)
                return -errno;
        if (l.l_type == F_UNLCK)
                return 0;
        *ret = l.l_pid;
        return 1;
}

static int look_at_locks(int root, Busy *b) {
        static const char *const locks[] = { "/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock" };

        for (size_t i = 0; i < ELEMENTSOF(locks); i++) {
                pid_t pid = 0;
                int r = locked_by_other(root, locks[i], &pid);

                if (r < 0)
                        return r;
                if (r > 0) {
                        b->transient = true;
                        return strv_extendf(&b->reasons, "process %d is installing or removing packages",
                                            (int) pid);
                }
        }
        return 0;
}

/* Only looked at without a lock: while dpkg works its state is half-way by nature. */
static int look_at_dpkg(int root, Busy *b) {
        _cleanup_(dpkg_done) DpkgStatus status = {};
        int r;

        r = look_at_locks(root, b);
        if (r < 0 || b->reasons)
                return r;
        r = dpkg_read(root, &status);
        if (r == -ENOENT)
                return 0;
        if (r < 0)
                return r;
        if (status.interrupted)
                return strv_extend(&b->reasons, "dpkg was interrupted; 'dpkg --configure -a' completes it");
        for (size_t i = 0; status.broken && i < status.n; i++)
                if (status.packages[i].state == PACKAGE_BROKEN)
                        return strv_extendf(
                                        &b->reasons,
                                        "package %s is half installed; 'dpkg --configure -a' completes it",
                                        status.packages[i].name);
        return 0;
}

static int look_at_process(int root, const char *pid, Busy *b) {
        _cleanup_free_ char *comm_path = NULL, *cmdline_path = NULL, *comm = NULL, *cmdline = NULL;
        size_t size = 0;

        if (str_printf(&comm_path, "/proc/%s/comm", pid) < 0 ||
            str_printf(&cmdline_path, "/proc/%s/cmdline", pid) < 0)
                return -ENOMEM;
        /* Processes come and go: one that cannot be read is gone. */
        if (fs_read_line(root, comm_path, &comm) < 0 ||
            fs_read(root, cmdline_path, CMDLINE_MAX, &cmdline, &size) < 0)
                return 0;
        if (!busy_is_vm(comm, cmdline, size))
                return 0;
        b->transient = false;
        return strv_extendf(&b->reasons, "a virtual machine is running (%s, process %s)", comm, pid);
}

int busy_look(int root, Busy *ret) {
        _cleanup_(busy_done) Busy b = {};
        _cleanup_strv_ char **pids = NULL;
        int r;

        r = look_at_dpkg(root, &b);
        if (r < 0)
                return r;
        r = fs_list(root, "/proc", &pids);
        if (r < 0)
                return r;
        STRV_FOREACH(pid, pids) {
                uint64_t n;

                if (parse_u64(*pid, &n) < 0)
                        continue;
                r = look_at_process(root, *pid, &b);
                if (r < 0)
                        return r;
        }
        *ret = b;
        b = (Busy){};
        return 0;
}

void busy_done(Busy *b) {
        strv_free(b->reasons);
        *b = (Busy){};
}
