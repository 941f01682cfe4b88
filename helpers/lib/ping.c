/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <netdb.h>
#include <netinet/icmp6.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <sys/socket.h>

#include "ping.h"

typedef struct Socket {
        int family, fd;
        bool raw; /* comes with the header of IPv4, and with others' answers */
} Socket;

/* One request and its answer; the header is the same with both families. */
static const uint16_t sequence = 1;

/* Everybody may by datagrams where net.ipv4.ping_group_range says so; else who may all with sockets. */
static int open_socket(const struct addrinfo *a, Socket *s) {
        int protocol = a->ai_family == AF_INET6 ? (int) IPPROTO_ICMPV6 : (int) IPPROTO_ICMP;

        s->family = a->ai_family;
        s->fd = socket(a->ai_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
        s->raw = s->fd < 0;
        if (s->raw)
                s->fd = socket(a->ai_family, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
        if (s->fd < 0)
                return errno == EPERM ? -EACCES : negative_errno();
        return connect(s->fd, a->ai_addr, a->ai_addrlen) < 0 ? negative_errno() : 0;
}

/* RFC 792. The kernel does it for IPv6, where the addresses are part of the sum. */
static uint16_t checksum(const struct icmphdr *h) {
        uint16_t words[sizeof(*h) / 2];
        uint32_t sum = 0;

        memcpy(words, h, sizeof(*h));
        for (size_t i = 0; i < ELEMENTSOF(words); i++)
                sum += words[i];
        sum = (sum >> 16) + (sum & UINT16_MAX);
        return (uint16_t) ~(sum + (sum >> 16));
}

static int ask(const Socket *s) {
        struct icmphdr h = { .type = s->family == AF_INET6 ? ICMP6_ECHO_REQUEST : ICMP_ECHO };

        h.un.echo.id = htons((uint16_t) getpid());
        h.un.echo.sequence = htons(sequence);
        h.checksum = s->family == AF_INET6 ? 0 : checksum(&h);
        return send(s->fd, &h, sizeof(h), 0) < 0 ? negative_errno() : 0;
}

/* Returns 1 if it is the answer, 0 for anything else, or -errno. */
static int hear(const Socket *s) {
        uint8_t data[256];
        ssize_t n = recv(s->fd, data, sizeof(data), 0);
        size_t skip = s->raw && s->family == AF_INET && n > 0 ? (size_t) (data[0] & 0xf) * 4 : 0;
        struct icmphdr h;

        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : negative_errno();
        if ((size_t) n < skip + sizeof(h))
                return 0;
        memcpy(&h, data + skip, sizeof(h));
        return h.type == (s->family == AF_INET6 ? ICMP6_ECHO_REPLY : ICMP_ECHOREPLY) &&
                        h.un.echo.sequence == htons(sequence) &&
                        (!s->raw || h.un.echo.id == htons((uint16_t) getpid()));
}

/* That there is no way there is an answer as well: it does not. */
static int exchange(const Socket *s, uint64_t timeout_usec) {
        uint64_t end = monotonic_usec() + timeout_usec, now;
        struct pollfd p = { .fd = s->fd, .events = POLLIN };
        int r = ask(s);

        while (r == 0 && (now = monotonic_usec()) < end)
                if (poll(&p, 1, (int) ((end - now) / USEC_PER_MSEC) + 1) > 0)
                        r = hear(s);
        return r == -EHOSTUNREACH || r == -ENETUNREACH || r == -ECONNREFUSED ? 0 : r;
}

int ping_once(const char *address, uint64_t timeout_usec) {
        const struct addrinfo hints = { .ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_DGRAM };
        struct addrinfo *a = NULL;
        Socket s = { .fd = -EBADF };
        int r;

        if (getaddrinfo(address, NULL, &hints, &a) != 0)
                return -EINVAL;
        r = open_socket(a, &s);
        freeaddrinfo(a);
        if (r >= 0)
                r = exchange(&s, timeout_usec);
        (void) safe_close(s.fd);
        return r == -EHOSTUNREACH || r == -ENETUNREACH ? 0 : r;
}
