/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <stdarg.h>
#include <sys/stat.h>

#include "log.h"

enum { LOG_LINE_MAX = 2048, LOG_SINKS_MAX = 2 };

static struct {
        const char *name;
        int max_level;
        int kmsg_fd;
        bool prefix; /* stderr is the journal: give it syslog levels */
        LogSink sinks[LOG_SINKS_MAX];
        size_t n_sinks;
} state = { .name = "gpuvm", .max_level = LOG_INFO, .kmsg_fd = -EBADF };

static int level_from_string(const char *s) {
        static const char *const names[] = { "emerg",   "alert",  "crit", "err",
                                             "warning", "notice", "info", "debug" };

        if (s[0] >= '0' && s[0] <= '7' && s[1] == '\0')
                return s[0] - '0';
        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                if (streq(s, names[i]))
                        return (int) i;
        return -EINVAL;
}

/* $JOURNAL_STREAM names the device and inode of the stream that systemd connected (systemd.exec(5)). */
bool log_stderr_is_journal(void) {
        const char *e = getenv("JOURNAL_STREAM");
        unsigned long long dev, ino;
        struct stat st;

        return e && sscanf(e, "%llu:%llu", &dev, &ino) == 2 && fstat(STDERR_FILENO, &st) == 0 &&
                        st.st_dev == dev && st.st_ino == ino;
}

void log_setup(const char *name) {
        const char *e = secure_getenv("GPUVM_LOG_LEVEL");
        int level = e ? level_from_string(e) : -EINVAL;

        state.name = name;
        if (level >= 0)
                state.max_level = level;
        state.prefix = log_stderr_is_journal();
}

void log_to_kmsg(void) {
        state.kmsg_fd = open("/dev/kmsg", O_WRONLY | O_NOCTTY | O_CLOEXEC);
}

void log_add_sink(LogSink sink) {
        assert(state.n_sinks < LOG_SINKS_MAX);
        state.sinks[state.n_sinks++] = sink;
}

void log_set_max_level(int level) {
        state.max_level = level;
}

int log_max_level(void) {
        return state.max_level;
}

const char *log_program(void) {
        return state.name;
}

/* Makes control characters visible, those of U+0080 to U+009F as well; UTF-8 stays readable. */
static void escape(char *out, size_t size, const char *in) {
        size_t n = 0;

        for (const unsigned char *p = (const unsigned char *) in; *p && n + 5 < size; p++)
                if (p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0)
                        n += (size_t) snprintf(out + n, size - n, "\\x%02x", *++p);
                else if (*p < 0x20 || *p == 0x7f)
                        n += (size_t) snprintf(out + n, size - n, "\\x%02x", *p);
                else
                        out[n++] = (char) *p;
        out[n] = '\0';
}

static void emit(int level, const char *const *fields, const char *text) {
        char line[LOG_LINE_MAX + 64];
        int n, fd = STDERR_FILENO;
        bool told = false;

        for (size_t i = 0; i < state.n_sinks; i++)
                told = state.sinks[i](level, text, fields) || told;
        if (told)
                return;

        if (state.kmsg_fd >= 0) {
                fd = state.kmsg_fd;
                n = snprintf(line, sizeof(line), "<%d>%s[%d]: %s\n", level, state.name, (int) getpid(), text);
        } else if (state.prefix)
                n = snprintf(line, sizeof(line), "<%d>%s\n", level, text);
        else
                n = snprintf(line, sizeof(line), "%s: %s\n", state.name, text);
        if (n > 0 && write(fd, line, MIN((size_t) n, sizeof(line) - 1)) < 0)
                return; /* nobody left to tell */
}

static void log_va(int level, const char *const *fields, const char *format, va_list ap) {
        char raw[LOG_LINE_MAX], text[LOG_LINE_MAX];

        if (level > state.max_level)
                return;
        (void) vsnprintf(raw, sizeof(raw), format, ap);
        escape(text, sizeof(text), raw);
        emit(level, fields, text);
}

void log_fields(int level, const char *const *fields, const char *format, ...) {
        int saved = errno;
        va_list ap;

        va_start(ap, format);
        log_va(level, fields, format, ap);
        va_end(ap);
        errno = saved;
}

int log_full_errno(int level, int error, const char *format, ...) {
        int saved = errno;
        va_list ap;

        errno = abs(error);
        va_start(ap, format);
        log_va(level, NULL, format, ap);
        va_end(ap);
        errno = saved;
        return -abs(error);
}
