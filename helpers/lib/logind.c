/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <inttypes.h>

#include "logind.h"
#include "sdbus.h"
#include "strv.h"

#define LOGIND_NAME "org.freedesktop.login1"
#define LOGIND_PATH "/org/freedesktop/login1"
#define LOGIND_MGR  "org.freedesktop.login1.Manager"

#define LOGIND_CALL(b, reply, ...) BUS_CALL(b, LOGIND_NAME, LOGIND_PATH, LOGIND_MGR, reply, __VA_ARGS__)

int logind_schedule_shutdown(Bus *b, const char *type, uint64_t when_usec, const char *wall) {
        int r;

        /* A wall message that cannot be set is no reason to keep the machine up: the journal has it too. */
        if (wall)
                (void) LOGIND_CALL(b, NULL, "SetWallMessage", "sb", wall, true);
        r = LOGIND_CALL(b, NULL, "ScheduleShutdown", "st", type, when_usec);
        return r;
}

int logind_cancel_shutdown(Bus *b) {
        _cleanup_message_ sd_bus_message *reply = NULL;
        int r, cancelled;

        r = LOGIND_CALL(b, &reply, "CancelScheduledShutdown", NULL);
        if (r >= 0)
                r = sd_bus_message_read(reply, "b", &cancelled);
        return r < 0 ? r : cancelled != 0;
}

int logind_scheduled_shutdown(Bus *b, char **ret_type, uint64_t *ret_usec) {
        _cleanup_message_ sd_bus_message *reply = NULL;
        _cleanup_error_ sd_bus_error e = SD_BUS_ERROR_NULL;
        const char *type;
        uint64_t when;
        int r;

        r = sd_bus_get_property(b->bus, LOGIND_NAME, LOGIND_PATH, LOGIND_MGR, "ScheduledShutdown", &e, &reply,
                                "(st)");
        if (r >= 0)
                r = sd_bus_message_read(reply, "(st)", &type, &when);
        if (r < 0)
                return bus_end(b, &e, r);
        if (isempty(type))
                return 0;
        *ret_type = strdup(type);
        if (!*ret_type)
                return -ENOMEM;
        *ret_usec = when;
        return 1;
}

int logind_inhibit(Bus *b, const char *why, int *ret_fd) {
        _cleanup_message_ sd_bus_message *reply = NULL;
        int r, fd;

        r = LOGIND_CALL(b, &reply, "Inhibit", "ssss", "shutdown:sleep", "gpuvm", why, "block");
        if (r >= 0)
                r = sd_bus_message_read(reply, "h", &fd);
        if (r < 0)
                return r;
        /* The message closes its own. */
        r = RET_NERRNO(fcntl(fd, F_DUPFD_CLOEXEC, 3));
        if (r < 0)
                return r;
        *ret_fd = r;
        return 0;
}

/* "shutdown:sleep" names shutdown; "handle-power-key" does not. */
static bool blocks_shutdown(const char *what, const char *mode) {
        _cleanup_strv_ char **words = NULL;

        return startswith(mode, "block") && strv_split(what, ":", &words) >= 0 &&
                        strv_contains(words, "shutdown");
}

int logind_shutdown_blockers(Bus *b, char ***ret) {
        _cleanup_message_ sd_bus_message *reply = NULL;
        const char *what, *who, *why, *mode;
        _cleanup_strv_ char **l = NULL;
        uint32_t uid, pid;
        int r;

        r = LOGIND_CALL(b, &reply, "ListInhibitors", NULL);
        if (r >= 0)
                r = sd_bus_message_enter_container(reply, 'a', "(ssssuu)");
        while (r >= 0 &&
               (r = sd_bus_message_read(reply, "(ssssuu)", &what, &who, &why, &mode, &uid, &pid)) > 0)
                if (blocks_shutdown(what, mode))
                        r = strv_extendf(&l, "%s (pid %" PRIu32 "): %s", who, pid, why);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(l);
        return 0;
}
