/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "netlink.h"

#include <poll.h>
#include <sys/socket.h>

enum {
        ANSWER_TIMEOUT_MSEC = 5000,
        CHUNK = 64 * 1024, /* the kernel sends 32 KiB at most, see netlink_dump() in net/netlink/af_netlink.c
                            */
        BODY_MAX = 128,
};

static int send_request(int fd, uint16_t type, uint16_t flags, const void *body, size_t size) {
        struct {
                struct nlmsghdr header;
                char body[BODY_MAX];
        } m = { .header = { .nlmsg_len = (uint32_t) NLMSG_LENGTH(size),
                            .nlmsg_type = type,
                            .nlmsg_flags = NLM_F_REQUEST | flags,
                            .nlmsg_seq = 1 } };
        struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };

        assert(size <= sizeof(m.body));
        memcpy(m.body, body, size);
        return RET_NERRNO(sendto(fd, &m, m.header.nlmsg_len, 0, (struct sockaddr *) &kernel, sizeof(kernel)));
}

/* One datagram, from the kernel and nobody else. */
static ssize_t receive(int fd, char *buffer, size_t size) {
        for (;;) {
                struct pollfd p = { .fd = fd, .events = POLLIN };
                struct sockaddr_nl from = {};
                socklen_t n_from = sizeof(from);
                ssize_t n;
                int r = poll(&p, 1, ANSWER_TIMEOUT_MSEC);

                if (r == 0)
                        return -ETIMEDOUT;
                if (r < 0 && errno != EINTR)
                        return -errno;
                n = recvfrom(fd, buffer, size, MSG_DONTWAIT | MSG_TRUNC, (struct sockaddr *) &from, &n_from);
                if (n < 0 && errno != EAGAIN && errno != EINTR)
                        return -errno;
                if (n > 0 && from.nl_pid == 0)
                        return (size_t) n > size ? -EMSGSIZE : n;
        }
}

/* Returns 1 when the answer is over, 0 if more is to come. */
static int end_of_dump(uint16_t type, const void *payload, size_t size) {
        int error = 0;

        if (type != NLMSG_DONE && type != NLMSG_ERROR)
                return 0;
        if (size >= sizeof(error))
                memcpy(&error, payload, sizeof(error));
        return error < 0 ? error : 1;
}

static int on_chunk(uint16_t type, const void *payload, size_t size, void *userdata) {
        return end_of_dump(type, payload, size);
}

static bool interrupted(const char *buffer, size_t size) {
        const struct nlmsghdr *h = (const void *) buffer;

        return size >= sizeof(*h) && (h->nlmsg_flags & NLM_F_DUMP_INTR);
}

static int append(char **data, size_t *size, const char *chunk, size_t n) {
        char *t;

        if (*size + n > NETLINK_DUMP_MAX)
                return -EFBIG;
        t = realloc(*data, *size + n);
        if (!t)
                return -ENOMEM;
        memcpy(t + *size, chunk, n);
        *data = t;
        *size += n;
        return 0;
}

int netlink_dump(int protocol, uint16_t type, const void *body, size_t body_size, char **data, size_t *size) {
        _cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
        _cleanup_free_ char *chunk = malloc(CHUNK);
        int r;

        if (fd < 0)
                return -errno;
        if (!chunk)
                return -ENOMEM;
        r = send_request(fd, type, NLM_F_DUMP, body, body_size);
        while (r >= 0) {
                ssize_t n = receive(fd, chunk, CHUNK);

                if (n < 0)
                        return (int) n;
                if (interrupted(chunk, (size_t) n))
                        return -EAGAIN;
                r = append(data, size, chunk, (size_t) n);
                if (r < 0)
                        return r;
                r = netlink_walk(chunk, (size_t) n, on_chunk, NULL);
                if (r > 0)
                        return 0;
        }
        return r;
}

int netlink_change(int protocol, uint16_t type, uint16_t flags, const void *body, size_t body_size) {
        _cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
        char answer[NLMSG_LENGTH(sizeof(struct nlmsgerr)) + NLMSG_LENGTH(BODY_MAX)];
        ssize_t n;
        int r;

        if (fd < 0)
                return -errno;
        r = send_request(fd, type, NLM_F_ACK | flags, body, body_size);
        if (r < 0)
                return r;
        n = receive(fd, answer, sizeof(answer));
        if (n < 0)
                return (int) n;
        r = netlink_walk(answer, (size_t) n, on_chunk, NULL);
        return r > 0 ? 0 : r < 0 ? r : -EBADMSG;
}

int netlink_walk(const void *data, size_t size, NetlinkMessage callback, void *userdata) {
        const char *p = data;

        while (size > 0) {
                struct nlmsghdr h;
                size_t step;
                int r;

                if (size < sizeof(h))
                        return -EBADMSG;
                memcpy(&h, p, sizeof(h));
                if (h.nlmsg_len < sizeof(h) || h.nlmsg_len > size)
                        return -EBADMSG;
                r = callback(h.nlmsg_type, p + NLMSG_HDRLEN, h.nlmsg_len - sizeof(h), userdata);
                if (r != 0)
                        return r;
                step = MIN((size_t) NLMSG_ALIGN(h.nlmsg_len), size);
                p += step;
                size -= step;
        }
        return 0;
}

int netlink_attributes(const void *data, size_t size, const struct rtattr **table, size_t max) {
        const struct rtattr *a = data;

        while (size >= sizeof(*a)) {
                size_t type = a->rta_type & NLA_TYPE_MASK, step;

                if (a->rta_len < sizeof(*a) || a->rta_len > size)
                        return -EBADMSG;
                if (type <= max)
                        table[type] = a;
                step = MIN((size_t) RTA_ALIGN(a->rta_len), size);
                a = (const void *) ((const char *) a + step);
                size -= step;
        }
        return 0;
}

int netlink_body(const void *payload, size_t size, size_t header, const struct rtattr **table, size_t max) {
        size_t start = NLMSG_ALIGN(header);

        if (size < header)
                return -EBADMSG;
        return netlink_attributes((const char *) payload + MIN(size, start), size - MIN(size, start), table,
                                  max);
}

uint32_t netlink_u32(const struct rtattr *a, uint32_t fallback) {
        if (a && netlink_size(a) >= sizeof(fallback))
                memcpy(&fallback, RTA_DATA(a), sizeof(fallback));
        return fallback;
}
