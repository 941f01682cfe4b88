/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <stdarg.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>
#include <systemd/sd-login.h>

#include "journal.h"
#include "log.h"

enum { FIELDS_MAX = 16, MESSAGE_BYTES = 2048, UNIT_NAME_BYTES = 256 };

static char phase_field[64], unit_field[sizeof("OBJECT_SYSTEMD_UNIT=") + UNIT_NAME_BYTES];

static struct iovec field(const char *s) {
        return (struct iovec){ .iov_base = (void *) s, .iov_len = strlen(s) };
}

static bool sink(int level, const char *text, const char *const *fields) {
        char message[MESSAGE_BYTES + 16], priority[16], identifier[64];
        struct iovec iov[FIELDS_MAX];
        int n = 0;

        (void) snprintf(message, sizeof(message), "MESSAGE=%s", text);
        (void) snprintf(priority, sizeof(priority), "PRIORITY=%d", level);
        (void) snprintf(identifier, sizeof(identifier), "SYSLOG_IDENTIFIER=%s", log_program());
        iov[n++] = field(message);
        iov[n++] = field(priority);
        iov[n++] = field(identifier);
        if (phase_field[0])
                iov[n++] = field(phase_field);
        if (unit_field[0])
                iov[n++] = field(unit_field);
        for (; fields && *fields && n < FIELDS_MAX; fields++)
                iov[n++] = field(*fields);
        return sd_journal_sendv(iov, n) >= 0;
}

void journal_event(const char *event, const char *key, const char *value, const char *format, ...) {
        char text[MESSAGE_BYTES], object[MESSAGE_BYTES];
        va_list ap;

        va_start(ap, format);
        (void) vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        (void) snprintf(object, sizeof(object), "%s=%s", key, value);
        log_fields(LOG_INFO, (const char *const[]){ event, object, NULL }, "%s", text);
}

/* journald looks up whose unit a process is when it reads what that process has said. From one that has ended
 * by then, as after the word why it failed, _SYSTEMD_UNIT= is missing; by this field 'journalctl -u' and
 * 'systemctl status' find what root says all the same (journalctl(1), --unit=). */
static void note_unit(void) {
        _cleanup_free_ char *unit = NULL;

        if (sd_pid_get_unit(0, &unit) >= 0 && strlen(unit) < UNIT_NAME_BYTES)
                (void) snprintf(unit_field, sizeof(unit_field), "OBJECT_SYSTEMD_UNIT=%s", unit);
}

void journal_open(const char *phase) {
        if (!log_stderr_is_journal())
                return;
        if (phase)
                (void) snprintf(phase_field, sizeof(phase_field), "GPUVM_PHASE=%s", phase);
        note_unit();
        log_add_sink(sink);
}

void journal_line(const char *name, const char *extra, const char *line) {
        char message[MESSAGE_BYTES], identifier[MESSAGE_BYTES];
        struct iovec iov[4];

        if (!log_stderr_is_journal()) {
                printf("%s: %s\n", name, line);
                (void) fflush(stdout);
                return;
        }
        (void) snprintf(message, sizeof(message), "MESSAGE=%s", line);
        (void) snprintf(identifier, sizeof(identifier), "SYSLOG_IDENTIFIER=%s", name);
        iov[0] = field(message);
        iov[1] = field("PRIORITY=6");
        iov[2] = field(identifier);
        iov[3] = field(extra);
        (void) sd_journal_sendv(iov, ELEMENTSOF(iov));
}
