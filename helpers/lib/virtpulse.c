/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <pthread.h>
#include <signal.h>

#include "fs.h"
#include "virtpulse.h"

/* Asked after 10 and 20 seconds, given up after 30. */
enum { INTERVAL_SEC = 10, COUNT = VIRTPULSE_SEC / INTERVAL_SEC - 1 };

struct VirtPulse {
        pthread_t thread;
        int timer;
        bool beats; /* the thread is there */
        bool over;  /* it alone looks at this */
        Virt *v;
        char *silence;
};

int virtpulse_prepare(void) {
        return lv.virEventRegisterDefaultImpl() < 0 ? -ENOMEM : 0;
}

static void on_over(int timer, void *userdata) {
        VirtPulse *p = userdata;

        (void) timer;
        p->over = true;
}

/* In the call that was waiting, or in the thread where none was. */
static void on_close(virConnectPtr c, int reason, void *userdata) {
        VirtPulse *p = userdata;

        (void) c;
        if (reason == VIR_CONNECT_CLOSE_REASON_KEEPALIVE)
                p->v->silence = p->silence;
}

static void *run(void *userdata) {
        VirtPulse *p = userdata;

        while (!p->over && lv.virEventRunDefaultImpl() >= 0)
                ;
        return NULL;
}

/* Signals are for the program's own thread. */
static int begin(VirtPulse *p) {
        sigset_t all, before;
        int r;

        p->timer = lv.virEventAddTimeout(-1, on_over, p, NULL);
        if (p->timer < 0)
                return -ENOMEM;
        (void) sigfillset(&all);
        (void) pthread_sigmask(SIG_SETMASK, &all, &before);
        r = -pthread_create(&p->thread, NULL, run, p);
        (void) pthread_sigmask(SIG_SETMASK, &before, NULL);
        p->beats = r == 0;
        return r;
}

int virtpulse_start(Virt *v, const char *uri) {
        int r;

        if (lv.virConnectSetKeepAlive(v->connection, INTERVAL_SEC, COUNT) != 0)
                return 0;
        v->pulse = calloc(1, sizeof(*v->pulse));
        if (!v->pulse)
                return -ENOMEM;
        v->pulse->v = v;
        r = str_printf(&v->pulse->silence, "'%s' has not answered for %d s. Is the host up?", uri,
                       VIRTPULSE_SEC);
        if (r >= 0)
                r = begin(v->pulse);
        if (r >= 0)
                (void) lv.virConnectRegisterCloseCallback(v->connection, on_close, v->pulse, NULL);
        return r;
}

static void stop(VirtPulse *p) {
        if (!p->beats)
                return;
        lv.virEventUpdateTimeout(p->timer, 0);
        (void) pthread_join(p->thread, NULL);
        (void) lv.virEventRemoveTimeout(p->timer);
        p->beats = false;
}

void virtpulse_hand_over(Virt *v) {
        if (!v->pulse)
                return;
        (void) lv.virConnectUnregisterCloseCallback(v->connection, on_close);
        stop(v->pulse);
}

void virtpulse_end(Virt *v) {
        if (!v->pulse)
                return;
        stop(v->pulse);
        free(v->pulse->silence);
        free(v->pulse);
        v->pulse = NULL;
}
