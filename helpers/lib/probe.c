/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <linux/filter.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <netinet/icmp6.h>
#include <poll.h>
#include <sys/socket.h>

#include "arp.h"
#include "probe.h"

enum {
        SWEEPS = 5,
        BURST = 16, /* frames at once */
        TURN = 256, /* frames that are read before it is our turn again, however many there are */
        FRAME_BYTES = 256,
        RECEIVE_BYTES = 1024 * 1024,
};

#define SWEEP_USEC (100 * USEC_PER_MSEC)
#define WAIT_USEC  (200 * USEC_PER_MSEC) /* after the last sweep began */
#define LAST_USEC  (150 * USEC_PER_MSEC) /* after its last frame, at least */
#define PACE_USEC  UINT64_C(400)         /* for a burst */
#define LATE_USEC  (5 * PACE_USEC)       /* that are caught up with, after others had the processor */
#define BUSY_USEC  USEC_PER_MSEC         /* until a full queue is tried again */
#define LIMIT_USEC (30 * USEC_PER_SEC)   /* that the link may take for it, beside its share for each frame */

typedef struct Run {
        const ProbeLink *l;
        int family, fd;
        ProbeHost *hosts;
        size_t n;
        unsigned sweep; /* that is under way; SWEEPS: the last answers are waited for */
        size_t next;    /* host in it */
        uint64_t began; /* when it began */
        uint64_t due;   /* when its next burst is, or the end of it all */
} Run;

static int compare(const void *a, const void *b) {
        return memcmp(a, ((const ProbeHost *) b)->address, 16);
}

/* Only frames about the addresses in question use up the buffer. The offsets are from behind the Ethernet
 * header, as packet(7) has it for SOCK_DGRAM: ARP's sender at 14, and where that is zero its target at 24. */
static int filter_v4(int fd, const ProbeHost *first, const ProbeHost *last) {
        uint32_t low, high;

        memcpy(&low, first->address, 4);
        memcpy(&high, last->address, 4);
        struct sock_filter code[] = {
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 14),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1),
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 24),
                BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, ntohl(low), 0, 2),
                BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, ntohl(high), 1, 0),
                BPF_STMT(BPF_RET | BPF_K, FRAME_BYTES),
                BPF_STMT(BPF_RET | BPF_K, 0),
        };
        const struct sock_fprog program = { .len = ELEMENTSOF(code), .filter = code };

        return RET_NERRNO(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)));
}

/* Neighbour solicitations and advertisements, right behind the IPv6 header. */
static int filter_v6(int fd) {
        struct sock_filter code[] = {
                BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 6),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_ICMPV6, 0, 4),
                BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 40),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ND_NEIGHBOR_SOLICIT, 1, 0),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ND_NEIGHBOR_ADVERT, 0, 1),
                BPF_STMT(BPF_RET | BPF_K, FRAME_BYTES),
                BPF_STMT(BPF_RET | BPF_K, 0),
        };
        const struct sock_fprog program = { .len = ELEMENTSOF(code), .filter = code };

        return RET_NERRNO(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)));
}

int probe_check(void) {
        _cleanup_close_ int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        return fd < 0 ? negative_errno() : 0;
}

/* Hears nothing until it is bound: with protocol 0, and the filter in place before. */
static int open_socket(Run *p) {
        _cleanup_close_ int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        const struct sockaddr_ll a = {
                .sll_family = AF_PACKET,
                .sll_protocol = htons(p->family == AF_INET6 ? ETHERTYPE_IPV6 : ETHERTYPE_ARP),
                .sll_ifindex = p->l->index,
        };
        const int size = RECEIVE_BYTES;
        int r;

        if (fd < 0)
                return negative_errno();
        if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
                (void) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
        r = p->family == AF_INET6 ? filter_v6(fd) : filter_v4(fd, p->hosts, p->hosts + p->n - 1);
        if (r < 0)
                return r;
        if (bind(fd, (const struct sockaddr *) &a, sizeof(a)) < 0)
                return negative_errno();
        p->fd = TAKE_FD(fd);
        return 0;
}

static int send_one(const Run *p, const ProbeHost *h) {
        struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_ifindex = p->l->index, .sll_halen = 6 };
        ArpFrame f;

        arp_ask(p->family, h->address, p->l->mac, p->l->source, &f);
        to.sll_protocol = htons(f.protocol);
        memcpy(to.sll_addr, f.to, 6);
        return sendto(p->fd, f.data, f.size, 0, (const struct sockaddr *) &to, sizeof(to)) < 0
                        ? negative_errno()
                        : 0;
}

/* After the last burst of a sweep comes the next sweep; after the last sweep the time for its answers. */
static void end_sweep(Run *p, uint64_t now) {
        p->next = 0;
        p->sweep++;
        if (p->sweep == SWEEPS)
                p->due = MAX(p->began + WAIT_USEC, now + LAST_USEC);
        else
                p->began = p->due = MAX(now + PACE_USEC, p->began + SWEEP_USEC);
}

static int send_some(Run *p, uint64_t now) {
        p->due = MAX(p->due + PACE_USEC, now - LATE_USEC);
        for (unsigned sent = 0; p->next < p->n && sent < BURST; p->next++) {
                int r;

                if (p->hosts[p->next].answers)
                        continue;
                r = send_one(p, &p->hosts[p->next]);
                if (r == -ENOBUFS || r == -EAGAIN || r == -EINTR) {
                        p->due = now + BUSY_USEC;
                        return 0;
                }
                if (r < 0)
                        return r;
                sent++;
        }
        if (p->next == p->n)
                end_sweep(p, now);
        return 0;
}

static void note(Run *p, const ArpWord *w) {
        ProbeHost *h = bsearch(w->address, p->hosts, p->n, sizeof(*h), compare);

        if (!h)
                return;
        if (w->wants)
                h->wanted = h->wanted || memcmp(w->mac, p->l->mac, 6) != 0;
        else if (!h->answers)
                memcpy(h->mac, w->mac, 6);
        else if (!h->conflict && memcmp(h->mac, w->mac, 6) != 0) {
                h->conflict = true;
                memcpy(h->other, w->mac, 6);
        }
        h->answers = h->answers || !w->wants;
}

static int receive(Run *p) {
        for (unsigned i = 0; i < TURN; i++) {
                struct sockaddr_ll from = {};
                socklen_t size = sizeof(from);
                char frame[FRAME_BYTES];
                ArpWord w;
                ssize_t n = recvfrom(p->fd, frame, sizeof(frame), 0, (struct sockaddr *) &from, &size);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return errno == EAGAIN ? 0 : negative_errno();
                if (from.sll_pkttype != PACKET_OUTGOING && from.sll_halen == 6 &&
                    arp_read(p->family, frame, (size_t) n, from.sll_addr, &w) > 0)
                        note(p, &w);
        }
        return 0;
}

static int wait_until(const Run *p, uint64_t now) {
        const uint64_t usec = p->due > now ? p->due - now : 0;
        const struct timespec t = { .tv_sec = (time_t) (usec / USEC_PER_SEC),
                                    .tv_nsec = (long) (usec % USEC_PER_SEC * 1000) };
        struct pollfd f = { .fd = p->fd, .events = POLLIN };

        return ppoll(&f, 1, &t, NULL) < 0 && errno != EINTR ? negative_errno() : 0;
}

static int run(Run *p) {
        const uint64_t start = monotonic_usec(), limit = LIMIT_USEC + SWEEPS * p->n * PACE_USEC / BURST;

        p->began = p->due = start;
        for (;;) {
                uint64_t now = monotonic_usec();
                int r = 0;

                if (p->sweep == SWEEPS && now >= p->due)
                        return 0;
                if (p->sweep < SWEEPS && now - start > limit)
                        return -ETIMEDOUT;
                if (p->sweep < SWEEPS && now >= p->due)
                        r = send_some(p, now);
                if (r >= 0)
                        r = wait_until(p, now);
                if (r >= 0)
                        r = receive(p);
                if (r < 0)
                        return r;
        }
}

int probe_run(const ProbeLink *l, int family, ProbeHost *hosts, size_t n, unsigned *ret_lost) {
        _cleanup_close_ int fd = -EBADF;
        Run p = { .l = l, .family = family, .hosts = hosts, .n = n };
        struct tpacket_stats stats = {};
        socklen_t size = sizeof(stats);
        int r;

        *ret_lost = 0;
        if (n == 0)
                return 0;
        r = open_socket(&p);
        if (r < 0)
                return r;
        fd = p.fd;
        r = run(&p);
        if (r >= 0 && getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &stats, &size) >= 0)
                *ret_lost = stats.tp_drops;
        return r;
}
