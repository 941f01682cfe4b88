/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Waiting for the guest: until its agent, its ssh or, of Talos, its API answers. A guest with cloud-init has
 * read its seed by then: that is before ssh, and it keeps what it has read. So the seed, with whatever
 * secrets are in it, is taken away. */

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include "create.h"
#include "fs.h"
#include "parse.h"

enum { WAIT_SEC = 15 * 60, CONNECT_MSEC = 1000, PAUSE_MSEC = 1000, SSH = 22, TALOS_API = 50000 };

static int socket_address(const char *address, uint16_t port, struct sockaddr_storage *ret,
                          socklen_t *ret_size) {
        struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port) };
        struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };

        if (inet_pton(AF_INET, address, &v4.sin_addr) == 1) {
                memcpy(ret, &v4, sizeof(v4));
                *ret_size = sizeof(v4);
                return 0;
        }
        if (inet_pton(AF_INET6, address, &v6.sin6_addr) != 1)
                return -EINVAL;
        memcpy(ret, &v6, sizeof(v6));
        *ret_size = sizeof(v6);
        return 0;
}

static bool answers(const char *address, uint16_t port) {
        _cleanup_close_ int fd = -EBADF;
        struct sockaddr_storage a;
        struct pollfd p = { .events = POLLOUT };
        socklen_t size = 0, length = sizeof(int);
        int error = 0;

        if (socket_address(address, port, &a, &size) < 0)
                return false;
        fd = socket(a.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return false;
        if (connect(fd, (const struct sockaddr *) &a, size) >= 0)
                return true;
        p.fd = fd;
        return errno == EINPROGRESS && poll(&p, 1, CONNECT_MSEC) > 0 &&
                        getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) >= 0 && error == 0;
}

/* Returns 1 if it can be reached, and by what; 0 if not yet. */
static int look(Context *c, const Create *n, const char **ret_by, char **ret_address) {
        const Metadata m = { .address = n->plan.address };
        bool talos = streq(n->kind, "talos");
        _cleanup_strv_ char **agent = NULL;
        VmState state;
        int r;

        r = virtvm_state(c->virt, n->plan.name, &state);
        if (r >= 0 && !vm_state_is_on(state))
                return log_full_errno(LOG_ERR, ESRCH,
                                      "'%s' went off while it was waited for; 'vmctl start %s' starts it",
                                      n->plan.name, n->plan.name);
        if (r >= 0)
                r = virtvm_addresses(c->virt, n->plan.name, VIRT_AGENT, &agent);
        if (r < 0)
                return vmctl_tell(c, r, "Lost sight of '%s'", n->plan.name);
        r = vmctl_address(c, n->plan.name, &m, ret_address);
        *ret_by = talos ? "its API" : "ssh";
        if (r > 0 && answers(*ret_address, talos ? TALOS_API : SSH))
                return 1;
        *ret_by = "its agent";
        return r < 0 ? r : agent && !talos;
}

static int take_seed(Context *c, const Create *n) {
#ifdef __aarch64__
        static const char bus[] = "scsi";
#else
        static const char bus[] = "sata";
#endif
        int r = virtvm_eject(c->virt, n->plan.name, "sda", bus); /* domain.c put it there */

        if (r < 0)
                return vmctl_tell(c, r, "Cannot take the seed out of '%s'", n->plan.name);
        r = fs_remove(n->root, n->seed);
        return r < 0 ? log_error_errno(r, "Cannot remove '%s': %m", n->seed) : 0;
}

int guest_wait(Context *c, const Create *n) {
        const char *limit = vmctl_value(c, OPT_TIMEOUT), *by;
        uint64_t timeout = WAIT_SEC * USEC_PER_SEC, end;
        _cleanup_free_ char *address = NULL;
        int r = 0;

        if (limit && parse_sec(limit, &timeout) < 0) /* plan_check() has looked at it */
                return -EINVAL;
        end = monotonic_usec() + timeout;
        while (r == 0) {
                free(TAKE_PTR(address));
                r = look(c, n, &by, &address);
                if (r == 0 && create_interrupted())
                        return log_full_errno(LOG_ERR, EINTR, "Interrupted; '%s' goes on", n->plan.name);
                if (r == 0 && monotonic_usec() >= end)
                        return log_full_errno(
                                        LOG_ERR, ETIMEDOUT,
                                        "'%s' runs, and could not be reached within %llu s; 'vmctl console %s' shows what it is at",
                                        n->plan.name, (unsigned long long) (timeout / USEC_PER_SEC),
                                        n->plan.name);
                if (r == 0)
                        (void) usleep(PAUSE_MSEC * 1000);
        }
        if (r < 0)
                return r;
        log_debug("%s: reached by %s", n->plan.name, by);
        return streq(n->kind, "talos") ? 0 : take_seed(c, n);
}
