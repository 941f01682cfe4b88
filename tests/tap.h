/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Tap: the Test Anything Protocol for C, as much of it as meson reads.
 *
 *     TEST(name) { ASSERT_EQ(f(), 0); }
 *
 * Tests register themselves in a linker section. Each runs in a child of its own: a crash, a leak or a
 * changed directory stays there. With a name as argument only that test runs, in this process: start it under
 * gdb. */

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct TapTest {
        const char *name;
        void (*function)(void);
} TapTest;

#define TEST(id)                                                                                    \
        static void id(void);                                                                       \
        static const TapTest tap_entry_##id __attribute__((used, retain, section("tap_tests"),      \
                                                           aligned(sizeof(void *)))) = { #id, id }; \
        static void id(void)

enum { TAP_SKIPPED = 77 };

__attribute__((noreturn, format(printf, 3, 4))) static inline void tap_stop(int status, int line,
                                                                            const char *format, ...) {
        char text[1024];
        va_list ap;

        va_start(ap, format);
        (void) vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        for (char *p = text; *p; p++)
                if (*p == '\n')
                        *p = '|'; /* a bare line would not be TAP */
        if (line > 0)
                printf("# line %d: %s\n", line, text);
        else
                printf("# skipped: %s\n", text);
        fflush(stdout);
        _exit(status);
}

#define SKIP(...) tap_stop(TAP_SKIPPED, 0, __VA_ARGS__)

#define ASSERT(condition)                                                   \
        do {                                                                \
                if (!(condition))                                           \
                        tap_stop(EXIT_FAILURE, __LINE__, "%s", #condition); \
        } while (0)

#define ASSERT_EQ(got, want)                                                                             \
        do {                                                                                             \
                long long got_ = (long long) (got), want_ = (long long) (want);                          \
                if (got_ != want_)                                                                       \
                        tap_stop(EXIT_FAILURE, __LINE__, "%s is %lld, not %s (%lld)", #got, got_, #want, \
                                 want_);                                                                 \
        } while (0)

#define ASSERT_STREQ(got, want)                                                            \
        do {                                                                               \
                const char *got_ = (got), *want_ = (want);                                 \
                if (!got_ || !want_ || strcmp(got_, want_) != 0)                           \
                        tap_stop(EXIT_FAILURE, __LINE__, "%s is \"%s\", not \"%s\"", #got, \
                                 got_ ? got_ : "(null)", want_ ? want_ : "(null)");        \
        } while (0)

extern const TapTest __start_tap_tests[], __stop_tap_tests[];

static inline int tap_run(const TapTest *t) {
        int status;
        pid_t pid;

        fflush(stdout);
        pid = fork();
        if (pid == 0) {
                t->function();
                exit(EXIT_SUCCESS); /* not _exit(): the leak checker speaks at exit */
        }
        if (pid < 0 || waitpid(pid, &status, 0) != pid)
                return EXIT_FAILURE;
        if (WIFSIGNALED(status))
                printf("# killed by signal %d\n", WTERMSIG(status));
        return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE;
}

int main(int argc, char *argv[]) {
        int n = 0, failed = 0;

        for (const TapTest *t = __start_tap_tests; argc > 1 && t < __stop_tap_tests; t++)
                if (strcmp(t->name, argv[1]) == 0) {
                        t->function();
                        return EXIT_SUCCESS;
                }
        if (argc > 1) {
                fprintf(stderr, "no test '%s'\n", argv[1]);
                return EXIT_FAILURE;
        }
        /* The plan comes first: a program that dies half way must not pass for a shorter one. */
        printf("1..%td\n", __stop_tap_tests - __start_tap_tests);
        for (const TapTest *t = __start_tap_tests; t < __stop_tap_tests; t++) {
                int r = tap_run(t);

                n++;
                failed += r != EXIT_SUCCESS && r != TAP_SKIPPED;
                printf("%sok %d - %s%s\n", r == EXIT_SUCCESS || r == TAP_SKIPPED ? "" : "not ", n, t->name,
                       r == TAP_SKIPPED ? " # SKIP" : "");
        }
        return failed > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
