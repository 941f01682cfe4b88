/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Sdbus: the one door to sd-bus, for the rooms that make calls over it: bus, busfollow, busorder, logind and
 * firewalld. */

#include <systemd/sd-bus.h>

#include "bus.h"

#define SYSTEMD_NAME "org.freedesktop.systemd1"
#define SYSTEMD_PATH "/org/freedesktop/systemd1"
#define SYSTEMD_MGR  "org.freedesktop.systemd1.Manager"
#define SYSTEMD_UNIT "org.freedesktop.systemd1.Unit"

/* A job that is over, kept until somebody asks for it: it may be over before its path is known. */
typedef struct Removed {
        char *job, *result;
} Removed;

/* A unit, and the state that it was last seen in. */
typedef struct Followed {
        char *unit, *state;
} Followed;

struct Bus {
        sd_bus *bus;
        char *message;
        Removed *removed;
        size_t n_removed;
        bool subscribed;
        BusUnitChanged changed; /* of bus_follow_units(), or NULL */
        void *changed_userdata;
        Followed *followed;
        size_t n_followed;
};

static inline void message_unrefp(sd_bus_message **m) {
        *m = sd_bus_message_unref(*m);
}
#define _cleanup_message_ _cleanup_(message_unrefp)
#define _cleanup_error_   _cleanup_(sd_bus_error_free)

/* Ends a call that returned r: keeps what bus_message() shall say. Returns 0, or the error as -errno. */
int bus_end(Bus *b, const sd_bus_error *e, int r) _nonnull_all_;

#define BUS_CALL(b, name, path, interface, reply, method, ...)                                   \
        ({                                                                                       \
                _cleanup_error_ sd_bus_error e_ = SD_BUS_ERROR_NULL;                             \
                int c_ = sd_bus_call_method((b)->bus, name, path, interface, method, &e_, reply, \
                                            __VA_ARGS__);                                        \
                bus_end(b, &e_, c_);                                                             \
        })

#define MANAGER_CALL(b, reply, ...) BUS_CALL(b, SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_MGR, reply, __VA_ARGS__)

/* The object of a unit, which systemd loads for that if it has to; freed by the caller. */
int bus_unit_path(Bus *b, const char *unit, char **ret) _must_check_ _nonnull_all_;

/* Lets systemd send its signals, once. Before the first job: the match must be there when it ends. */
int bus_subscribe(Bus *b) _must_check_ _nonnull_all_;
