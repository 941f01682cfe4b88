/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* fakeagent: a libvirt-qemu.so.0 whose guest is the directory tree below $FAKEAGENT_ROOT. An agent answers as
 * long as there is a file "agent" in it; programs are those in its bin/, found by their name alone. What it
 * does in its life is written to "asked" there, a line for each request.
 *
 *   agent: lines "WORD ANSWER": whatever is asked with that word in it gets that answer
 *
 * As the real one: a file that is not there, or a program, is an error; what a program writes comes with its
 * end. There is one process, and one open file. */

#include <fcntl.h>
#include <libvirt/libvirt-qemu.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TEXT_MAX = 65536 };

static char opened[PATH_MAX];
static pid_t child;
static int output = -1;

static char *path_of(char buf[static PATH_MAX], const char *directory, const char *name) {
        (void) snprintf(buf, PATH_MAX, "%s/%s%s", getenv("FAKEAGENT_ROOT") ?: "/nonexistent", directory,
                        name);
        return buf;
}

/* The value of the first member of that name, which has no quotes in it. */
static void member(const char *request, const char *key, char ret[static PATH_MAX]) {
        char pattern[64];
        const char *at;

        (void) snprintf(pattern, sizeof(pattern), "\"%s\":\"", key);
        at = strstr(request, pattern);
        ret[0] = '\0';
        if (!at)
                return;
        at += strlen(pattern);
        for (size_t n = 0; n < PATH_MAX - 1 && *at && *at != '"'; at++)
                if (*at != '\\') { /* json-c escapes slashes */
                        ret[n++] = *at;
                        ret[n] = '\0';
                }
}

/* "" or what the test has prepared for such a request. */
static int prepared(const char *request, char answer[static PATH_MAX]) {
        char path[PATH_MAX], line[PATH_MAX];
        FILE *f = fopen(path_of(path, "", "agent"), "re");

        answer[0] = '\0';
        if (!f)
                return -1;
        while (fgets(line, sizeof(line), f)) {
                char *blank = strchr(line, ' ');

                line[strcspn(line, "\n")] = '\0';
                if (!blank)
                        continue;
                *blank = '\0';
                if (strstr(request, line))
                        (void) snprintf(answer, PATH_MAX, "%s", blank + 1);
        }
        (void) fclose(f);
        return 0;
}

static void note(const char *request) {
        char path[PATH_MAX];
        FILE *f = fopen(path_of(path, "", "asked"), "ae");

        if (!f)
                return;
        (void) fprintf(f, "%s\n", request);
        (void) fclose(f);
}

static size_t encode(const unsigned char *data, size_t n, char *text) {
        static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        size_t k = 0;

        for (size_t i = 0; i < n; i += 3) {
                unsigned v = (unsigned) data[i] << 16;

                v |= i + 1 < n ? (unsigned) data[i + 1] << 8 : 0;
                v |= i + 2 < n ? data[i + 2] : 0;
                text[k++] = digits[v >> 18 & 63];
                text[k++] = digits[v >> 12 & 63];
                text[k++] = i + 1 < n ? digits[v >> 6 & 63] : '=';
                text[k++] = i + 2 < n ? digits[v & 63] : '=';
        }
        text[k] = '\0';
        return k;
}

/* All that can be read now, in base64. */
static char *drain(int fd) {
        static unsigned char data[TEXT_MAX];
        static char text[2 * TEXT_MAX];
        size_t n = 0;
        ssize_t k;

        while (fd >= 0 && n < sizeof(data) && (k = read(fd, data + n, sizeof(data) - n)) > 0)
                n += (size_t) k;
        (void) encode(data, n, text);
        return text;
}

static char *answer_with(const char *before, const char *text, const char *after) {
        char *s = NULL;

        return asprintf(&s, "%s%s%s", before, text, after) < 0 ? NULL : s;
}

static char *open_file(const char *request) {
        char path[PATH_MAX];

        member(request, "path", path);
        (void) path_of(opened, "", path);
        return access(opened, R_OK) < 0 ? NULL : strdup("{\"return\":1000}");
}

static char *read_file(void) {
        int fd = open(opened, O_RDONLY | O_CLOEXEC);
        char *s = answer_with("{\"return\":{\"eof\":true,\"buf-b64\":\"", drain(fd), "\"}}");

        (void) close(fd);
        return s;
}

static char *run_program(const char *request) {
        char name[PATH_MAX], path[PATH_MAX];
        int fds[2];

        member(request, "path", name);
        if (access(path_of(path, "bin/", name), X_OK) < 0 || pipe2(fds, O_CLOEXEC) < 0)
                return NULL;
        child = fork();
        if (child == 0) {
                (void) dup2(fds[1], STDOUT_FILENO);
                (void) unsetenv("LD_PRELOAD");
                (void) execl(path, name, (char *) NULL);
                _exit(127);
        }
        (void) close(fds[1]);
        output = fds[0];
        return strdup("{\"return\":{\"pid\":812}}");
}

static char *program_status(void) {
        char before[128];
        int status;

        if (waitpid(child, &status, WNOHANG) != child)
                return strdup("{\"return\":{\"exited\":false}}");
        (void) snprintf(before, sizeof(before),
                        "{\"return\":{\"exited\":true,\"exitcode\":%d,\"out-data\":\"", WEXITSTATUS(status));
        return answer_with(before, drain(output), "\"}}");
}

__attribute__((visibility("default"))) char *virDomainQemuAgentCommand(virDomainPtr d, const char *request,
                                                                       int timeout, unsigned flags) {
        char command[PATH_MAX], answer[PATH_MAX];

        (void) d;
        (void) timeout;
        (void) flags;
        if (prepared(request, answer) < 0)
                return NULL;
        note(request);
        if (answer[0])
                return strdup(answer);
        member(request, "execute", command);
        if (strcmp(command, "guest-ping") == 0 || strcmp(command, "guest-file-close") == 0)
                return strdup("{\"return\":{}}");
        if (strcmp(command, "guest-file-open") == 0)
                return open_file(request);
        if (strcmp(command, "guest-file-read") == 0)
                return read_file();
        if (strcmp(command, "guest-exec") == 0)
                return run_program(request);
        return strcmp(command, "guest-exec-status") == 0 ? program_status() : NULL;
}
