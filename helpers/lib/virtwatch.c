/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "virtwatch.h"
#include "virtlib.h"
#include "virtpulse.h"

enum { FILES_MAX = 2, EVENTS = 4, KEEPALIVE_SEC = 5, KEEPALIVE_COUNT = 3 };

struct VirtWatch {
        Virt *v; /* NULL: none is watched */
        int callbacks[EVENTS], timer;
        int files[FILES_MAX];
        size_t n_files;
        bool over; /* the time to wait is up */
        unsigned news;
};

static void on_time(int timer, void *userdata) {
        VirtWatch *w = userdata;

        lv.virEventUpdateTimeout(timer, -1);
        w->over = true;
}

static void on_file(int watch, int fd, int events, void *userdata) {
        VirtWatch *w = userdata;

        (void) watch;
        (void) fd;
        (void) events;
        w->news |= VIRTWATCH_FILE;
}

static int on_event(virConnectPtr c, virDomainPtr d, int event, int detail, void *userdata) {
        VirtWatch *w = userdata;

        (void) c;
        (void) d;
        (void) event;
        (void) detail;
        w->news |= VIRTWATCH_MACHINE;
        return 0;
}

static void on_removed(virConnectPtr c, virDomainPtr d, const char *alias, void *userdata) {
        VirtWatch *w = userdata;

        (void) c;
        (void) d;
        (void) alias;
        w->news |= VIRTWATCH_DEVICE;
}

static void on_kept(virConnectPtr c, virDomainPtr d, const char *alias, void *userdata) {
        VirtWatch *w = userdata;

        (void) c;
        (void) d;
        (void) alias;
        w->news |= VIRTWATCH_KEPT;
}

static void on_reboot(virConnectPtr c, virDomainPtr d, void *userdata) {
        VirtWatch *w = userdata;

        (void) c;
        (void) d;
        w->news |= VIRTWATCH_REBOOT;
}

static void on_close(virConnectPtr c, int reason, void *userdata) {
        VirtWatch *w = userdata;

        (void) c;
        (void) reason;
        w->news |= VIRTWATCH_LOST;
}

int virtwatch_new(VirtWatch **ret) {
        _cleanup_(virtwatch_freep) VirtWatch *w = NULL;
        int r = virtlib_load();

        if (r < 0)
                return r;
        if (lv.virEventRegisterDefaultImpl() < 0)
                return -ENOMEM;
        w = calloc(1, sizeof(*w));
        if (!w)
                return -ENOMEM;
        for (size_t i = 0; i < EVENTS; i++)
                w->callbacks[i] = -1;
        w->timer = lv.virEventAddTimeout(-1, on_time, w, NULL);
        if (w->timer < 0)
                return -ENOMEM;
        *ret = TAKE_PTR(w);
        return 0;
}

void virtwatch_free(VirtWatch *w) {
        if (!w)
                return;
        virtwatch_leave(w);
        for (size_t i = 0; i < w->n_files; i++)
                (void) lv.virEventRemoveHandle(w->files[i]);
        if (w->timer >= 0)
                (void) lv.virEventRemoveTimeout(w->timer);
        free(w);
}

int virtwatch_add_file(VirtWatch *w, int fd) {
        int watch;

        if (w->n_files == FILES_MAX)
                return -ENOSPC;
        watch = lv.virEventAddHandle(fd, VIR_EVENT_HANDLE_READABLE, on_file, w, NULL);
        if (watch < 0)
                return -ENOMEM;
        w->files[w->n_files++] = watch;
        return 0;
}

static int subscribe(VirtWatch *w, Virt *v, virDomainPtr d) {
        static const struct {
                int event;
                virConnectDomainEventGenericCallback call;
        } events[EVENTS] = {
                { VIR_DOMAIN_EVENT_ID_LIFECYCLE, VIR_DOMAIN_EVENT_CALLBACK(on_event) },
                { VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, VIR_DOMAIN_EVENT_CALLBACK(on_removed) },
                { VIR_DOMAIN_EVENT_ID_DEVICE_REMOVAL_FAILED, VIR_DOMAIN_EVENT_CALLBACK(on_kept) },
                { VIR_DOMAIN_EVENT_ID_REBOOT, VIR_DOMAIN_EVENT_CALLBACK(on_reboot) },
        };

        for (size_t i = 0; i < EVENTS; i++) {
                w->callbacks[i] = lv.virConnectDomainEventRegisterAny(v->connection, d, events[i].event,
                                                                      events[i].call, w, NULL);
                if (w->callbacks[i] < 0)
                        return virtlib_failed(v);
        }
        return 0;
}

static void unsubscribe(VirtWatch *w, Virt *v) {
        for (size_t i = 0; i < EVENTS; i++) {
                if (w->callbacks[i] >= 0)
                        (void) lv.virConnectDomainEventDeregisterAny(v->connection, w->callbacks[i]);
                w->callbacks[i] = -1;
        }
}

int virtwatch_join(VirtWatch *w, Virt *v, const char *name) {
        virDomainPtr d = lv.virDomainLookupByName(v->connection, name);
        int r;

        if (!d)
                return virtlib_failed(v);
        r = virtwatch_join_all(w, v);
        if (r >= 0)
                r = subscribe(w, v, d);
        (void) lv.virDomainFree(d);
        if (r < 0)
                virtwatch_leave(w);
        return r;
}

/* Drivers inside this process, as the test driver is, know neither: nothing can be lost there. */
int virtwatch_join_all(VirtWatch *w, Virt *v) {
        virtpulse_hand_over(v);
        (void) lv.virConnectRegisterCloseCallback(v->connection, on_close, w, NULL);
        (void) lv.virConnectSetKeepAlive(v->connection, KEEPALIVE_SEC, KEEPALIVE_COUNT);
        w->v = v;
        w->news = 0;
        return 0;
}

void virtwatch_leave(VirtWatch *w) {
        if (!w->v)
                return;
        unsubscribe(w, w->v);
        (void) lv.virConnectUnregisterCloseCallback(w->v->connection, on_close);
        w->v = NULL;
}

void virtwatch_answer(void *watch) {
        VirtWatch *w = watch;

        w->over = false;
        lv.virEventUpdateTimeout(w->timer, 0);
        while (!w->over)
                if (lv.virEventRunDefaultImpl() < 0)
                        return;
}

int virtwatch_wait(VirtWatch *w, uint64_t timeout_usec) {
        uint64_t ms = (timeout_usec + USEC_PER_MSEC - 1) / USEC_PER_MSEC;
        unsigned news;

        w->over = false;
        lv.virEventUpdateTimeout(w->timer, (int) MIN(ms, (uint64_t) INT32_MAX));
        while (w->news == 0 && !w->over)
                if (lv.virEventRunDefaultImpl() < 0)
                        return -EIO;
        lv.virEventUpdateTimeout(w->timer, -1);
        news = w->news;
        w->news = 0;
        return (int) news;
}

static VmEnd end_from(int reason) {
        switch (reason) {
        case VIR_DOMAIN_SHUTOFF_SHUTDOWN:
                return VM_END_SHUTDOWN;
        case VIR_DOMAIN_SHUTOFF_DESTROYED:
                return VM_END_DESTROYED;
        case VIR_DOMAIN_SHUTOFF_MIGRATED:
        case VIR_DOMAIN_SHUTOFF_SAVED:
                return VM_END_MOVED;
        case VIR_DOMAIN_SHUTOFF_CRASHED:
        case VIR_DOMAIN_SHUTOFF_FAILED:
        case VIR_DOMAIN_SHUTOFF_DAEMON: /* it could not be found again after libvirt's own restart */
                return VM_END_CRASHED;
        default:
                return VM_END_UNKNOWN;
        }
}

static const char *text_of(int state, int reason) {
        switch (state) {
        case VIR_DOMAIN_PAUSED:
                return reason == VIR_DOMAIN_PAUSED_IOERROR
                                ? "paused: its disk cannot be written. Is there room? 'virsh resume' goes on"
                                : "paused";
        case VIR_DOMAIN_SHUTDOWN:
                return "stopping";
        case VIR_DOMAIN_PMSUSPENDED:
                return "suspended";
        default:
                return "running";
        }
}

int virtwatch_look(Virt *v, const char *name, VmLook *ret) {
        virDomainPtr d = lv.virDomainLookupByName(v->connection, name);
        int state, reason, r = 0;

        if (!d)
                return virtlib_failed(v);
        if (lv.virDomainGetState(d, &state, &reason, 0) < 0)
                r = virtlib_failed(v);
        (void) lv.virDomainFree(d);
        if (r < 0)
                return r;
        *ret = (VmLook){ .on = state != VIR_DOMAIN_SHUTOFF && state != VIR_DOMAIN_CRASHED,
                         .end = state == VIR_DOMAIN_CRASHED ? VM_END_CRASHED : end_from(reason),
                         .text = text_of(state, reason) };
        return 0;
}
