/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "child.h"
#include "fs.h"
#include "strv.h"

enum { LINE_MAX_BYTES = 4096, TICK_MSEC = 2000, GRACE_USEC = 5000000 };

typedef struct Stream {
        int fd;
        ChildLine callback;
        void *userdata;
        bool pieces; /* of whatever size, with their newlines, in place of lines */
        size_t n;
        char line[LINE_MAX_BYTES];
} Stream;

static int make_environment(const Child *c, char ***ret) {
        _cleanup_strv_ char **l = NULL;
        int r;

        r = strv_extend(&l, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        if (r >= 0)
                r = strv_extend(&l, "LC_ALL=C.UTF-8");
        if (r >= 0 && c->root_path && !fs_is_host(c->root))
                r = strv_extendf(&l, "GPUVM_ROOT=%s", c->root_path);
        for (const char *const *e = c->environment; r >= 0 && e && *e; e++)
                r = strv_extend(&l, *e);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(l);
        return 0;
}

/* Between fork and exec: async-signal-safe calls only. */
_noreturn_ static void become(const Child *c, int exec_fd, int out, int err, char *const *environment) {
        int null = open("/dev/null", O_RDONLY);
        bool host = fs_is_host(c->root); /* known before root is closed with the others */
        sigset_t none;

        (void) setsid();
        (void) sigemptyset(&none);
        (void) sigprocmask(SIG_SETMASK, &none, NULL);
        (void) signal(SIGPIPE, SIG_DFL);
        if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 ||
            dup2(err, STDERR_FILENO) < 0)
                _exit(127);
        /* The program's fd must not lie on 3 or below before that is filled. */
        exec_fd = fcntl(exec_fd, host ? F_DUPFD_CLOEXEC : F_DUPFD, 10);
        if (c->pass_fd > 0 && dup2(c->pass_fd, 3) < 0)
                _exit(127);
        (void) syscall(SYS_close_range, c->pass_fd > 0 ? 4 : 3, exec_fd - 1, 0);
        (void) syscall(SYS_close_range, exec_fd + 1, ~0U, 0);
        if (host)
                (void) execve(c->argv[0], (char *const *) c->argv, environment);
        /* By fd, so that the stub found below the root is the one that runs; the interpreter of a "#!" file
         * reads it through this fd, so no FD_CLOEXEC on it. */
        (void) syscall(SYS_execveat, exec_fd, "", c->argv, environment, AT_EMPTY_PATH);
        _exit(127);
}

static void stream_flush(Stream *s) {
        s->line[s->n] = '\0';
        s->callback(s->line, s->userdata);
        s->n = 0;
}

/* Returns 1 while there may be more, 0 at the end. */
static int stream_read(Stream *s) {
        char buf[4096];
        ssize_t n = read(s->fd, buf, sizeof(buf));

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return 1;
        if (n <= 0) {
                if (s->n > 0)
                        stream_flush(s);
                s->fd = safe_close(s->fd);
                return 0;
        }
        for (ssize_t i = 0; i < n; i++) {
                if (s->pieces && s->n + 1 == sizeof(s->line))
                        stream_flush(s);
                if (buf[i] == '\n' && !s->pieces)
                        stream_flush(s);
                else if (s->n + 1 < sizeof(s->line))
                        s->line[s->n++] = buf[i];
        }
        if (s->pieces && s->n > 0)
                stream_flush(s);
        return 1;
}

static int reap(pid_t pid, int *ret_status) {
        int status;
        pid_t p = waitpid(pid, &status, WNOHANG);

        if (p < 0)
                return -errno;
        if (p == 0)
                return 0;
        *ret_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        return 1;
}

/* Waits until the child is gone and its pipes are empty. A grandchild that keeps a pipe open does not keep
 * us. */
static int supervise(const Child *c, pid_t pid, int pid_fd, Stream streams[static 2]) {
        uint64_t deadline = boottime_usec() + c->timeout_usec,
                 tick = boottime_usec() + TICK_MSEC * USEC_PER_MSEC;
        int status = 0, killed = 0, r; /* killed: why, -errno */

        for (;;) {
                struct pollfd p[3] = {
                        { .fd = streams[0].fd, .events = POLLIN },
                        { .fd = streams[1].fd, .events = POLLIN },
                        { .fd = pid_fd, .events = POLLIN },
                };
                uint64_t now = boottime_usec();

                if (killed < 0 && now >= deadline)
                        return killed; /* in uninterruptible sleep: leave it behind */
                if (killed == 0 && (now >= deadline || (c->stop && c->stop()))) {
                        killed = now >= deadline ? -ETIMEDOUT : -EINTR;
                        (void) kill(-pid, SIGKILL);
                        deadline = now + GRACE_USEC;
                }
                if (c->tick && now >= tick) {
                        c->tick(c->userdata);
                        tick = now + TICK_MSEC * USEC_PER_MSEC;
                }
                r = poll(p, 3, (int) MIN((deadline - now) / USEC_PER_MSEC + 1, (uint64_t) TICK_MSEC));
                if (r < 0 && errno != EINTR)
                        return -errno;
                for (size_t i = 0; i < 2; i++)
                        if (streams[i].fd >= 0 && p[i].revents)
                                (void) stream_read(&streams[i]);
                r = reap(pid, &status);
                if (r < 0)
                        return r;
                if (r == 0)
                        continue;
                for (size_t i = 0; i < 2; i++) {
                        struct pollfd rest = { .fd = streams[i].fd, .events = POLLIN };

                        while (streams[i].fd >= 0 && poll(&rest, 1, 0) > 0)
                                (void) stream_read(&streams[i]);
                }
                return killed < 0 ? killed : status;
        }
}

static int make_pipe(ChildLine callback, int *ret_read, int *ret_write) {
        int p[2];

        if (!callback)
                return 0;
        if (pipe2(p, O_CLOEXEC | O_NONBLOCK) < 0)
                return -errno;
        /* Only our end: a child that finds its stdout full with EAGAIN would lose lines. */
        (void) fcntl(p[1], F_SETFL, 0);
        *ret_read = p[0];
        *ret_write = p[1];
        return 0;
}

int child_run(const Child *c) {
        _cleanup_close_ int exec_fd = -EBADF, pid_fd = -EBADF, out_r = -EBADF, out_w = -EBADF, err_r = -EBADF,
                            err_w = -EBADF;
        _cleanup_strv_ char **environment = NULL;
        pid_t pid;
        int r;

        assert(c->timeout_usec > 0);

        exec_fd = fs_open(c->root, c->argv[0], O_PATH, 0);
        if (exec_fd < 0)
                return exec_fd;
        r = make_environment(c, &environment);
        if (r >= 0)
                r = make_pipe(c->on_stdout, &out_r, &out_w);
        if (r >= 0)
                r = make_pipe(c->on_stderr, &err_r, &err_w);
        if (r < 0)
                return r;

        pid = fork();
        if (pid < 0)
                return -errno;
        if (pid == 0)
                become(c, exec_fd, out_w >= 0 ? out_w : STDERR_FILENO, err_w >= 0 ? err_w : STDERR_FILENO,
                       environment);
        out_w = safe_close(out_w);
        err_w = safe_close(err_w);
        pid_fd = (int) syscall(SYS_pidfd_open, pid, 0);

        Stream streams[2] = {
                { .fd = TAKE_FD(out_r),
                  .callback = c->on_stdout,
                  .userdata = c->userdata,
                  .pieces = c->pieces },
                { .fd = TAKE_FD(err_r), .callback = c->on_stderr, .userdata = c->userdata },
        };
        r = supervise(c, pid, pid_fd, streams);
        (void) safe_close(streams[0].fd);
        (void) safe_close(streams[1].fd);
        return r;
}

typedef struct Collect {
        const Child *child;
        char *text;
        size_t n, max;
        int error;
} Collect;

static void collect_piece(const char *line, void *userdata) {
        Collect *c = userdata;
        size_t k = strlen(line);
        char *t;

        if (c->error < 0)
                return;
        if (c->n + k + 1 > c->max) {
                c->error = -EFBIG;
                return;
        }
        t = realloc(c->text, c->n + k + 1);
        if (!t) {
                c->error = -ENOMEM;
                return;
        }
        c->text = t;
        memcpy(c->text + c->n, line, k + 1);
        c->n += k;
}

static void collect_tick(void *userdata) {
        Collect *c = userdata;

        if (c->child->tick)
                c->child->tick(c->child->userdata);
}

int child_output(const Child *child, size_t max, char **ret) {
        Collect collect = { .child = child, .max = max };
        Child c = *child;
        int r;

        c.on_stdout = collect_piece;
        c.pieces = true;
        c.on_stderr = NULL;
        c.tick = collect_tick;
        c.userdata = &collect;
        r = child_run(&c);
        if (r >= 0 && collect.n > 0 && collect.text[collect.n - 1] != '\n')
                collect_piece("\n", &collect);
        if (r >= 0 && collect.error < 0)
                r = collect.error;
        if (r >= 0 && !collect.text)
                collect.text = strdup("");
        if (r < 0 || !collect.text) {
                free(collect.text);
                return r < 0 ? r : -ENOMEM;
        }
        *ret = collect.text;
        return r;
}

int child_find_directory(char **ret) {
        char *exe = realpath("/proc/self/exe", NULL), *slash = exe ? strrchr(exe, '/') : NULL;

        if (!slash) {
                free(exe);
                return -ENOENT;
        }
        *slash = '\0';
        if (streq(exe, GPUVM_BINDIR) && free_and_strdup(&exe, GPUVM_LIBEXECDIR) < 0) {
                free(exe);
                return -ENOMEM;
        }
        *ret = exe;
        return 0;
}
