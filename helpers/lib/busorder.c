/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "busorder.h"
#include "sdbus.h"
#include "strv.h"

/* After= of another unit is Before= of this one. */
static int read_before(Bus *b, const char *unit, char ***ret) {
        _cleanup_error_ sd_bus_error e = SD_BUS_ERROR_NULL;
        _cleanup_free_ char *path = NULL;
        int r;

        r = bus_unit_path(b, unit, &path);
        if (r < 0)
                return r;
        return bus_end(b, &e,
                       sd_bus_get_property_strv(b->bus, SYSTEMD_NAME, path, SYSTEMD_UNIT, "Before", &e, ret));
}

/* The job of one whose start has failed is there until its ExecStopPost= is over. */
static bool is_yet_to_start(const char *type, const char *state) {
        return streq(type, "restart") || (streq(type, "start") && streq(state, "waiting"));
}

int busorder_next(Bus *b, const char *unit, char ***ret) {
        _cleanup_message_ sd_bus_message *reply = NULL;
        _cleanup_strv_ char **after = NULL, **l = NULL;
        const char *name, *type, *state;
        int r;

        r = read_before(b, unit, &after);
        if (r >= 0)
                r = MANAGER_CALL(b, &reply, "ListJobs", NULL);
        if (r >= 0)
                r = sd_bus_message_enter_container(reply, 'a', "(usssoo)");
        while (r >= 0 &&
               (r = sd_bus_message_read(reply, "(usssoo)", NULL, &name, &type, &state, NULL, NULL)) > 0)
                if (is_yet_to_start(type, state) && after && strv_contains(after, name))
                        r = strv_extend(&l, name);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(l);
        return 0;
}
