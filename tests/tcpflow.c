/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* tcpflow: a TCP connection that is alive, and how long it was silent.
 *
 *     tcpflow listen PORT                     echoes what each connection sends
 *     tcpflow probe ADDRESS PORT SECONDS      sends a byte every 20 ms, for that long or until SIGTERM:
 * prints how many came back and the longest silence in ms; exits 1 if the connection broke or a byte was lost
 */

#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

static int listen_on(unsigned short port) {
        struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
        int fd = socket(AF_INET6, SOCK_STREAM, 0), yes = 1;

        (void) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
        if (fd < 0 || bind(fd, (struct sockaddr *) &any, sizeof(any)) < 0 || listen(fd, LISTENERS) < 0) {
                perror("listen");
                return EXIT_FAILURE;
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

static int dial(const char *address, unsigned short port) {
        struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port) };
        struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
        int six = inet_pton(AF_INET6, address, &v6.sin6_addr) == 1;
        int fd = socket(six ? AF_INET6 : AF_INET, SOCK_STREAM, 0);

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

/* The last ones may be on their way still. */
static int probe(int fd, long seconds) {
        long end = now_msec() + seconds * 1000, last = now_msec(), silence = 0, sent = 0, echoes = 0;

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
                (void) usleep(INTERVAL_MSEC * 1000);
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
        printf("%ld %ld\n", echoes, silence);
        return echoes == sent ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char *argv[]) {
        int fd;

        if (argc == 3 && strcmp(argv[1], "listen") == 0)
                return listen_on((unsigned short) atoi(argv[2]));
        if (argc != 5 || strcmp(argv[1], "probe") != 0)
                return EXIT_FAILURE;
        fd = dial(argv[2], (unsigned short) atoi(argv[3]));
        if (fd < 0) {
                perror("connect");
                return EXIT_FAILURE;
        }
        (void) signal(SIGTERM, on_term);
        return probe(fd, atol(argv[4]));
}
