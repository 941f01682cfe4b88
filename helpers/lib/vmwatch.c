/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <signal.h>
#include <sys/signalfd.h>

#include "journal.h"
#include "vmwatch.h"

enum {
        CONNECT_AGAIN_SEC = 2,
        LOOK_MIN_SEC = 1, /* however much the guest writes */
        FIELD_MAX = 128,
};

/* A libvirtd that dies while it is written to is one that does not answer. */
static int open_signals(VmWatch *w) {
        sigset_t s;

        (void) signal(SIGPIPE, SIG_IGN);
        (void) sigemptyset(&s);
        (void) sigaddset(&s, SIGTERM);
        (void) sigaddset(&s, SIGINT);
        if (sigprocmask(SIG_BLOCK, &s, NULL) < 0)
                return negative_errno();
        w->signals = signalfd(-1, &s, SFD_CLOEXEC | SFD_NONBLOCK);
        return w->signals < 0 ? negative_errno() : virtwatch_add_file(w->watch, w->signals);
}

int vmwatch_init(VmWatch *w, int root, const char *name) {
        int r;

        *w = (VmWatch){ .root = root, .name = name, .signals = -EBADF };
        r = virtwatch_new(&w->watch);
        return r < 0 ? r : open_signals(w);
}

void vmwatch_done(VmWatch *w) {
        vmwatch_disconnect(w);
        guestlog_free(w->log);
        virtwatch_free(w->watch);
        (void) safe_close(w->signals);
}

void vmwatch_disconnect(VmWatch *w) {
        if (w->watch)
                virtwatch_leave(w->watch);
        virt_close(w->v);
        w->v = NULL;
}

int vmwatch_connect(VmWatch *w, char **reterr_message) {
        int r = virt_open_root(w->root, &w->v, reterr_message);

        if (r >= 0)
                r = virtwatch_join(w->watch, w->v, w->name);
        if (r < 0 && w->v && reterr_message)
                *reterr_message = strdup(virt_message(w->v));
        if (r < 0)
                vmwatch_disconnect(w);
        return r;
}

int vmwatch_connect_again(VmWatch *w, char **reterr_message) {
        VmLook look;

        if (w->v && virtwatch_look(w->v, w->name, &look) >= 0)
                return 0;
        vmwatch_disconnect(w);
        return vmwatch_connect(w, reterr_message);
}

int vmwatch_open_log(VmWatch *w, const char *path) {
        int r = guestlog_open(w->root, path, &w->log);

        return r < 0 ? r : virtwatch_add_file(w->watch, guestlog_fd(w->log));
}

/* GuestLine */
static void on_line(const char *line, void *userdata) {
        const VmWatch *w = userdata;
        char field[FIELD_MAX];

        (void) snprintf(field, sizeof(field), "GPUVM_VM=%s", w->name);
        journal_line(w->name, field, line);
}

void vmwatch_copy_log(VmWatch *w) {
        w->log_has_more = w->log && guestlog_read(w->log, on_line, w) > 0;
}

bool vmwatch_told_to_stop(const VmWatch *w) {
        struct signalfd_siginfo i;

        return read(w->signals, &i, sizeof(i)) > 0;
}

int vmwatch_look(VmWatch *w, VmLook *ret) {
        int r = w->v ? 0 : vmwatch_connect(w, NULL);

        if (r >= 0)
                r = virtwatch_look(w->v, w->name, ret);
        if (r == -ENOENT) {
                *ret = (VmLook){ .end = VM_END_UNKNOWN };
                return 1;
        }
        if (r >= 0)
                return !ret->on;
        vmwatch_disconnect(w);
        return -ENOTCONN;
}

bool vmwatch_is_due(VmWatch *w, int news) {
        uint64_t now = monotonic_usec();

        if ((news & ~VIRTWATCH_FILE) == 0 && now - w->looked_usec < LOOK_MIN_SEC * USEC_PER_SEC)
                return false;
        w->looked_usec = now;
        return true;
}

int vmwatch_wait(VmWatch *w, uint64_t timeout_usec) {
        uint64_t timeout = w->v ? timeout_usec : MIN(timeout_usec, CONNECT_AGAIN_SEC * USEC_PER_SEC);
        int r = virtwatch_wait(w->watch, w->log_has_more ? 0 : timeout);

        if (r >= 0 && r & VIRTWATCH_LOST)
                vmwatch_disconnect(w);
        return r;
}
