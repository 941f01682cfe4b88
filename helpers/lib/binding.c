/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <poll.h>

#include "binding.h"
#include "fs.h"
#include "log.h"
#include "module.h"
#include "nodes.h"
#include "poison.h"
#include "strv.h"

#define PCI_DEVICES   "/sys/bus/pci/devices"
#define PCI_DRIVERS   "/sys/bus/pci/drivers"
#define DRIVERS_PROBE "/sys/bus/pci/drivers_probe"

enum {
        BIND_TIMEOUT_MSEC = 2000, /* for a probe that goes on in the background */
        POLL_MSEC = 20,
        LEAVE_POLL_MSEC = 200,
};

void binder_done(Binder *b) {
        worker_freep(&b->worker);
        free(b->hang);
        strv_free(b->hung);
        b->worker = NULL;
        b->hang = NULL;
        b->hung = NULL;
}

void binder_poison(Binder *b, const PciDevice *d, const char *driver, const char *doing, pid_t child) {
        _cleanup_free_ char *why = NULL;

        if (strv_extend(&b->hung, d->name) < 0)
                log_debug("Cannot remember that %s hangs", d->name);
        if (b->dry_run)
                return;
        if (poison_mark(b->root, d, driver, doing, child, b->timeout_usec, &why) < 0)
                log_debug("Cannot mark %s", d->name);
        if (!b->hang && str_printf(&b->hang, "%s hangs: %s", d->name, why ?: doing) < 0)
                b->hang = NULL;
}

static int get_worker(Binder *b) {
        return b->worker ? 0 : worker_start(b->root, NULL, b->tick, b->userdata, &b->worker);
}

/* A child that did not come back is left behind; the next write gets a new one. */
static int settle(Binder *b, const PciDevice *d, int r, const char *doing) {
        pid_t stuck;

        if (r != -ETIMEDOUT && r != -ECHILD)
                return r;
        stuck = worker_end(TAKE_PTR(b->worker));
        if (r == -ETIMEDOUT)
                binder_poison(b, d, d->driver ?: "n/a", doing, stuck);
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
                r = binder_get(b, d, "d3cold_allowed", &now);
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

/* A driver on its way out has no links any more when its remove() is called, which is done with the device
 * locked
 * (__device_release_driver() in the kernel's drivers/base/dd.c), but uevent names it until the end. Waits for
 * that end. Returns 0 if there is none such, 1 if it is there at the deadline. */
static int await_leaving(Binder *b, const PciDevice *d, uint64_t timeout_usec, char **ret) {
        uint64_t deadline = monotonic_usec() + timeout_usec;

        for (;;) {
                _cleanup_free_ char *line = NULL, *link = NULL;
                const char *driver;
                int r;

                r = binder_get(b, d, "uevent", &line);
                if (r < 0)
                        return r == -ENOENT || r == -ENODEV ? 0 : r;
                driver = startswith(line, "DRIVER=");
                r = driver ? pci_read_driver(b->root, d, &link) : 0;
                if (r < 0 || !driver || link)
                        return r == -ENODEV ? 0 : r;
                if (monotonic_usec() >= deadline)
                        return free_and_strdup(ret, driver) < 0 ? -ENOMEM : 1;
                if (b->tick)
                        b->tick(b->userdata);
                (void) poll(NULL, 0, LEAVE_POLL_MSEC);
        }
}

/* Returns 0 if no driver is on its way out, else -ETIMEDOUT with the function marked. */
static int check_leaving(Binder *b, const PciDevice *d) {
        _cleanup_free_ char *driver = NULL;
        int r;

        r = await_leaving(b, d, b->timeout_usec, &driver);
        if (r <= 0)
                return r;
        binder_poison(b, d, driver, "taking it from its driver", 0);
        return -ETIMEDOUT;
}

int binder_check(Binder *b, const PciDevice *d, char **ret_why) {
        _cleanup_(poison_done) Poison mark = {};
        _cleanup_free_ char *driver = NULL;
        int r;

        r = poison_find(b->root, d, &mark);
        if (r < 0)
                return r;
        if (r == 0)
                return d->driver ? 0 : check_leaving(b, d);
        /* One of ours that is in there still says enough. */
        r = poison_is_stuck(&mark) ? 1 : await_leaving(b, d, 0, &driver);
        if (r > 0)
                *ret_why = TAKE_PTR(mark.why);
        else if (r == 0 && !b->dry_run)
                r = MIN(poison_forget(b->root, d), 0);
        return r;
}

static int unbind(Binder *b, const PciDevice *d) {
        _cleanup_free_ char *path = NULL;
        int r;

        if (str_printf(&path, PCI_DEVICES "/%s/driver/unbind", d->name) < 0)
                return -ENOMEM;
        r = put(b, d, path, d->name, "unbinding it");
        return r == -ENOENT ? 0 : r; /* it has none */
}

/* The kernel says yes before the driver does. Returns 0 once the function is on it. */
static int await_driver(Binder *b, const PciDevice *d, const char *driver) {
        uint64_t deadline = monotonic_usec() + BIND_TIMEOUT_MSEC * USEC_PER_MSEC;

        for (;;) {
                _cleanup_free_ char *now = NULL;
                int r;

                r = pci_read_driver(b->root, d, &now);
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
        if (r >= 0)
                r = await_driver(b, d, driver);
        if (r != -EIO)
                return r;
        /* The kernel is content as well as long as another driver is on its way out. */
        r = check_leaving(b, d);
        return r < 0 ? r : -EIO;
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
        /* A driver that is loaded, just now by us perhaps, takes what is free: bind comes too late then
         * (drivers/base/dd.c, __driver_probe_device()). Which one it was is looked at. */
        return r < 0 && r != -EBUSY ? r : await_driver(b, d, driver);
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

/* Puts the override there if it is another one. */
static int settle_override(Binder *b, const PciDevice *d, const char *wanted) {
        _cleanup_free_ char *override = NULL;
        int r = binder_get_override(b, d, &override);

        return r < 0 || streq_ptr(override, wanted) ? r : put_override(b, d, wanted);
}

static int settle_driver(Binder *b, const PciDevice *d, const HandoverFunction *was) {
        int r = unbind(b, d);

        if (r < 0 || (was && !was->driver))
                return r;
        return was ? rebind(b, d, was->driver) : rebind_any(b, d);
}

int binder_put_back(Binder *b, const PciDevice *d, const HandoverFunction *was) {
        const char *override = was ? was->override : NULL;
        _cleanup_free_ char *driver = NULL;
        bool there, later;
        int r;

        if (strv_contains(b->hung, d->name))
                return -EBUSY; /* one more write would leave one more child behind */
        r = pci_read_driver(b->root, d, &driver);
        if (r < 0)
                return r;
        there = was ? streq_ptr(driver, was->driver) : driver && !nodes_is_vfio_driver(driver);
        /* A rule may have named another driver when this one was bound already. With that name there the
         * kernel does not let it bind again (drivers/pci/pci-driver.c, pci_match_device()). */
        later = !there && was && was->driver && override && !streq(override, was->driver);
        r = settle_override(b, d, later ? NULL : override);
        if (r >= 0 && was && was->d3cold)
                r = binder_set_d3cold(b, d, true);
        if (r >= 0 && !there)
                r = settle_driver(b, d, was);
        return r >= 0 && later ? settle_override(b, d, override) : r;
}
