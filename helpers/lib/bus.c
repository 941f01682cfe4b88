/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "bus.h"
#include "sdbus.h"
#include "strv.h"

#define SYSTEMD_SVC   "org.freedesktop.systemd1.Service"
#define CALL_TIMEOUT  (25 * USEC_PER_SEC)
#define RELOAD_LIMIT  (90 * USEC_PER_SEC)
#define TICK_INTERVAL (1 * USEC_PER_SEC)

int bus_open(Bus **ret) {
        _cleanup_bus_ Bus *b = calloc(1, sizeof(*b));
        int r;

        if (!b)
                return -ENOMEM;
        r = sd_bus_open_system(&b->bus);
        if (r < 0)
                return r;
        (void) sd_bus_set_method_call_timeout(b->bus, CALL_TIMEOUT);
        *ret = TAKE_PTR(b);
        return 0;
}

void bus_free(Bus *b) {
        if (!b)
                return;
        for (size_t i = 0; i < b->n_removed; i++) {
                free(b->removed[i].job);
                free(b->removed[i].result);
        }
        free(b->removed);
        for (size_t i = 0; i < b->n_followed; i++) {
                free(b->followed[i].unit);
                free(b->followed[i].state);
        }
        free(b->followed);
        free(b->message);
        (void) sd_bus_flush_close_unref(b->bus);
        free(b);
}

const char *bus_message(const Bus *b) {
        return strempty(b->message);
}

/* Names that sd-bus maps to EIO or the like, and that a caller wants to tell apart. */
static int error_to_errno(const sd_bus_error *e, int r) {
        static const struct {
                const char *name;
                int error;
        } table[] = {
                { "org.freedesktop.systemd1.NoSuchUnit", ENOENT },
                { "org.freedesktop.systemd1.LoadFailed", ENOENT },
                { "org.freedesktop.systemd1.NoUnitForPID", ENOENT },
                { "org.freedesktop.systemd1.UnitMasked", ERFKILL },
                { "org.freedesktop.systemd1.TransactionIsDestructive", EBUSY },
                { "org.freedesktop.systemd1.JobTypeNotApplicable", EOPNOTSUPP },
                { "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired", EACCES },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++)
                if (sd_bus_error_has_name(e, table[i].name))
                        return -table[i].error;
        return r;
}

int bus_end(Bus *b, const sd_bus_error *e, int r) {
        free(b->message);
        b->message = NULL;
        if (r >= 0)
                return 0;
        if (e->message)
                b->message = strdup(e->message);
        return error_to_errno(e, r);
}

static int on_job_removed(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const char *job, *unit, *result;
        Bus *b = userdata;
        Removed *t, n;
        uint32_t id;

        (void) error;
        if (sd_bus_message_read(m, "uoss", &id, &job, &unit, &result) < 0)
                return 0;
        t = reallocarray(b->removed, b->n_removed + 1, sizeof(*t));
        if (!t)
                return 0;
        b->removed = t;
        n = (Removed){ .job = strdup(job), .result = strdup(result) };
        if (!n.job || !n.result) {
                free(n.job);
                free(n.result);
                return 0;
        }
        b->removed[b->n_removed++] = n;
        return 0;
}

int bus_subscribe(Bus *b) {
        int r;

        if (b->subscribed)
                return 0;
        r = sd_bus_match_signal(b->bus, NULL, SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_MGR, "JobRemoved",
                                on_job_removed, b);
        if (r >= 0)
                r = MANAGER_CALL(b, NULL, "Subscribe", NULL);
        if (r < 0)
                return r;
        b->subscribed = true;
        return 0;
}

static int queue(Bus *b, const char *method, const char *unit, const char *mode, char **ret_job) {
        _cleanup_message_ sd_bus_message *reply = NULL;
        const char *job;
        int r;

        r = bus_subscribe(b);
        if (r >= 0)
                r = MANAGER_CALL(b, &reply, method, "ss", unit, mode);
        if (r >= 0)
                r = sd_bus_message_read(reply, "o", &job);
        if (r < 0)
                return r;
        if (!ret_job)
                return 0;
        *ret_job = strdup(job);
        return *ret_job ? 0 : -ENOMEM;
}

int bus_queue_unit(Bus *b, const char *unit, char **ret_job) {
        return queue(b, "StartUnit", unit, "replace", ret_job);
}

int bus_queue_stop(Bus *b, const char *unit) {
        return queue(b, "StopUnit", unit, "replace", NULL);
}

int bus_queue_restart(Bus *b, const char *unit) {
        return queue(b, "RestartUnit", unit, "replace", NULL);
}

int bus_queue_reload(Bus *b, const char *unit) {
        return queue(b, "ReloadUnit", unit, "replace", NULL);
}

static char *take_removed(Bus *b, const char *job) {
        for (size_t i = 0; i < b->n_removed; i++)
                if (streq(b->removed[i].job, job)) {
                        char *result = b->removed[i].result;

                        free(b->removed[i].job);
                        b->removed[i] = b->removed[--b->n_removed];
                        return result;
                }
        return NULL;
}

int bus_job_wait(Bus *b, const char *job, uint64_t timeout_usec, char **ret_result) {
        uint64_t end = monotonic_usec() + timeout_usec;

        for (;;) {
                char *result = take_removed(b, job);
                uint64_t now = monotonic_usec();
                int r;

                if (result) {
                        *ret_result = result;
                        return 1;
                }
                r = sd_bus_process(b->bus, NULL);
                if (r < 0)
                        return r;
                if (r > 0)
                        continue;
                if (now >= end)
                        return 0;
                r = sd_bus_wait(b->bus, end - now);
                if (r < 0)
                        return r == -EINTR ? 0 : r; /* a signal: let the caller look why */
        }
}

static int result_to_errno(const char *result) {
        if (streq(result, "done"))
                return 0;
        if (streq(result, "skipped"))
                return 1;
        if (streq(result, "canceled"))
                return -ECANCELED;
        if (streq(result, "timeout"))
                return -ETIMEDOUT;
        return -EPROTO;
}

static int run_job(Bus *b, const char *method, const char *unit, const char *mode, uint64_t timeout_usec,
                   BusTick tick, void *userdata) {
        _cleanup_free_ char *job = NULL, *result = NULL;
        uint64_t end = monotonic_usec() + timeout_usec, now;
        int r;

        r = queue(b, method, unit, mode, &job);
        if (r < 0)
                return r;
        while ((now = monotonic_usec()) < end) {
                r = bus_job_wait(b, job, MIN(end - now, TICK_INTERVAL), &result);
                if (r < 0)
                        return r;
                if (r > 0)
                        return result_to_errno(result);
                if (tick)
                        tick(userdata);
        }
        return -ETIMEDOUT;
}

int bus_start_unit(Bus *b, const char *unit, uint64_t timeout_usec, BusTick tick, void *userdata) {
        return run_job(b, "StartUnit", unit, "replace", timeout_usec, tick, userdata);
}

int bus_start_alone(Bus *b, const char *unit, uint64_t timeout_usec) {
        return run_job(b, "StartUnit", unit, "ignore-requirements", timeout_usec, NULL, NULL);
}

int bus_stop_unit(Bus *b, const char *unit, uint64_t timeout_usec, BusTick tick, void *userdata) {
        return run_job(b, "StopUnit", unit, "replace", timeout_usec, tick, userdata);
}

int bus_reset_failed(Bus *b, const char *unit) {
        return MANAGER_CALL(b, NULL, "ResetFailedUnit", "s", unit);
}

/* Generators run meanwhile: that may take longer than other calls. */
int bus_reload(Bus *b) {
        _cleanup_message_ sd_bus_message *m = NULL;
        _cleanup_error_ sd_bus_error e = SD_BUS_ERROR_NULL;
        int r;

        r = sd_bus_message_new_method_call(b->bus, &m, SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_MGR, "Reload");
        if (r >= 0)
                r = sd_bus_call(b->bus, m, RELOAD_LIMIT, &e, NULL);
        return bus_end(b, &e, r);
}

static int get_string(Bus *b, const char *path, const char *interface, const char *property, char **ret) {
        _cleanup_error_ sd_bus_error e = SD_BUS_ERROR_NULL;

        return bus_end(b, &e,
                       sd_bus_get_property_string(b->bus, SYSTEMD_NAME, path, interface, property, &e, ret));
}

int bus_is_stopping(Bus *b) {
        _cleanup_free_ char *state = NULL;
        int r = get_string(b, SYSTEMD_PATH, SYSTEMD_MGR, "SystemState", &state);

        return r < 0 ? r : streq(state, "stopping") ? 1 : 0;
}

static int get_invocation(Bus *b, const char *path, char **ret) {
        _cleanup_message_ sd_bus_message *reply = NULL;
        _cleanup_error_ sd_bus_error e = SD_BUS_ERROR_NULL;
        char hex[33] = "";
        const void *id;
        size_t n = 0;
        int r;

        r = sd_bus_get_property(b->bus, SYSTEMD_NAME, path, SYSTEMD_UNIT, "InvocationID", &e, &reply, "ay");
        if (r >= 0)
                r = sd_bus_message_read_array(reply, 'y', &id, &n);
        if (r < 0)
                return bus_end(b, &e, r);
        for (size_t i = 0; n == 16 && i < n; i++)
                (void) snprintf(hex + 2 * i, 3, "%02x", ((const uint8_t *) id)[i]);
        *ret = strdup(hex);
        return *ret ? 0 : -ENOMEM;
}

static int get_job(Bus *b, const char *path, bool *ret) {
        _cleanup_message_ sd_bus_message *reply = NULL;
        _cleanup_error_ sd_bus_error e = SD_BUS_ERROR_NULL;
        const char *job;
        uint32_t id;
        int r;

        r = sd_bus_get_property(b->bus, SYSTEMD_NAME, path, SYSTEMD_UNIT, "Job", &e, &reply, "(uo)");
        if (r >= 0)
                r = sd_bus_message_read(reply, "(uo)", &id, &job);
        if (r >= 0)
                *ret = id != 0;
        return bus_end(b, &e, r);
}

static int get_since(Bus *b, const char *path, uint64_t *ret) {
        _cleanup_error_ sd_bus_error e = SD_BUS_ERROR_NULL;

        return bus_end(b, &e,
                       sd_bus_get_property_trivial(b->bus, SYSTEMD_NAME, path, SYSTEMD_UNIT,
                                                   "StateChangeTimestamp", &e, 't', ret));
}

static int get_service(Bus *b, const char *path, BusUnit *u) {
        _cleanup_error_ sd_bus_error e = SD_BUS_ERROR_NULL;
        int r;

        r = get_string(b, path, SYSTEMD_SVC, "StatusText", &u->status_text);
        if (r >= 0)
                r = get_string(b, path, SYSTEMD_SVC, "Result", &u->result);
        if (r < 0)
                return r;
        return bus_end(b, &e,
                       sd_bus_get_property_trivial(b->bus, SYSTEMD_NAME, path, SYSTEMD_SVC, "ExecMainStatus",
                                                   &e, 'i', &u->exit_status));
}

int bus_unit_path(Bus *b, const char *unit, char **ret) {
        _cleanup_message_ sd_bus_message *reply = NULL;
        const char *path;
        int r;

        r = MANAGER_CALL(b, &reply, "LoadUnit", "s", unit);
        if (r >= 0)
                r = sd_bus_message_read(reply, "o", &path);
        if (r < 0)
                return r;
        *ret = strdup(path);
        return *ret ? 0 : -ENOMEM;
}

int bus_unit_state(Bus *b, const char *unit, BusUnit *ret) {
        _cleanup_(bus_unit_done) BusUnit u = {};
        _cleanup_free_ char *path = NULL;
        int r;

        r = bus_unit_path(b, unit, &path);
        if (r >= 0)
                r = get_string(b, path, SYSTEMD_UNIT, "LoadState", &u.load_state);
        if (r >= 0)
                r = get_string(b, path, SYSTEMD_UNIT, "ActiveState", &u.active_state);
        if (r >= 0)
                r = get_invocation(b, path, &u.invocation);
        if (r >= 0)
                r = get_since(b, path, &u.since_usec);
        if (r >= 0)
                r = get_job(b, path, &u.has_job);
        if (r >= 0 && endswith(unit, ".service"))
                r = get_service(b, path, &u);
        if (r < 0)
                return r;
        u.status_text = u.status_text ?: strdup("");
        u.result = u.result ?: strdup("");
        if (!u.status_text || !u.result)
                return -ENOMEM;
        *ret = u;
        u = (BusUnit){};
        return 0;
}

void bus_unit_done(BusUnit *u) {
        free(u->load_state);
        free(u->active_state);
        free(u->status_text);
        free(u->result);
        free(u->invocation);
        *u = (BusUnit){};
}

bool bus_unit_is_off(const BusUnit *u) {
        return !u->has_job && (streq(u->active_state, "inactive") || streq(u->active_state, "failed"));
}

int bus_unit_of(Bus *b, pid_t pid, char **ret) {
        _cleanup_message_ sd_bus_message *reply = NULL;
        const char *path;
        int r;

        r = MANAGER_CALL(b, &reply, "GetUnitByPID", "u", (uint32_t) pid);
        if (r >= 0)
                r = sd_bus_message_read(reply, "o", &path);
        return r < 0 ? r : get_string(b, path, SYSTEMD_UNIT, "Id", ret);
}

int bus_unit_stop_timeout(Bus *b, const char *unit, uint64_t *ret_usec) {
        _cleanup_error_ sd_bus_error e = SD_BUS_ERROR_NULL;
        _cleanup_free_ char *path = NULL;
        int r;

        r = bus_unit_path(b, unit, &path);
        if (r < 0)
                return r;
        return bus_end(b, &e,
                       sd_bus_get_property_trivial(b->bus, SYSTEMD_NAME, path, SYSTEMD_SVC, "TimeoutStopUSec",
                                                   &e, 't', ret_usec));
}
