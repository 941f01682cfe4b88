/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <sys/inotify.h>

#include "fs.h"
#include "guestlog.h"
#include "ini.h"

/* Bytes for one call; a guest that writes more than that without a pause is not read to its end. */
enum { CHUNK = 16 * 1024, CHUNKS = 16 };

#define BACKLOG_MAX (UINT64_C(1024) * 1024)
#define TOKEN_USEC  (USEC_PER_SEC / GUESTLINE_RATE)

static bool has_token(GuestLines *g, uint64_t now_usec) {
        const uint64_t full = GUESTLINE_BURST * TOKEN_USEC;

        if (g->since_usec == 0)
                g->tokens_usec = full;
        else
                g->tokens_usec = MIN(g->tokens_usec + (now_usec - g->since_usec), full);
        g->since_usec = now_usec;
        if (g->tokens_usec < TOKEN_USEC)
                return false;
        g->tokens_usec -= TOKEN_USEC;
        return true;
}

/* U+0080 to U+009F are control characters too, and a terminal may take them for the beginning of a sequence.
 */
static bool is_plain(const char *s, size_t n) {
        if (!ini_is_utf8(s, n))
                return false;
        for (size_t i = 0; i + 1 < n; i++)
                if ((uint8_t) s[i] == 0xc2 && (uint8_t) s[i + 1] < 0xa0)
                        return false;
        return true;
}

static void make_plain(char *s, size_t n) {
        for (size_t i = 0; i < n; i++)
                if ((uint8_t) s[i] >= 0x80)
                        s[i] = '?';
}

void guestlines_flush(GuestLines *g, uint64_t now_usec, GuestLine f, void *userdata) {
        size_t n = g->n;

        while (n > 0 && (g->line[n - 1] == ' ' || g->line[n - 1] == '\t'))
                n--;
        g->n = 0;
        g->carriage = false;
        if (n == 0)
                return;
        if (!has_token(g, now_usec)) {
                g->left_out++;
                return;
        }
        if (g->left_out > 0) {
                char text[64];

                (void) snprintf(text, sizeof(text), "(%llu lines left out)",
                                (unsigned long long) g->left_out);
                g->left_out = 0;
                f(text, userdata);
        }
        if (!is_plain(g->line, n))
                make_plain(g->line, n);
        g->line[n] = '\0';
        f(g->line, userdata);
}

/* ECMA-48: ESC [ up to a letter or so; ESC ] and others a string up to BEL or ESC \; ESC and one more. True
 * if the character belongs to a sequence. */
static bool skip_sequence(GuestLines *g, uint8_t c) {
        switch (g->state) {
        case GUEST_ESCAPE:
                if (c == '[')
                        g->state = GUEST_SEQUENCE;
                else if (c == ']' || c == 'P' || c == '^' || c == '_' || c == 'X')
                        g->state = GUEST_STRING;
                else if (c < 0x20 || c > 0x2f)
                        g->state = GUEST_TEXT;
                return true;
        case GUEST_SEQUENCE:
                if (c == 0x1b)
                        g->state = GUEST_ESCAPE;
                else if (c >= 0x40)
                        g->state = GUEST_TEXT;
                return true;
        case GUEST_STRING:
                if (c == '\a')
                        g->state = GUEST_TEXT;
                else if (c == 0x1b)
                        g->state = GUEST_STRING_ESCAPE;
                return true;
        case GUEST_STRING_ESCAPE:
                g->state = c == '\\' ? GUEST_TEXT : GUEST_STRING;
                return true;
        default:
                return false;
        }
}

static void feed(GuestLines *g, uint8_t c, uint64_t now_usec, GuestLine f, void *userdata) {
        /* No sequence goes on behind the line, or one that is cut would swallow all that follows. */
        if (c == '\n') {
                g->state = GUEST_TEXT;
                guestlines_flush(g, now_usec, f, userdata);
                return;
        }
        if (skip_sequence(g, c))
                return;
        if (c == 0x1b)
                g->state = GUEST_ESCAPE;
        else if (c == '\r')
                g->carriage = true;
        if (c == 0x7f || (c < 0x20 && c != '\t'))
                return;
        if (g->carriage)
                g->n = 0;
        g->carriage = false;
        if (g->n == GUESTLINE_MAX)
                guestlines_flush(g, now_usec, f, userdata);
        g->line[g->n++] = (char) c;
}

void guestlines_feed(GuestLines *g, const char *data, size_t size, uint64_t now_usec, GuestLine f,
                     void *userdata) {
        for (size_t i = 0; i < size; i++)
                feed(g, (uint8_t) data[i], now_usec, f, userdata);
}

struct GuestLog {
        int root, notify, fd;
        int watch; /* of the file: its directory has those of all machines */
        char *path;
        uint64_t offset;
        GuestLines lines;
};

/* Returns what inotify knows it by. */
static int watch(const GuestLog *l, int fd, uint32_t events) {
        char proc[64];

        (void) snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
        return RET_NERRNO(inotify_add_watch(l->notify, proc, events));
}

/* Before anything is read: what comes after that is news. */
static int open_file(GuestLog *l) {
        l->fd = fs_open(l->root, l->path, O_RDONLY | O_NONBLOCK, 0);
        if (l->fd < 0)
                return l->fd;
        l->watch = watch(l, l->fd, IN_MODIFY);
        return MIN(l->watch, 0);
}

static void close_file(GuestLog *l) {
        if (l->watch >= 0)
                (void) inotify_rm_watch(l->notify, l->watch);
        l->watch = -1;
        l->fd = safe_close(l->fd);
}

int guestlog_open(int root, const char *path, GuestLog **ret) {
        _cleanup_(guestlog_freep) GuestLog *l = calloc(1, sizeof(*l));
        _cleanup_close_ int parent = -EBADF;
        _cleanup_free_ char *name = NULL;
        struct stat st;
        int r;

        if (!l)
                return -ENOMEM;
        *l = (GuestLog){ .root = root, .notify = -EBADF, .fd = -EBADF, .watch = -1, .path = strdup(path) };
        if (!l->path)
                return -ENOMEM;
        parent = fs_open_parent(root, path, false, &name);
        if (parent < 0)
                return parent;
        l->notify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
        if (l->notify < 0)
                return negative_errno();
        r = watch(l, parent, IN_CREATE | IN_MOVED_TO | IN_ONLYDIR);
        if (r >= 0)
                r = open_file(l);
        if (r < 0 && r != -ENOENT)
                return r;
        if (l->fd >= 0 && fstat(l->fd, &st) >= 0)
                l->offset = (uint64_t) st.st_size;
        *ret = TAKE_PTR(l);
        return 0;
}

void guestlog_free(GuestLog *l) {
        if (!l)
                return;
        if (l->fd >= 0)
                (void) safe_close(l->fd);
        if (l->notify >= 0)
                (void) safe_close(l->notify);
        free(l->path);
        free(l);
}

int guestlog_fd(const GuestLog *l) {
        return l->notify;
}

/* It says no more than that there is something to look at. */
static void forget_news(const GuestLog *l) {
        char buffer[4096] __attribute__((aligned(__alignof__(struct inotify_event))));

        while (read(l->notify, buffer, sizeof(buffer)) > 0)
                ;
}

/* Returns 1 if there is more, 0 at the end. */
static int read_on(GuestLog *l, GuestLine f, void *userdata) {
        char buffer[CHUNK];
        struct stat st;

        if (fstat(l->fd, &st) < 0)
                return negative_errno();
        if ((uint64_t) st.st_size < l->offset) /* cut by logrotate */
                l->offset = 0;
        if ((uint64_t) st.st_size - l->offset > BACKLOG_MAX)
                l->offset = (uint64_t) st.st_size - BACKLOG_MAX;
        for (unsigned i = 0; i < CHUNKS; i++) {
                ssize_t n = pread(l->fd, buffer, sizeof(buffer), (off_t) l->offset);

                if (n <= 0)
                        return n < 0 ? negative_errno() : 0;
                l->offset += (uint64_t) n;
                guestlines_feed(&l->lines, buffer, (size_t) n, monotonic_usec(), f, userdata);
        }
        return 1;
}

/* Another file has the name now, and nobody writes to the old one any more. */
static bool is_replaced(const GuestLog *l) {
        struct stat a, b;

        return l->fd < 0 ||
                        (fstat(l->fd, &a) >= 0 && fs_stat(l->root, l->path, &b) >= 0 &&
                         (a.st_ino != b.st_ino || a.st_dev != b.st_dev));
}

int guestlog_read(GuestLog *l, GuestLine f, void *userdata) {
        int r = 0;

        forget_news(l);
        if (l->fd >= 0)
                r = read_on(l, f, userdata);
        if (r != 0 || !is_replaced(l))
                return r;
        if (l->fd >= 0) { /* between the end and the new name something may have come */
                r = read_on(l, f, userdata);
                if (r != 0)
                        return r;
                close_file(l);
        }
        r = open_file(l);
        if (r < 0)
                return r == -ENOENT ? 0 : r;
        l->offset = 0;
        return read_on(l, f, userdata);
}
