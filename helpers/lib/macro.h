/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The vocabulary every file speaks: attributes as contracts, cleanup by scope, and the error convention.
 *
 * Errors: an int below zero is -errno and is forwarded unchanged; zero is "done" or "nothing to do"; above
 * zero is a result that the function's header documents and that the caller handles. ret_ outputs are written
 * on success only, reterr_ outputs on failure only. */

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define _cleanup_(f)   __attribute__((cleanup(f)))
#define _must_check_   __attribute__((warn_unused_result))
#define _nonnull_all_  __attribute__((nonnull))
#define _noreturn_     __attribute__((noreturn))
#define _printf_(a, b) __attribute__((format(printf, a, b)))
#define _unused_       __attribute__((unused))
#define _sentinel_     __attribute__((sentinel))

#define ELEMENTSOF(x) (sizeof(x) / sizeof((x)[0]))
#define MIN(a, b)     ((a) < (b) ? (a) : (b))
#define MAX(a, b)     ((a) > (b) ? (a) : (b))

#define USEC_PER_SEC  UINT64_C(1000000)
#define USEC_PER_MSEC UINT64_C(1000)

/* Takes a value out of a variable that cleans up after itself. */
#define TAKE_PTR(ptr)                 \
        ({                            \
                typeof(ptr) p_ = ptr; \
                (ptr) = NULL;         \
                p_;                   \
        })
#define TAKE_FD(fd)            \
        ({                     \
                int f_ = fd;   \
                (fd) = -EBADF; \
                f_;            \
        })

/* Turns the -1 and errno of a system call into -errno. */
#define RET_NERRNO(expr)                        \
        ({                                      \
                int r_ = (expr);                \
                r_ < 0 ? negative_errno() : r_; \
        })

static inline int negative_errno(void) {
        return errno > 0 ? -errno : -EIO;
}

/* For _free() functions that return nothing. */
#define DEFINE_POINTER_CLEANUP(type, func)     \
        static inline void func##p(type **p) { \
                if (*p)                        \
                        func(*p);              \
        }

static inline void freep(void *p) {
        free(*(void **) p);
}

/* Closes and gives back -EBADF; keeps errno, so that it can stand in a return statement. */
static inline int safe_close(int fd) {
        int saved = errno;

        if (fd >= 0)
                (void) close(fd);
        errno = saved;
        return -EBADF;
}

static inline void closep(int *fd) {
        (void) safe_close(*fd);
}

static inline void fclosep(FILE **f) {
        if (*f)
                (void) fclose(*f);
}

static inline void closedirp(DIR **d) {
        if (*d)
                (void) closedir(*d);
}

#define _cleanup_free_     _cleanup_(freep)
#define _cleanup_close_    _cleanup_(closep)
#define _cleanup_fclose_   _cleanup_(fclosep)
#define _cleanup_closedir_ _cleanup_(closedirp)

static inline bool streq(const char *a, const char *b) {
        return strcmp(a, b) == 0;
}

static inline bool streq_ptr(const char *a, const char *b) {
        return a && b ? streq(a, b) : a == b;
}

static inline bool isempty(const char *s) {
        return !s || !*s;
}

static inline const char *strempty(const char *s) {
        return s ?: "";
}

static inline const char *strna(const char *s) {
        return s ?: "n/a";
}

/* Returns what follows the prefix, or NULL. */
static inline const char *startswith(const char *s, const char *prefix) {
        size_t n = strlen(prefix);

        return strncmp(s, prefix, n) == 0 ? s + n : NULL;
}

/* Returns where the suffix starts, or NULL. */
static inline const char *endswith(const char *s, const char *suffix) {
        size_t n = strlen(s), k = strlen(suffix);

        return n >= k && streq(s + n - k, suffix) ? s + n - k : NULL;
}

static inline int free_and_strdup(char **p, const char *s) {
        char *t = s ? strdup(s) : NULL;

        if (s && !t)
                return -ENOMEM;
        free(*p);
        *p = t;
        return 0;
}

/* Time that only goes forward, in microseconds: with the machine's sleep counted, and without. */
static inline uint64_t clock_usec(clockid_t clock) {
        struct timespec ts;

        (void) clock_gettime(clock, &ts);
        return (uint64_t) ts.tv_sec * USEC_PER_SEC + (uint64_t) ts.tv_nsec / 1000;
}

static inline uint64_t boottime_usec(void) {
        return clock_usec(CLOCK_BOOTTIME);
}

static inline bool timespec_is_later(const struct timespec *a, const struct timespec *b) {
        return a->tv_sec > b->tv_sec || (a->tv_sec == b->tv_sec && a->tv_nsec > b->tv_nsec);
}

static inline uint64_t monotonic_usec(void) {
        return clock_usec(CLOCK_MONOTONIC);
}
