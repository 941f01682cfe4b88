/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Guestlog: what a guest writes on its serial console, as lines for a journal. virtlogd writes it to a file,
 * which it renames when that is full.
 *
 * A guest may write anything: control characters and escape sequences are taken out, what is no UTF-8 is
 * replaced, a line has an end, and of too many in a second the rest is counted only. */

#include "macro.h"

enum {
        GUESTLINE_MAX = 512,    /* bytes; what is longer becomes several */
        GUESTLINE_RATE = 100,   /* lines a second, */
        GUESTLINE_BURST = 1000, /* beside that many at once */
};

typedef void (*GuestLine)(const char *line, void *userdata);

/* All zeroes at first. */
typedef struct GuestLines {
        char line[GUESTLINE_MAX + 1];
        size_t n;
        enum { GUEST_TEXT, GUEST_ESCAPE, GUEST_SEQUENCE, GUEST_STRING, GUEST_STRING_ESCAPE } state;
        bool carriage; /* at its beginning again: the next character overwrites it */
        uint64_t tokens_usec, since_usec, left_out;
} GuestLines;

/* Pure. now_usec: of any clock that goes forward. */
void guestlines_feed(GuestLines *g, const char *data, size_t size, uint64_t now_usec, GuestLine f,
                     void *userdata) __attribute__((nonnull(1, 5)));
/* What has no end yet is a line as well. */
void guestlines_flush(GuestLines *g, uint64_t now_usec, GuestLine f, void *userdata)
                __attribute__((nonnull(1, 3)));

typedef struct GuestLog GuestLog;

/* From the end that the file has now, or its beginning once it is there; its directory has to be. */
int guestlog_open(int root, const char *path, GuestLog **ret) _must_check_ _nonnull_all_;
void guestlog_free(GuestLog *l);
DEFINE_POINTER_CLEANUP(GuestLog, guestlog_free)

/* Can be read when something has been written. */
int guestlog_fd(const GuestLog *l) _nonnull_all_;

/* Reads what has come. Returns 0, 1 if there is more, which may be asked for at once, or -errno. */
int guestlog_read(GuestLog *l, GuestLine f, void *userdata) _must_check_ __attribute__((nonnull(1, 2)));
