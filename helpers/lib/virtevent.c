/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "virtevent.h"
#include "virtlib.h"

enum { KINDS = 7 };

struct VirtEvents {
        Virt *v;
        int callbacks[KINDS];
        void (*handler)(const VirtEvent *e, void *userdata);
        void *userdata;
};

static void tell(VirtEvents *e, virDomainPtr d, const char *what, const char *detail) {
        const VirtEvent event = { strempty(lv.virDomainGetName(d)), what, strempty(detail) };

        e->handler(&event, e->userdata);
}

static const char *stopped_detail(int detail) {
        static const char *const words[] = {
                [VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN] = "shut down",
                [VIR_DOMAIN_EVENT_STOPPED_DESTROYED] = "as if its plug were pulled",
                [VIR_DOMAIN_EVENT_STOPPED_CRASHED] = "crashed",
                [VIR_DOMAIN_EVENT_STOPPED_MIGRATED] = "moved to another host",
                [VIR_DOMAIN_EVENT_STOPPED_SAVED] = "saved",
                [VIR_DOMAIN_EVENT_STOPPED_FAILED] = "failed",
        };

        return (size_t) detail < ELEMENTSOF(words) ? words[detail] : NULL;
}

static const char *suspended_detail(int detail) {
        return detail == VIR_DOMAIN_EVENT_SUSPENDED_IOERROR ? "its disk cannot be written" : NULL;
}

static int on_lifecycle(virConnectPtr c, virDomainPtr d, int event, int detail, void *userdata) {
        static const char *const words[] = {
                [VIR_DOMAIN_EVENT_DEFINED] = "defined",        [VIR_DOMAIN_EVENT_UNDEFINED] = "removed",
                [VIR_DOMAIN_EVENT_STARTED] = "started",        [VIR_DOMAIN_EVENT_SUSPENDED] = "paused",
                [VIR_DOMAIN_EVENT_RESUMED] = "resumed",        [VIR_DOMAIN_EVENT_STOPPED] = "stopped",
                [VIR_DOMAIN_EVENT_SHUTDOWN] = "shutting down", [VIR_DOMAIN_EVENT_PMSUSPENDED] = "suspended",
                [VIR_DOMAIN_EVENT_CRASHED] = "crashed",
        };

        (void) c;
        if ((size_t) event < ELEMENTSOF(words))
                tell(userdata, d, words[event],
                     event == VIR_DOMAIN_EVENT_STOPPED                     ? stopped_detail(detail)
                                     : event == VIR_DOMAIN_EVENT_SUSPENDED ? suspended_detail(detail)
                                                                           : NULL);
        return 0;
}

static void on_reboot(virConnectPtr c, virDomainPtr d, void *userdata) {
        (void) c;
        tell(userdata, d, "restarted by its guest", NULL);
}

static void on_added(virConnectPtr c, virDomainPtr d, const char *alias, void *userdata) {
        (void) c;
        tell(userdata, d, "device added", alias);
}

static void on_removed(virConnectPtr c, virDomainPtr d, const char *alias, void *userdata) {
        (void) c;
        tell(userdata, d, "device removed", alias);
}

static void on_kept(virConnectPtr c, virDomainPtr d, const char *alias, void *userdata) {
        (void) c;
        tell(userdata, d, "device kept by its guest", alias);
}

static void on_agent(virConnectPtr c, virDomainPtr d, int state, int reason, void *userdata) {
        (void) c;
        (void) reason;
        tell(userdata, d,
             state == VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_STATE_CONNECTED ? "agent there" : "agent gone",
             NULL);
}

static void on_disk(virConnectPtr c, virDomainPtr d, const char *path, const char *alias, int action,
                    void *userdata) {
        (void) c;
        (void) alias;
        (void) action;
        tell(userdata, d, "disk error", path);
}

static int subscribe(VirtEvents *e) {
        static const struct {
                int event;
                virConnectDomainEventGenericCallback call;
        } kinds[KINDS] = {
                { VIR_DOMAIN_EVENT_ID_LIFECYCLE, VIR_DOMAIN_EVENT_CALLBACK(on_lifecycle) },
                { VIR_DOMAIN_EVENT_ID_REBOOT, VIR_DOMAIN_EVENT_CALLBACK(on_reboot) },
                { VIR_DOMAIN_EVENT_ID_DEVICE_ADDED, VIR_DOMAIN_EVENT_CALLBACK(on_added) },
                { VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, VIR_DOMAIN_EVENT_CALLBACK(on_removed) },
                { VIR_DOMAIN_EVENT_ID_DEVICE_REMOVAL_FAILED, VIR_DOMAIN_EVENT_CALLBACK(on_kept) },
                { VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE, VIR_DOMAIN_EVENT_CALLBACK(on_agent) },
                { VIR_DOMAIN_EVENT_ID_IO_ERROR, VIR_DOMAIN_EVENT_CALLBACK(on_disk) },
        };

        for (size_t i = 0; i < KINDS; i++) {
                int r;

                e->callbacks[i] = lv.virConnectDomainEventRegisterAny(e->v->connection, NULL, kinds[i].event,
                                                                      kinds[i].call, e, NULL);
                r = e->callbacks[i] < 0 ? virtlib_failed(e->v) : 0;
                if (r < 0 && (i == 0 || r != -EOPNOTSUPP))
                        return r;
        }
        return 0;
}

void virtevents_free(VirtEvents *e) {
        for (size_t i = 0; e && i < KINDS; i++)
                if (e->callbacks[i] >= 0)
                        (void) lv.virConnectDomainEventDeregisterAny(e->v->connection, e->callbacks[i]);
        free(e);
}

int virtevents_subscribe(Virt *v, void (*handler)(const VirtEvent *e, void *userdata), void *userdata,
                         VirtEvents **ret) {
        _cleanup_(virtevents_freep) VirtEvents *e = calloc(1, sizeof(*e));
        int r;

        if (!e)
                return -ENOMEM;
        *e = (VirtEvents){ .v = v, .handler = handler, .userdata = userdata };
        for (size_t i = 0; i < KINDS; i++)
                e->callbacks[i] = -1;
        r = subscribe(e);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(e);
        return 0;
}
