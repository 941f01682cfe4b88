/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "fs.h"
#include "worker.h"

enum { TICK_MSEC = 1000, GRACE_MSEC = 1000, ATTRIBUTES_MAX = 256 };

struct Worker {
        pid_t pid;
        int socket;
        int broken; /* -errno that every further call gets */
        void (*tick)(void *userdata);
        void *userdata;
};

/* The answer: the result, then the text with its NUL. */
typedef struct Reply {
        int result;
        char text[WORKER_ANSWER_MAX];
} Reply;

/* What the child has open to read, and keeps open until it ends: most is read again, and what was opened for
 * one device never reads of another at its address. */
typedef struct Attribute {
        char *path;
        int fd;
} Attribute;

static int open_to_read(int root, const char *path) {
        static Attribute attributes[ATTRIBUTES_MAX];
        static size_t n;
        Attribute *a = &attributes[n];

        for (size_t i = 0; i < n; i++)
                if (streq(attributes[i].path, path))
                        return attributes[i].fd;
        if (n == ELEMENTSOF(attributes))
                return -EMFILE;
        a->fd = fs_open(root, path, O_RDONLY | O_NONBLOCK, 0);
        if (a->fd < 0)
                return a->fd;
        a->path = strdup(path);
        if (!a->path)
                return -ENOMEM;
        n++;
        return a->fd;
}

/* The first line: the kernel makes the text anew for a read from the start. */
static int serve_read(int root, const char *path, char answer[WORKER_ANSWER_MAX]) {
        int fd = open_to_read(root, path);
        ssize_t n = fd < 0 ? fd : pread(fd, answer, WORKER_ANSWER_MAX - 1, 0);

        if (n < 0)
                return fd < 0 ? fd : -errno;
        answer[n] = '\0';
        answer[strcspn(answer, "\n")] = '\0';
        return 0;
}

/* Opened anew each time: a path may go through the link to a driver. It is closed as the child ends, soon. */
static int serve_write(int root, const char *path, const char *value) {
        int fd = fs_open(root, path, O_WRONLY, 0);
        ssize_t n = fd < 0 ? fd : write(fd, value, strlen(value));

        if (n < 0)
                return fd < 0 ? fd : -errno;
        return (size_t) n == strlen(value) ? 0 : -EIO;
}

/* A request is "PATH\0VALUE\0" to write or "PATH\0" to read. */
static int serve_sysfs(int root, const char *request, size_t n, char answer[WORKER_ANSWER_MAX]) {
        size_t k = strlen(request) + 1;

        return n > k ? serve_write(root, request, request + k) : serve_read(root, request, answer);
}

/* The child. A request begins with the function that serves it: the child is a copy of us, so that it is at
 * the same address there. */
_noreturn_ static void run(int root, int socket, pid_t parent) {
        static char request[sizeof(WorkerServe) + WORKER_REQUEST_MAX + 1];
        static Reply reply;
        WorkerServe serve;

        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void) signal(SIGTERM, SIG_IGN);
        (void) signal(SIGINT, SIG_IGN);
        (void) signal(SIGHUP, SIG_IGN);
        /* Everything else stays with the parent alone: a lock that is open here would be held as long as we
         * are stuck. */
        (void) syscall(SYS_close_range, 3, MIN(root, socket) - 1, 0);
        (void) syscall(SYS_close_range, MIN(root, socket) + 1, MAX(root, socket) - 1, 0);
        (void) syscall(SYS_close_range, MAX(root, socket) + 1, ~0U, 0);
        while (getppid() == parent) {
                ssize_t n = recv(socket, request, sizeof(request) - 1, 0);

                if (n < (ssize_t) sizeof(serve))
                        break;
                request[n] = '\0';
                memcpy(&serve, request, sizeof(serve));
                *reply.text = '\0';
                reply.result = serve(root, request + sizeof(serve), (size_t) n - sizeof(serve), reply.text);
                if (send(socket, &reply, sizeof(reply.result) + strlen(reply.text) + 1, MSG_NOSIGNAL) < 0)
                        break;
        }
        _exit(EXIT_SUCCESS);
}

int worker_start(int root, void (*tick)(void *userdata), void *userdata, Worker **ret) {
        pid_t parent = getpid();
        int s[2], low = -EBADF;
        Worker *w;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s) < 0)
                return -errno;
        /* Out of the way of the standard descriptors, which the child keeps. */
        low = fcntl(root, F_DUPFD_CLOEXEC, 3);
        w = calloc(1, sizeof(*w));
        if (w && low >= 0)
                w->pid = fork();
        if (!w || low < 0 || w->pid < 0) {
                int r = w ? negative_errno() : -ENOMEM;

                (void) safe_close(s[0]);
                (void) safe_close(s[1]);
                (void) safe_close(low);
                free(w);
                return r;
        }
        if (w->pid == 0)
                run(low, s[1], parent);
        (void) safe_close(s[1]);
        (void) safe_close(low);
        w->socket = s[0];
        w->tick = tick;
        w->userdata = userdata;
        *ret = w;
        return 0;
}

/* Waits for the answer. Returns its length, 0 if the child is gone. */
static ssize_t await(Worker *w, uint64_t timeout_usec, Reply *reply) {
        uint64_t deadline = monotonic_usec() + timeout_usec;

        for (;;) {
                struct pollfd p = { .fd = w->socket, .events = POLLIN };
                uint64_t now = monotonic_usec();
                ssize_t n;

                if (now >= deadline)
                        return -ETIMEDOUT;
                if (poll(&p, 1, (int) MIN((deadline - now) / USEC_PER_MSEC + 1, (uint64_t) TICK_MSEC)) <= 0) {
                        if (w->tick)
                                w->tick(w->userdata);
                        continue;
                }
                n = recv(w->socket, reply, sizeof(*reply), MSG_DONTWAIT);
                if (n < 0 && (errno == EINTR || errno == EAGAIN))
                        continue;
                return n < 0 ? -errno : n;
        }
}

static int ask(Worker *w, WorkerServe serve, const void *request, size_t n, uint64_t timeout_usec,
               Reply *reply) {
        struct iovec parts[] = { { &serve, sizeof(serve) }, { (void *) request, n } };
        const struct msghdr message = { .msg_iov = parts, .msg_iovlen = ELEMENTSOF(parts) };
        ssize_t r;

        if (w->broken < 0)
                return w->broken;
        r = sendmsg(w->socket, &message, MSG_NOSIGNAL);
        if (r >= 0)
                r = await(w, timeout_usec, reply);
        if (r == -ETIMEDOUT) {
                (void) kill(w->pid, SIGKILL);
                return w->broken = -ETIMEDOUT;
        }
        if (r < (ssize_t) sizeof(reply->result))
                return w->broken = -ECHILD;
        return reply->result;
}

int worker_call(Worker *w, WorkerServe serve, const void *request, size_t n, uint64_t timeout_usec,
                char **ret) {
        Reply reply;
        char *text;
        int r;

        if (n > WORKER_REQUEST_MAX)
                return -ENAMETOOLONG;
        r = ask(w, serve, request, n, timeout_usec, &reply);
        if (r < 0 || !ret)
                return r;
        text = strdup(reply.text);
        if (!text)
                return -ENOMEM;
        *ret = text;
        return r;
}

int worker_write(Worker *w, const char *path, const char *value, uint64_t timeout_usec) {
        size_t k = strlen(path) + 1, n = strlen(value) + 1;
        char request[PATH_MAX];

        if (k + n > sizeof(request))
                return -ENAMETOOLONG;
        memcpy(request, path, k);
        memcpy(request + k, value, n);
        return worker_call(w, serve_sysfs, request, k + n, timeout_usec, NULL);
}

int worker_read(Worker *w, const char *path, uint64_t timeout_usec, char **ret) {
        return worker_call(w, serve_sysfs, path, strlen(path) + 1, timeout_usec, ret);
}

pid_t worker_end(Worker *w) {
        uint64_t deadline = monotonic_usec() + GRACE_MSEC * USEC_PER_MSEC;
        pid_t pid = w->pid;

        (void) safe_close(w->socket);
        free(w);
        while (waitpid(pid, NULL, WNOHANG) == 0) {
                if (monotonic_usec() >= deadline) {
                        (void) kill(pid, SIGKILL);
                        return pid;
                }
                (void) poll(NULL, 0, 1);
        }
        return 0;
}

void worker_free(Worker *w) {
        (void) worker_end(w);
}
