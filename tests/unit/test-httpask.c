/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a machine answers by HTTP, from a child of the test's. */

#include <arpa/inet.h>
#include <sys/socket.h>

#include "fs.h"
#include "httpask.h"
#include "tests/tap.h"

enum { LONG = 20 * 1000000, SHORT = 300000 };

static char url[64], asked[1024];

/* Listens at a port that is free. Returns the socket. */
static int listen_somewhere(void) {
        struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t size = sizeof(a);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        ASSERT(fd >= 0 && bind(fd, (struct sockaddr *) &a, sizeof(a)) >= 0 && listen(fd, 1) >= 0);
        ASSERT(getsockname(fd, (struct sockaddr *) &a, &size) >= 0);
        (void) snprintf(url, sizeof(url), "http://127.0.0.1:%u/health", ntohs(a.sin_port));
        return fd;
}

/* Answers once, with n bytes of "x" behind; what was asked comes by the pipe. */
static void serve(int fd, const char *answer, size_t n, int out) {
        char buf[sizeof(asked)];
        ssize_t k;
        int peer;

        alarm(2 * LONG / 1000000); /* nobody may come */
        peer = accept(fd, NULL, NULL);
        k = recv(peer, buf, sizeof(buf), 0);
        if (write(out, buf, (size_t) MAX(k, 0)) < 0 || send(peer, answer, strlen(answer), MSG_NOSIGNAL) < 0)
                _exit(EXIT_FAILURE);
        for (size_t i = 0; i < n && send(peer, "x", 1, MSG_NOSIGNAL) == 1; i++)
                ;
        (void) shutdown(peer, SHUT_WR);
        while (recv(peer, buf, sizeof(buf), 0) > 0)
                ;
        _exit(EXIT_SUCCESS);
}

/* Returns what httpask() does. */
static int ask(const char *answer, size_t n) {
        _cleanup_free_ char *message = NULL;
        int fd = listen_somewhere(), out[2], status, r;
        pid_t pid;

        ASSERT(pipe(out) >= 0);
        pid = fork();
        ASSERT(pid >= 0);
        if (pid == 0)
                serve(fd, answer, n, out[1]);
        close(fd);
        close(out[1]);
        r = httpask(url, LONG, &message);
        ASSERT_EQ(r < 0, message != NULL);
        memset(asked, 0, sizeof(asked));
        ASSERT(read(out[0], asked, sizeof(asked) - 1) >= 0);
        close(out[0]);
        ASSERT_EQ(waitpid(pid, &status, 0), pid);
        ASSERT_EQ(status, 0);
        return r;
}

TEST(a_status) {
        ASSERT_EQ(ask("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 0), 200);
        ASSERT(startswith(asked, "GET /health HTTP/1.1\r\nHost: 127.0.0.1:"));
        ASSERT(!strcasestr(asked, "authorization"));
        ASSERT_EQ(ask("HTTP/1.0 503 Not yet\r\n\r\n", 0), 503);
}

TEST(no_redirect_and_no_proxy) {
        ASSERT(setenv("http_proxy", "http://192.0.2.1:9", 1) >= 0 &&
               setenv("ALL_PROXY", "http://192.0.2.1:9", 1) >= 0);
        ASSERT_EQ(ask("HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1:9/\r\nContent-Length: 0\r\n\r\n", 0),
                  302);
}

TEST(no_http) {
        ASSERT(ask("SSH-2.0-OpenSSH_9.6\r\n", 0) < 0);
        ASSERT(ask("", 0) < 0);
}

TEST(no_end) {
        ASSERT_EQ(ask("HTTP/1.1 200 OK\r\n\r\n", 64 * 1024), 200);
        ASSERT_EQ(ask("HTTP/1.1 200 OK\r\n\r\n", 64 * 1024 + 1), -EPROTO);
}

TEST(nobody_there) {
        _cleanup_free_ char *message = NULL;

        close(listen_somewhere());
        ASSERT_EQ(httpask(url, LONG, &message), -ENETUNREACH);
        ASSERT(message);
}

TEST(silence) {
        _cleanup_free_ char *message = NULL;
        int fd = listen_somewhere();

        ASSERT_EQ(httpask(url, SHORT, &message), -ETIMEDOUT);
        ASSERT(message);
        close(fd);
}

TEST(nothing_but_http) {
        _cleanup_free_ char *message = NULL;

        ASSERT_EQ(httpask("file:///etc/hostname", LONG, &message), -EPROTO);
        ASSERT(message);
}
