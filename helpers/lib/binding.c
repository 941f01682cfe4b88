/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <poll.h>

#include "binding.h"
#include "fs.h"
#include "log.h"
#include "module.h"
#include "nodes.h"

#define PCI_DEVICES   "/sys/bus/pci/devices"
#define PCI_DRIVERS   "/sys/bus/pci/drivers"
#define DRIVERS_PROBE "/sys/bus/pci/drivers_probe"

enum { BIND_TIMEOUT_MSEC = 2000, POLL_MSEC = 20 }; /* for a probe that goes on in the background */

void binder_done(Binder *b) {
        worker_freep(&b->worker);
        free(b->hang);
        b->worker = NULL;
        b->hang = NULL;
}

int binding_poisoned(int root, const PciDevice *d, char **ret_why) {
        _cleanup_free_ char *path = NULL;
        int r;

        if (str_printf(&path, POISONED_DIR "/%s", d->name) < 0)
                return -ENOMEM;
        r = fs_read_line(root, path, ret_why);
        return r >= 0 ? 1 : r == -ENOENT ? 0 : r;
}

void binder_poison(Binder *b, const PciDevice *d, const char *doing) {
        _cleanup_free_ char *path = NULL, *line = NULL;

        if (str_printf(&path, POISONED_DIR "/%s", d->name) < 0 ||
            str_printf(&line, "the kernel did not come back from %s (driver %s)\n", doing, strna(d->driver)) <
                            0)
                return;
        if (fs_write_atomic(b->root, path, line, strlen(line), 0644) < 0)
                log_debug("Cannot write %s", path);
        if (b->hang)
                return;
        line[strcspn(line, "\n")] = '\0';
        if (str_printf(&b->hang, "%s hangs: %s", d->name, line) < 0)
                b->hang = NULL;
}

static int get_worker(Binder *b) {
        return b->worker ? 0 : worker_start(b->root, NULL, b->tick, b->userdata, &b->worker);
}

/* A child that did not come back is left behind; the next write gets a new one. */
static int settle(Binder *b, const PciDevice *d, int r, const char *doing) {
        if (r == -ETIMEDOUT)
                binder_poison(b, d, doing);
        if (r == -ETIMEDOUT || r == -ECHILD) {
                worker_freep(&b->worker);
                b->worker = NULL;
        }
        return r;
}

static int put(Binder *b, const PciDevice *d, const char *path, const char *value, const char *doing) {
        int r;

        r = get_worker(b);
        return r < 0 ? r : settle(b, d, worker_write(b->worker, path, value, b->timeout_usec), doing);
}

int binder_get(Binder *b, const PciDevice *d, const char *attribute, char **ret) {
        _cleanup_free_ char *path = NULL, *doing = NULL;
        int r;

        if (str_printf(&path, PCI_DEVICES "/%s/%s", d->name, attribute) < 0 ||
            str_printf(&doing, "reading %s", attribute) < 0)
                return -ENOMEM;
        r = get_worker(b);
        return r < 0 ? r : settle(b, d, worker_read(b->worker, path, b->timeout_usec, ret), doing);
}

int binder_set_d3cold(Binder *b, const PciDevice *d, bool allowed) {
        _cleanup_free_ char *path = NULL, *now = NULL;
        const char *value = allowed ? "1" : "0";
        int r;

        if (str_printf(&path, PCI_DEVICES "/%s/d3cold_allowed", d->name) < 0)
                return -ENOMEM;
        r = put(b, d, path, value, "writing d3cold_allowed");
        if (r >= 0)
                r = fs_read_line(b->root, path, &now);
        return r < 0 ? r : streq(now, value) ? 0 : -EIO;
}

int binder_get_override(Binder *b, const PciDevice *d, char **ret) {
        _cleanup_free_ char *line = NULL;
        int r;

        r = binder_get(b, d, "driver_override", &line);
        if (r < 0)
                return r;
        *ret = isempty(line) || streq(line, "(null)") ? NULL : TAKE_PTR(line);
        return 0;
}

/* Writes driver_override (NULL: clears it, which takes a newline: an empty write is refused) and reads it
 * back. */
static int put_override(Binder *b, const PciDevice *d, const char *value) {
        _cleanup_free_ char *path = NULL, *line = NULL, *now = NULL;
        int r;

        if (str_printf(&path, PCI_DEVICES "/%s/driver_override", d->name) < 0 ||
            str_printf(&line, "%s\n", strempty(value)) < 0)
                return -ENOMEM;
        r = put(b, d, path, line, "writing driver_override");
        if (r >= 0)
                r = binder_get_override(b, d, &now);
        if (r < 0)
                return r;
        return streq_ptr(now, value) ? 0 : -EIO;
}

static int unbind(Binder *b, const PciDevice *d) {
        _cleanup_free_ char *driver = NULL, *path = NULL;
        int r;

        r = pci_read_driver(b->root, d->bdf, &driver);
        if (r < 0 || !driver)
                return r;
        if (str_printf(&path, PCI_DEVICES "/%s/driver/unbind", d->name) < 0)
                return -ENOMEM;
        r = put(b, d, path, d->name, "unbinding it");
        return r == -ENOENT ? 0 : r; /* it went by itself in between */
}

/* The kernel says yes before the driver does. Returns 0 once the function is on it. */
static int await_driver(Binder *b, const PciDevice *d, const char *driver) {
        uint64_t deadline = monotonic_usec() + BIND_TIMEOUT_MSEC * USEC_PER_MSEC;

        for (;;) {
                _cleanup_free_ char *now = NULL;
                int r;

                r = pci_read_driver(b->root, d->bdf, &now);
                if (r < 0)
                        return r;
                if (streq_ptr(now, driver))
                        return 0;
                /* On another one: waiting will not help. */
                if (now || monotonic_usec() >= deadline)
                        return -EIO;
                (void) poll(NULL, 0, POLL_MSEC);
        }
}

int binder_bind(Binder *b, const PciDevice *d, const char *driver) {
        int r;

        r = put_override(b, d, driver);
        if (r >= 0)
                r = unbind(b, d);
        if (r >= 0)
                r = put(b, d, DRIVERS_PROBE, d->name, "binding it to VFIO");
        return r < 0 ? r : await_driver(b, d, driver);
}

/* To the driver that it had: by that driver's own bind, because several may claim the function. */
static int rebind(Binder *b, const PciDevice *d, const char *driver) {
        _cleanup_free_ char *bind = NULL;
        int r;

        if (str_printf(&bind, PCI_DRIVERS "/%s/bind", driver) < 0)
                return -ENOMEM;
        r = fs_exists(b->root, bind);
        if (r == 0 && module_load(b->root, driver) >= 0)
                r = fs_exists(b->root, bind);
        if (r < 0)
                return r;
        r = put(b, d, r > 0 ? bind : DRIVERS_PROBE, d->name, "giving it back to its driver");
        return r < 0 ? r : await_driver(b, d, driver);
}

/* To the driver that claims it, which may never have been loaded in this boot. A machine without one is no
 * failure: the function is free. */
static int rebind_any(Binder *b, const PciDevice *d) {
        _cleanup_free_ char *path = NULL, *modalias = NULL;

        if (str_printf(&path, PCI_DEVICES "/%s/modalias", d->name) < 0)
                return -ENOMEM;
        if (fs_read_line(b->root, path, &modalias) >= 0 && module_load_alias(b->root, modalias) < 0)
                log_debug("No module for %s could be loaded", d->name);
        return put(b, d, DRIVERS_PROBE, d->name, "giving it back to the host");
}

int binder_put_back(Binder *b, const PciDevice *d, const HandoverFunction *was) {
        _cleanup_free_ char *override = NULL, *driver = NULL;
        int r;

        r = binder_get_override(b, d, &override);
        if (r >= 0 && !streq_ptr(override, was ? was->override : NULL))
                r = put_override(b, d, was ? was->override : NULL);
        if (r >= 0 && was && was->d3cold)
                r = binder_set_d3cold(b, d, true);
        if (r >= 0)
                r = pci_read_driver(b->root, d->bdf, &driver);
        if (r < 0)
                return r;
        if (was ? streq_ptr(driver, was->driver) : driver && !nodes_is_vfio_driver(driver))
                return 0;
        r = unbind(b, d);
        if (r < 0 || (was && !was->driver))
                return r;
        return was ? rebind(b, d, was->driver) : rebind_any(b, d);
}
