/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <poll.h>

#include "binding.h"
#include "fs.h"
#include "log.h"
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

int binder_set_d3cold(Binder *b, const PciDevice *d, bool allowed) {
        _cleanup_free_ char *path = NULL, *now = NULL;
        const char *value = allowed ? "1" : "0";
        int r;

        if (str_printf(&path, PCI_DEVICES "/%s/d3cold_allowed", d->name) < 0)
                return -ENOMEM;
        r = binder_put(b, d, path, value, "writing d3cold_allowed");
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

int binder_is_for_vfio(Binder *b, const PciDevice *d) {
        _cleanup_free_ char *override = NULL;
        const char *driver = d->driver;

        if (!driver) {
                int r = binder_get_override(b, d, &override);

                if (r == -ENOMEM)
                        return r;
                driver = override;
        }
        return driver && nodes_is_vfio_driver(driver);
}

/* Writes driver_override (NULL: clears it, which takes a newline: an empty write is refused) and reads it
 * back. */
static int put_override(Binder *b, const PciDevice *d, const char *value) {
        _cleanup_free_ char *path = NULL, *line = NULL, *now = NULL;
        int r;

        if (str_printf(&path, PCI_DEVICES "/%s/driver_override", d->name) < 0 ||
            str_printf(&line, "%s\n", strempty(value)) < 0)
                return -ENOMEM;
        r = binder_put(b, d, path, line, "writing driver_override");
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
                if (b->stopped && b->stopped())
                        return -EINTR;
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
        if (r == 0) {
                free(b->hang);
                b->hang = NULL;
        }
        return r;
}

/* A write about which it is known whose part it is: driver's, or NULL for nobody knows. */
static int put_for(Binder *b, const PciDevice *d, const char *driver, const char *path, const char *doing) {
        PciDevice with_driver = *d;

        with_driver.driver = (char *) driver;
        return binder_put(b, &with_driver, path, d->name, doing);
}

static int unbind(Binder *b, const PciDevice *d, const char *driver) {
        _cleanup_free_ char *path = NULL;
        int r;

        if (str_printf(&path, PCI_DEVICES "/%s/driver/unbind", d->name) < 0)
                return -ENOMEM;
        r = put_for(b, d, driver, path, "unbinding it");
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
                r = unbind(b, d, d->driver);
        if (r >= 0)
                r = put_for(b, d, driver, DRIVERS_PROBE, "binding it to VFIO");
        if (r >= 0)
                r = await_driver(b, d, driver);
        if (r != -EIO)
                return r;
        /* The kernel is content as well as long as another driver is on its way out. */
        r = check_leaving(b, d);
        return r < 0 ? r : -EIO;
}

/* The deadline has passed, but our child may have come back since, and the driver with it: that is no failure
 * then. */
static int come_late(Binder *b, const PciDevice *d, const char *driver) {
        _cleanup_free_ char *why = NULL;

        return await_driver(b, d, driver) == 0 && binder_check(b, d, &why) == 0 ? 0 : -ETIMEDOUT;
}

/* To the driver that it had: by that driver's own bind, because several may claim the function. */
static int rebind(Binder *b, const PciDevice *d, const char *driver) {
        static const char doing[] = "giving it back to its driver";
        _cleanup_free_ char *bind = NULL;
        int r;

        if (str_printf(&bind, PCI_DRIVERS "/%s/bind", driver) < 0)
                return -ENOMEM;
        r = put_for(b, d, driver, bind, doing);
        if (r == -ENOENT)
                r = put_for(b, d, driver, DRIVERS_PROBE, doing);
        if (r == -ETIMEDOUT)
                return come_late(b, d, driver);
        /* A driver that is loaded, just now by us perhaps, takes what is free: bind comes too late then
         * (drivers/base/dd.c, __driver_probe_device()). Which one it was is looked at. */
        return r < 0 && r != -EBUSY ? r : await_driver(b, d, driver);
}

int binder_load_host(Binder *b, const PciDevice *d, const HandoverFunction *was) {
        _cleanup_free_ char *dir = NULL;
        int r, loaded;

        if (was && (!was->driver || streq_ptr(was->driver, d->driver)))
                return 0;
        if (!was) {
                /* A machine without a driver for it is no failure: the function is free then. */
                r = d->driver && !nodes_is_vfio_driver(d->driver) ? 0 : binder_load_claiming(b, d);
                return r == -ETIMEDOUT ? r : 0;
        }
        if (str_printf(&dir, PCI_DRIVERS "/%s", was->driver) < 0)
                return -ENOMEM;
        r = fs_exists(b->root, dir);
        if (r != 0)
                return MIN(r, 0);
        loaded = binder_load(b, d, was->driver);
        if (loaded == -ETIMEDOUT)
                return loaded;
        r = fs_exists(b->root, dir);
        if (r == 0) {
                /* Its module may have another name: xhci_hcd is in xhci_pci. */
                r = binder_load_claiming(b, d);
                if (r == -ETIMEDOUT)
                        return r;
                r = fs_exists(b->root, dir);
        }
        return r < 0 ? r : r > 0 ? 0 : loaded < 0 ? loaded : -ENOENT;
}

/* Puts the override there if it is another one. */
static int settle_override(Binder *b, const PciDevice *d, const char *wanted) {
        _cleanup_free_ char *override = NULL;
        int r = binder_get_override(b, d, &override);

        return r < 0 || streq_ptr(override, wanted) ? r : put_override(b, d, wanted);
}

static int settle_driver(Binder *b, const PciDevice *d, const char *now, const HandoverFunction *was) {
        int r = unbind(b, d, now);

        if (r < 0 || (was && !was->driver))
                return r;
        return was ? rebind(b, d, was->driver)
                   : put_for(b, d, NULL, DRIVERS_PROBE, "giving it back to the host");
}

/* Of one that was bound at boot nobody knows: the early rule forbids it, and the kernel allows it to every
 * function that it finds (drivers/pci/pci.c, pci_pm_init()). */
static int settle_power(Binder *b, const PciDevice *d, const HandoverFunction *was) {
        _cleanup_free_ char *now = NULL;
        int r;

        if (was)
                return was->d3cold ? binder_set_d3cold(b, d, true) : 0;
        r = binder_get(b, d, "d3cold_allowed", &now);
        if (r < 0)
                return r == -ENOENT ? 0 : r;
        return streq(now, "0") ? binder_set_d3cold(b, d, true) : 0;
}

int binder_put_back(Binder *b, const PciDevice *d, const HandoverFunction *was) {
        const char *override = was ? was->override : NULL;
        _cleanup_free_ char *driver = NULL, *why = NULL;
        bool there, later;
        int r;

        r = binder_check(b, d, &why);
        if (r > 0)
                return -EBUSY; /* one more write would leave one more child behind */
        if (r >= 0)
                r = pci_read_driver(b->root, d, &driver);
        if (r < 0)
                return r;
        there = was ? streq_ptr(driver, was->driver) : driver && !nodes_is_vfio_driver(driver);
        /* A rule may have named another driver when this one was bound already. With that name there the
         * kernel does not let it bind again (drivers/pci/pci-driver.c, pci_match_device()). */
        later = !there && was && was->driver && override && !streq(override, was->driver);
        r = settle_override(b, d, later ? NULL : override);
        if (r >= 0 && !there)
                r = settle_driver(b, d, driver, was);
        /* Not before VFIO has let it go: who is killed between would leave it there without its power. */
        if (r >= 0)
                r = settle_power(b, d, was);
        return r >= 0 && later ? settle_override(b, d, override) : r;
}
