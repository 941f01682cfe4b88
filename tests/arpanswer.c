/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* arpanswer: many hosts on one link, in user space, since a kernel without netem delays and loses nothing.
 *
 *     arpanswer INTERFACE FIRST STEP COUNT [OPTION...]
 *
 * Answers ARP for COUNT IPv4 addresses, from FIRST on, every STEP, each with a MAC of its own, until it is
 * killed. delay=MS jitter=MS   how late: delay, and up to jitter more loss=PERCENT seed=N  of questions and
 * answers together; the same ones each time log=FILE             each address that is asked for, a line
 *     how=twice            with a second MAC as well
 *     how=want             does not answer, but asks for the same
 *     how=wrong            answers that are broken, or about others
 *     how=storm-others     floods the link with announcements of other addresses
 *     how=storm            with announcements of its own addresses, besides its answers
 * Prints "ready" when it listens. */

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/if_ether.h>
#include <netpacket/packet.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { WAITING_MAX = 65536, STORM_BURST = 32 };

typedef struct Frame {
        struct ether_header eth;
        struct ether_arp arp;
        uint8_t padding[18];
} Frame;

typedef struct Answer {
        double due; /* ms */
        Frame frame;
} Answer;

static struct {
        int fd;
        uint32_t first;
        unsigned step, count;
        double delay, jitter, loss;
        uint64_t random;
        const char *how;
        FILE *log;
        Answer waiting[WAITING_MAX];
        size_t n_waiting;
} a;

static double now(void) {
        struct timespec t;

        (void) clock_gettime(CLOCK_MONOTONIC, &t);
        return (double) t.tv_sec * 1e3 + (double) t.tv_nsec / 1e6;
}

/* Below one; xorshift64*. */
static double chance(void) {
        a.random ^= a.random >> 12;
        a.random ^= a.random << 25;
        a.random ^= a.random >> 27;
        return (double) (a.random * UINT64_C(0x2545F4914F6CDD1D) >> 11) / 9007199254740992.0;
}

static void fill(Frame *f, unsigned op, uint32_t ip, uint8_t kind, const uint8_t *to) {
        const uint8_t mac[6] = {
                2, kind, (uint8_t) (ip >> 24), (uint8_t) (ip >> 16), (uint8_t) (ip >> 8), (uint8_t) ip
        };
        const uint32_t net = htonl(ip);

        *f = (Frame){ .eth.ether_type = htons(ETHERTYPE_ARP),
                      .arp.ea_hdr = { .ar_hrd = htons(ARPHRD_ETHER),
                                      .ar_pro = htons(ETHERTYPE_IP),
                                      .ar_hln = 6,
                                      .ar_pln = 4,
                                      .ar_op = htons((uint16_t) op) } };
        memcpy(f->eth.ether_shost, mac, 6);
        memcpy(f->eth.ether_dhost, to, 6);
        memcpy(f->arp.arp_sha, mac, 6);
        memcpy(f->arp.arp_spa, &net, 4);
        memcpy(f->arp.arp_tha, to, 6);
}

static void later(const Frame *f) {
        if (a.n_waiting < WAITING_MAX)
                a.waiting[a.n_waiting++] = (Answer){ now() + a.delay + chance() * a.jitter, *f };
}

/* None of them says that the address is in use. */
static void answer_wrong(uint32_t ip, const uint8_t *to) {
        Frame f;

        fill(&f, ARPOP_REPLY, ip + 0x01000000, 0x20, to); /* another one's */
        later(&f);
        fill(&f, ARPOP_REPLY, 0, 0x20, to);
        later(&f);
        fill(&f, 9, ip, 0x20, to); /* no such operation */
        later(&f);
        fill(&f, ARPOP_REPLY, ip, 0x20, to);
        f.arp.ea_hdr.ar_hln = 8;
        later(&f);
        fill(&f, ARPOP_REPLY, ip, 0x20, to);
        f.arp.ea_hdr.ar_pro = 0;
        later(&f);
}

static void answer(uint32_t ip, const uint8_t *to) {
        static const uint8_t all[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
        Frame f;

        if (strcmp(a.how, "wrong") == 0) {
                answer_wrong(ip, to);
                return;
        }
        if (strcmp(a.how, "want") == 0) {
                const uint32_t net = htonl(ip);

                fill(&f, ARPOP_REQUEST, ip, 0x30, all);
                memset(f.arp.arp_spa, 0, 4);
                memcpy(f.arp.arp_tpa, &net, 4);
                later(&f);
                return;
        }
        fill(&f, ARPOP_REPLY, ip, 0x10, to);
        later(&f);
        if (strcmp(a.how, "twice") == 0) {
                fill(&f, ARPOP_REPLY, ip, 0x40, to);
                later(&f);
        }
}

static void read_questions(void) {
        Frame f;

        while (recv(a.fd, &f, sizeof(f), MSG_DONTWAIT) >= (ssize_t) (sizeof(f) - sizeof(f.padding))) {
                uint32_t ip;

                if (f.arp.ea_hdr.ar_op != htons(ARPOP_REQUEST))
                        continue;
                memcpy(&ip, f.arp.arp_tpa, 4);
                if (a.log) {
                        char text[INET_ADDRSTRLEN];

                        fprintf(a.log, "%s\n", inet_ntop(AF_INET, &ip, text, sizeof(text)));
                        (void) fflush(a.log);
                }
                ip = ntohl(ip);
                if (ip < a.first || (ip - a.first) % a.step != 0 || (ip - a.first) / a.step >= a.count)
                        continue;
                if (chance() * 100 >= a.loss)
                        answer(ip, f.arp.arp_sha);
        }
}

static void send_due(void) {
        const double t = now();

        for (size_t i = 0; i < a.n_waiting;) {
                if (a.waiting[i].due > t) {
                        i++;
                        continue;
                }
                (void) send(a.fd, &a.waiting[i].frame, sizeof(Frame), MSG_DONTWAIT);
                a.waiting[i] = a.waiting[--a.n_waiting];
        }
}

static void storm(void) {
        static const uint8_t all[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
        const bool others = strcmp(a.how, "storm-others") == 0;
        static unsigned turn;

        for (unsigned i = 0; i < STORM_BURST; i++, turn++) {
                uint32_t ip = a.first + turn % a.count * a.step + (others ? 0x01000000 : 0);
                uint32_t net = htonl(ip);
                Frame f;

                fill(&f, ARPOP_REQUEST, ip, 0x10, all);
                memcpy(f.arp.arp_tpa, &net, 4);
                (void) send(a.fd, &f, sizeof(f), MSG_DONTWAIT);
        }
}

static int parse(int argc, char *argv[]) {
        if (argc < 5)
                return -EINVAL;
        a.first = ntohl(inet_addr(argv[2]));
        a.step = (unsigned) atoi(argv[3]);
        a.count = (unsigned) atoi(argv[4]);
        a.how = "";
        a.random = 88172645463325252;
        for (int i = 5; i < argc; i++) {
                char *value = strchr(argv[i], '=');

                if (!value)
                        return -EINVAL;
                *value++ = '\0';
                if (strcmp(argv[i], "delay") == 0)
                        a.delay = atof(value);
                else if (strcmp(argv[i], "jitter") == 0)
                        a.jitter = atof(value);
                else if (strcmp(argv[i], "loss") == 0)
                        a.loss = atof(value);
                else if (strcmp(argv[i], "seed") == 0)
                        a.random ^= (uint64_t) atoi(value) * UINT64_C(0x9E3779B97F4A7C15);
                else if (strcmp(argv[i], "how") == 0)
                        a.how = value;
                else if (strcmp(argv[i], "log") != 0 || !(a.log = fopen(value, "we")))
                        return -EINVAL;
        }
        return a.step == 0 ? -EINVAL : 0;
}

int main(int argc, char *argv[]) {
        struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_protocol = htons(ETHERTYPE_ARP) };
        const int size = 4 * 1024 * 1024;
        bool storms;

        if (parse(argc, argv) < 0)
                return 2;
        storms = strncmp(a.how, "storm", 5) == 0;
        a.fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETHERTYPE_ARP));
        to.sll_ifindex = (int) if_nametoindex(argv[1]);
        if (a.fd < 0 || bind(a.fd, (struct sockaddr *) &to, sizeof(to)) < 0) {
                perror("arpanswer");
                return 1;
        }
        (void) setsockopt(a.fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
        puts("ready");
        (void) fflush(stdout);
        for (;;) {
                struct pollfd p = { .fd = a.fd, .events = POLLIN };

                (void) poll(&p, 1, storms ? 0 : a.n_waiting > 0 ? 1 : 1000);
                read_questions();
                send_due();
                if (storms)
                        storm();
        }
}
