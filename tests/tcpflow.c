/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* tcpflow: a TCP connection that is alive, and how long it was silent; and for how long no packet came
 * through.
 *
 *     tcpflow listen PORT                     echoes what each connection sends, and each datagram
 *     tcpflow probe ADDRESS PORT SECONDS      sends a byte and a datagram every 20 ms, for that long or until
 * SIGTERM: prints how many bytes came back, the longest silence of the connection in ms, and that of the
 * datagrams; exits 1 if the connection broke or a byte was lost. TCP tries again after a time that doubles,
 * so that its silence is longer than that of the line: datagrams show the latter.
 */

#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
        INTERVAL_MSEC = 20,
        LISTENERS = 8,
        LAST_MSEC = 60 * 1000, /* TCP tries again after a time that doubles */
};

static volatile sig_atomic_t over;

static void on_term(int sig) {
        over = sig;
}

static long now_msec(void) {
        struct timespec t;

        (void) clock_gettime(CLOCK_MONOTONIC, &t);
        return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void echo(int fd) {
        char data[256];
        ssize_t n;

        while ((n = read(fd, data, sizeof(data))) > 0)
                if (write(fd, data, (size_t) n) != n)
                        break;
}

/* One that cannot be answered is lost, as on the line. */
static void echo_datagrams(int fd) {
        struct sockaddr_in6 from;
        char data[256];

        for (;;) {
                socklen_t size = sizeof(from);
                ssize_t n = recvfrom(fd, data, sizeof(data), 0, (struct sockaddr *) &from, &size);

                if (n > 0)
                        (void) sendto(fd, data, (size_t) n, 0, (struct sockaddr *) &from, size);
        }
}

static int bound(int type, unsigned short port) {
        struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
        int fd = socket(AF_INET6, type | SOCK_CLOEXEC, 0), yes = 1;

        (void) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
        return fd < 0 || bind(fd, (struct sockaddr *) &any, sizeof(any)) < 0 ? -1 : fd;
}

static int listen_on(unsigned short port) {
        int fd = bound(SOCK_STREAM, port), datagrams = bound(SOCK_DGRAM, port);

        if (fd < 0 || datagrams < 0 || listen(fd, LISTENERS) < 0) {
                perror("listen");
                return EXIT_FAILURE;
        }
        if (fork() == 0) {
                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                echo_datagrams(datagrams);
        }
        for (;;) {
                int c = accept(fd, NULL, NULL);

                if (c >= 0 && fork() == 0) {
                        echo(c);
                        _exit(EXIT_SUCCESS);
                }
                (void) close(c);
        }
}

static int dial(int type, const char *address, unsigned short port) {
        struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port) };
        struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
        int six = inet_pton(AF_INET6, address, &v6.sin6_addr) == 1;
        int fd = socket(six ? AF_INET6 : AF_INET, type, 0);

        if (!six && inet_pton(AF_INET, address, &v4.sin_addr) != 1)
                return -1;
        if (connect(fd, six ? (struct sockaddr *) &v6 : (struct sockaddr *) &v4,
                    six ? sizeof(v6) : sizeof(v4)) < 0)
                return -1;
        return fd;
}

/* What has come back: its size, or -1 if the connection broke. */
static long take_in(int fd) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        char data[256];
        ssize_t n;

        if (poll(&p, 1, 0) <= 0)
                return 0;
        n = read(fd, data, sizeof(data));
        return n > 0 ? n : -1;
}

/* Whether one came. */
static bool take_datagrams(int fd) {
        char data[256];
        bool any = false;

        while (recv(fd, data, sizeof(data), MSG_DONTWAIT) > 0)
                any = true;
        return any;
}

/* The last ones may be on their way still. */
static int probe(int fd, int datagrams, long seconds) {
        long end = now_msec() + seconds * 1000, last = now_msec(), silence = 0, sent = 0, echoes = 0;
        long last_datagram = last, gap = 0;

        for (;;) {
                bool sending = !over && now_msec() < end;
                long n;

                if (!sending && (echoes == sent || now_msec() - last > LAST_MSEC))
                        break;
                if (sending && send(fd, "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
                        perror("send");
                        return EXIT_FAILURE;
                }
                sent += sending;
                (void) send(datagrams, "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
                (void) usleep(INTERVAL_MSEC * 1000);
                if (sending && now_msec() - last_datagram > gap)
                        gap = now_msec() - last_datagram;
                if (take_datagrams(datagrams))
                        last_datagram = now_msec();
                n = take_in(fd);
                if (n < 0) {
                        perror("read");
                        return EXIT_FAILURE;
                }
                echoes += n;
                if (n > 0)
                        last = now_msec();
                else if (now_msec() - last > silence)
                        silence = now_msec() - last;
        }
        printf("%ld %ld %ld\n", echoes, silence, gap);
        return echoes == sent ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char *argv[]) {
        int fd, datagrams;

        if (argc == 3 && strcmp(argv[1], "listen") == 0)
                return listen_on((unsigned short) atoi(argv[2]));
        if (argc != 5 || strcmp(argv[1], "probe") != 0)
                return EXIT_FAILURE;
        fd = dial(SOCK_STREAM, argv[2], (unsigned short) atoi(argv[3]));
        datagrams = dial(SOCK_DGRAM, argv[2], (unsigned short) atoi(argv[3]));
        if (fd < 0 || datagrams < 0) {
                perror("connect");
                return EXIT_FAILURE;
        }
        (void) signal(SIGTERM, on_term);
        return probe(fd, datagrams, atol(argv[4]));
}
