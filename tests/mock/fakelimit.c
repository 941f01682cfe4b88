/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* fakelimit: whoever loads it may lock as much memory as he asks for, or believes so. For libvirtd in
 * containers that may not raise limits: it locks a guest's memory for VFIO, which nothing there does in
 * earnest. */

#include <errno.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

static int set(pid_t pid, unsigned resource, const void *limit, void *old) {
        long r = syscall(SYS_prlimit64, pid, resource, limit, old);

        return r < 0 && errno == EPERM && resource == RLIMIT_MEMLOCK ? 0 : (int) r;
}

/* As all is built here and there, off_t has 64 bits, and these are setrlimit64() and prlimit64(). */
EXPORT int setrlimit(__rlimit_resource_t resource, const struct rlimit *limit) {
        return set(0, resource, limit, NULL);
}

EXPORT int prlimit(pid_t pid, enum __rlimit_resource resource, const struct rlimit *limit,
                   struct rlimit *old) {
        return set(pid, resource, limit, old);
}
