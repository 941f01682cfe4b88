/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "virtlib.h"
#include "library.h"

Virtlib lv;
VirtlibQemu lq;

/* libvirt would print each error on stderr. */
static void stay_silent(void *userdata, virErrorPtr error) {
        (void) userdata;
        (void) error;
}

#define X(f) { #f, &lv.f },
static const LibraryFunction functions[] = { VIRT_FUNCTIONS(X) };
#undef X

int virtlib_load(void) {
        int r = library_load(VIRTLIB_NAME, functions, ELEMENTSOF(functions), &lv.library);

        if (r > 0)
                lv.virSetErrorFunc(NULL, stay_silent);
        return MIN(r, 0);
}

int virtlib_load_qemu(void) {
        static const LibraryFunction function = { "virDomainQemuAgentCommand",
                                                  &lq.virDomainQemuAgentCommand };

        return MIN(library_load(VIRTLIB_QEMU_NAME, &function, 1, &lq.library), 0);
}

static int translate(const virError *e) {
        switch (e ? e->code : VIR_ERR_OK) {
        case VIR_ERR_NO_STORAGE_POOL:
        case VIR_ERR_NO_NETWORK:
        case VIR_ERR_NO_STORAGE_VOL:
        case VIR_ERR_NO_DOMAIN:
        case VIR_ERR_NO_DOMAIN_METADATA:
                return -ENOENT;
        case VIR_ERR_NO_MEMORY:
                return -ENOMEM;
        case VIR_ERR_AUTH_FAILED:
        case VIR_ERR_AUTH_CANCELLED:
        case VIR_ERR_AUTH_UNAVAILABLE:
        case VIR_ERR_ACCESS_DENIED:
        case VIR_ERR_OPERATION_DENIED:
                return -EACCES;
        case VIR_ERR_NO_SUPPORT:
        case VIR_ERR_OPERATION_UNSUPPORTED:
        case VIR_ERR_ARGUMENT_UNSUPPORTED:
                return -EOPNOTSUPP;
        case VIR_ERR_OPERATION_INVALID:
        case VIR_ERR_RESOURCE_BUSY:
                return -EBUSY;
        case VIR_ERR_DOM_EXIST:
                return -EEXIST;
        case VIR_ERR_INVALID_ARG:
                return -EINVAL;
        case VIR_ERR_OPERATION_TIMEOUT:
                return -ETIMEDOUT;
        case VIR_ERR_AGENT_UNRESPONSIVE:
        case VIR_ERR_AGENT_UNSYNCED:
                return -ENOTCONN;
        case VIR_ERR_NO_CONNECT:
        case VIR_ERR_NO_SERVER:
                return -ECONNREFUSED;
        case VIR_ERR_SYSTEM_ERROR:
                return e->int1 == EACCES || e->int1 == EPERM                   ? -EACCES
                                : e->int1 == ENOENT || e->int1 == ECONNREFUSED ? -ECONNREFUSED
                                                                               : -EIO;
        default:
                return -EIO;
        }
}

int virtlib_failed(Virt *v) {
        const virError *e = lv.virGetLastError();

        if (free_and_strdup(&v->message, v->silence ?: e && e->message ? e->message : "") < 0)
                return -ENOMEM;
        return translate(e);
}

int virtlib_look_up(Virt *v, const char *name, virDomainPtr *ret) {
        *ret = lv.virDomainLookupByName(v->connection, name);
        return *ret ? 0 : virtlib_failed(v);
}
