/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "errand.h"
#include "holders.h"
#include "module.h"
#include "strv.h"

/* One function in a request: what it is, with pointers that mean nothing to the child, then texts with a NUL
 * each: its driver, and what is in its directory, up to an empty one. */

static bool put(char **at, const char *end, const void *data, size_t n) {
        if (n > (size_t) (end - *at))
                return false;
        memcpy(*at, data, n);
        *at += n;
        return true;
}

static bool put_text(char **at, const char *end, const char *text) {
        return put(at, end, strempty(text), strlen(strempty(text)) + 1);
}

static bool put_device(char **at, const char *end, const PciDevice *d) {
        bool good = put(at, end, d, sizeof(*d)) && put_text(at, end, d->driver);

        STRV_FOREACH(name, d->names)
                good = good && put_text(at, end, *name);
        return good && put_text(at, end, NULL);
}

/* NULL where there is no more. */
static const char *get_text(const char **at, const char *end) {
        const char *text = *at;

        if (text >= end)
                return NULL;
        *at += strlen(text) + 1;
        return text;
}

static int get_device(const char **at, const char *end, PciDevice *ret) {
        const char *text;
        PciDevice d;
        int r = 0;

        if (sizeof(d) > (size_t) (end - *at))
                return -EBADMSG;
        memcpy(&d, *at, sizeof(d));
        *at += sizeof(d);
        d.driver = d.reset_method = d.path = d.devpath = d.modalias = NULL;
        d.names = NULL;
        d.dir = -EBADF;
        text = get_text(at, end);
        if (!isempty(text)) {
                d.driver = strdup(text);
                r = d.driver ? 0 : -ENOMEM;
        }
        while (r >= 0 && !isempty(text = get_text(at, end)))
                r = strv_extend(&d.names, text);
        *ret = d;
        return r;
}

static int scan(int root, const PciBus *bus, const char *but, bool processes, char *answer) {
        const PciDevice **devices = calloc(bus->n + 1, sizeof(*devices));
        _cleanup_(holders_done) Holders holders = {};
        _cleanup_free_ char *text = NULL;
        int r = devices ? 0 : -ENOMEM;

        for (size_t i = 0; i < bus->n && r >= 0; i++)
                devices[i] = &bus->devices[i];
        if (r >= 0)
                r = processes ? holders_scan(root, devices, bus->n, &holders)
                              : holders_scan_kernel(root, devices, bus->n, &holders);
        free(devices);
        if (r < 0)
                return r;
        if (*but)
                holders_drop(&holders, but);
        r = holders_describe(&holders, &text);
        if (r < 0)
                return r;
        (void) snprintf(answer, WORKER_ANSWER_MAX, "%s", text);
        return holders.n > 0 ? 1 : 0;
}

static int serve_who(int root, const char *request, size_t n, char answer[WORKER_ANSWER_MAX]) {
        const char *at = request, *end = request + n, *but = get_text(&at, end);
        const char *processes = but ? get_text(&at, end) : NULL;
        _cleanup_(pci_bus_done) PciBus bus = {};
        int r = processes ? 0 : -EBADMSG;

        while (r >= 0 && at < end) {
                PciDevice *t = reallocarray(bus.devices, bus.n + 1, sizeof(*t));

                if (!t)
                        return -ENOMEM;
                bus.devices = t;
                r = get_device(&at, end, &bus.devices[bus.n]);
                bus.n += r != -EBADMSG;
        }
        return r < 0 ? r : scan(root, &bus, but, *processes, answer);
}

int errand_who(Worker *w, const PciDevice *const *devices, size_t n, const char *but, bool processes,
               uint64_t timeout_usec, char **ret) {
        _cleanup_free_ char *request = malloc(WORKER_REQUEST_MAX);
        char *at = request;
        bool good;

        if (!request)
                return -ENOMEM;
        good = put_text(&at, request + WORKER_REQUEST_MAX, but) &&
                        put_text(&at, request + WORKER_REQUEST_MAX, processes ? "processes" : NULL);
        for (size_t i = 0; i < n && good; i++)
                good = put_device(&at, request + WORKER_REQUEST_MAX, devices[i]);
        return good ? worker_call(w, serve_who, request, (size_t) (at - request), timeout_usec, ret) : -E2BIG;
}

static int serve_load(int root, const char *request, _unused_ size_t n, _unused_ char *answer) {
        return module_load(root, request);
}

static int serve_load_alias(int root, const char *request, _unused_ size_t n, _unused_ char *answer) {
        return module_load_alias(root, request);
}

/* A request is modaliases with a NUL each, the answer is drivers with a newline each. */
static int serve_find_vfio(int root, const char *request, size_t n, char answer[WORKER_ANSWER_MAX]) {
        const char *at = request, *end = request + n, *text;
        _cleanup_strv_ char **modaliases = NULL, **names = NULL;
        size_t many, used = 0;
        int r = 0;

        while (r >= 0 && (text = get_text(&at, end)))
                r = strv_extend(&modaliases, text);
        many = strv_length(modaliases);
        names = calloc(many + 1, sizeof(*names));
        if (r >= 0)
                r = names ? module_find_vfio(root, (const char *const *) modaliases, many, names) : -ENOMEM;
        for (size_t i = 0; i < many && r >= 0 && used < WORKER_ANSWER_MAX; i++)
                used += (size_t) snprintf(answer + used, WORKER_ANSWER_MAX - used, "%s\n", names[i]);
        return r >= 0 && used >= WORKER_ANSWER_MAX ? -E2BIG : r;
}

int errand_load(Worker *w, const char *module, uint64_t timeout_usec) {
        return worker_call(w, serve_load, module, strlen(module), timeout_usec, NULL);
}

int errand_load_alias(Worker *w, const char *modalias, uint64_t timeout_usec) {
        return worker_call(w, serve_load_alias, modalias, strlen(modalias), timeout_usec, NULL);
}

int errand_find_vfio(Worker *w, const PciDevice *const *devices, size_t n, uint64_t timeout_usec,
                     char ***ret) {
        _cleanup_free_ char *request = malloc(WORKER_REQUEST_MAX), *text = NULL;
        _cleanup_strv_ char **drivers = NULL;
        char *at = request;
        bool good = true;
        int r;

        if (!request)
                return -ENOMEM;
        for (size_t i = 0; i < n && good; i++)
                good = put_text(&at, request + WORKER_REQUEST_MAX, devices[i]->modalias);
        r = good ? worker_call(w, serve_find_vfio, request, (size_t) (at - request), timeout_usec, &text)
                 : -E2BIG;
        if (r >= 0)
                r = strv_split(text, "\n", &drivers);
        if (r < 0)
                return r;
        if (strv_length(drivers) != n)
                return -EBADMSG;
        *ret = TAKE_PTR(drivers);
        return 0;
}
