/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What becomes of gpuvm's units. systemd tells of a unit that is new, without its state, and then of each
 * change of any property, with the state whether that has changed or not. */

#include "sdbus.h"
#include "strv.h"

#define OURS "gpuvm-"
#define LIST "ListUnitsByPatterns"

/* "a{sv}": the member with that name, a text; borrowed. Returns 1, 0 if it is not there, or -errno. */
static int read_member(sd_bus_message *m, const char *member, const char **ret) {
        const char *name;
        int r, found = 0;

        r = sd_bus_message_enter_container(m, 'a', "{sv}");
        while (r >= 0 && (r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                r = sd_bus_message_read(m, "s", &name);
                if (r >= 0 && streq(name, member)) {
                        r = sd_bus_message_read(m, "v", "s", ret);
                        found = 1;
                } else if (r >= 0)
                        r = sd_bus_message_skip(m, "v");
                if (r >= 0)
                        r = sd_bus_message_exit_container(m);
        }
        return r < 0 ? r : found;
}

/* One that is not on has not become so. */
static int add(Bus *b, const char *unit, const char *state) {
        Followed n = { .unit = strdup(unit), .state = strdup(state) };
        Followed *t = reallocarray(b->followed, b->n_followed + 1, sizeof(*t));

        if (t)
                b->followed = t;
        if (!t || !n.unit || !n.state) {
                free(n.unit);
                free(n.state);
                return -ENOMEM;
        }
        b->followed[b->n_followed++] = n;
        return !streq(state, "inactive");
}

/* Returns 1 if that is a change of it, 0 if not, or -ENOMEM. */
static int note(Bus *b, const char *unit, const char *state) {
        for (size_t i = 0; i < b->n_followed; i++) {
                Followed *f = &b->followed[i];

                if (!streq(f->unit, unit))
                        continue;
                return streq(f->state, state) ? 0 : free_and_strdup(&f->state, state) < 0 ? -ENOMEM : 1;
        }
        return add(b, unit, state);
}

/* Without memory it is rather told twice. */
static void tell(Bus *b, const char *unit, const char *state) {
        if (note(b, unit, state) != 0)
                b->changed(unit, state, b->changed_userdata);
}

static int on_changed(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const char *interface, *state = NULL;
        _cleanup_free_ char *unit = NULL;

        (void) error;
        if (sd_bus_message_read(m, "s", &interface) >= 0 && streq(interface, SYSTEMD_UNIT) &&
            sd_bus_path_decode(sd_bus_message_get_path(m), SYSTEMD_PATH "/unit", &unit) > 0 &&
            startswith(unit, OURS) && read_member(m, "ActiveState", &state) > 0)
                tell(userdata, unit, state);
        return 0;
}

/* A list of units: whatever there is of each. Returns 0 or -errno. */
static int read_units(sd_bus_message *m, Bus *b, void (*f)(Bus *b, const char *unit, const char *state)) {
        const char *unit, *state;
        int r;

        r = sd_bus_message_enter_container(m, 'a', "(ssssssouso)");
        while (r >= 0 &&
               (r = sd_bus_message_read(m, "(ssssssouso)", &unit, NULL, NULL, &state, NULL, NULL, NULL, NULL,
                                        NULL, NULL)) > 0)
                f(b, unit, state);
        return r;
}

static int on_listed(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        (void) error;
        if (!sd_bus_message_is_method_error(m, NULL))
                (void) read_units(m, userdata, tell);
        return 0;
}

/* Its state comes behind the signals that are on their way: asked for at once it would be newer than those.
 */
static int on_new(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const char *unit;
        Bus *b = userdata;

        (void) error;
        if (sd_bus_message_read(m, "s", &unit) >= 0 && startswith(unit, OURS))
                (void) sd_bus_call_method_async(b->bus, NULL, SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_MGR, LIST,
                                                on_listed, b, "asas", 0, 1, unit);
        return 0;
}

static void keep(Bus *b, const char *unit, const char *state) {
        (void) note(b, unit, state);
}

/* What there is already is no news. */
static int note_all(Bus *b) {
        _cleanup_message_ sd_bus_message *reply = NULL;
        int r;

        r = MANAGER_CALL(b, &reply, LIST, "asas", 0, 1, OURS "*");
        return r < 0 ? r : read_units(reply, b, keep);
}

int bus_follow_units(Bus *b, BusUnitChanged changed, void *userdata) {
        int r;

        b->changed = changed;
        b->changed_userdata = userdata;
        r = sd_bus_add_match(b->bus, NULL,
                             "type='signal',sender='" SYSTEMD_NAME
                             "',interface='org.freedesktop.DBus.Properties',member='PropertiesChanged',"
                             "path_namespace='" SYSTEMD_PATH "/unit'",
                             on_changed, b);
        if (r >= 0)
                r = sd_bus_match_signal(b->bus, NULL, SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_MGR, "UnitNew",
                                        on_new, b);
        if (r >= 0)
                r = bus_subscribe(b);
        return r < 0 ? r : note_all(b);
}

int bus_fd(Bus *b) {
        return sd_bus_get_fd(b->bus);
}

int bus_process(Bus *b) {
        int r;

        do
                r = sd_bus_process(b->bus, NULL);
        while (r > 0);
        return r;
}
