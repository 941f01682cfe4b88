/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "binder.h"
#include "driveruse.h"
#include "errand.h"
#include "fs.h"
#include "log.h"
#include "poison.h"

#define PCI_DEVICES "/sys/bus/pci/devices"

enum { WHO_TIMEOUT_SEC = 10, GROUP_TIMEOUT_SEC = 5 };

void binder_done(Binder *b) {
        worker_freep(&b->worker);
        free(b->hang);
        b->worker = NULL;
        b->hang = NULL;
}

int binder_worker(Binder *b, Worker **ret) {
        int r = b->worker ? 0 : worker_start(b->root, b->tick, b->userdata, &b->worker);

        if (r >= 0)
                *ret = b->worker;
        return r;
}

pid_t binder_end_worker(Binder *b) {
        return b->worker ? worker_end(TAKE_PTR(b->worker)) : 0;
}

static void mark(Binder *b, const PciDevice *d, const char *driver, const char *doing, pid_t child,
                 const char *who) {
        _cleanup_free_ char *why = NULL;

        if (!b->dry_run && poison_mark(b->root, d, driver, doing, child, b->timeout_usec, who, &why) < 0)
                log_debug("Cannot mark %s", d->name);
        if (!b->hang && str_printf(&b->hang, "%s hangs: %s", d->name, why ?: doing) < 0)
                b->hang = NULL;
}

/* Asked as if the driver that hangs still had it. If that hangs as well, nobody knows. */
void binder_poison(Binder *b, const PciDevice *d, const char *driver, const char *doing, pid_t child) {
        PciDevice with_driver = *d;
        const PciDevice *one = &with_driver;
        _cleanup_free_ char *who = NULL;
        Worker *w;
        int r;

        with_driver.driver = (char *) driver;
        with_driver.names = NULL;
        r = binder_worker(b, &w);
        if (r >= 0)
                r = errand_who(w, &one, 1, NULL, true, WHO_TIMEOUT_SEC * USEC_PER_SEC, &who);
        if (r == -ETIMEDOUT || r == -ECHILD)
                (void) binder_end_worker(b);
        mark(b, d, driver, doing, child, strempty(who));
}

/* A child that did not come back is left behind; what is asked next gets a new one. Which driver hangs: what
 * d says may be old by now. The link is there from before probe() until before remove() (drivers/base/dd.c of
 * the kernel, really_probe() and __device_release_driver()). */
static int settle(Binder *b, const PciDevice *d, int r, const char *doing) {
        _cleanup_free_ char *driver = NULL;
        pid_t stuck;

        if (r != -ETIMEDOUT && r != -ECHILD)
                return r;
        stuck = binder_end_worker(b);
        if (r == -ETIMEDOUT && pci_read_driver(b->root, d, &driver) < 0)
                log_debug("Cannot tell which driver has %s", d->name);
        if (r == -ETIMEDOUT)
                binder_poison(b, d, driver ?: d->driver ?: "n/a", doing, stuck);
        return r;
}

/* Who opens or closes a group has its lock meanwhile, and is told by others than a child that waits for it:
 * it is left behind, and goes when that one is through. */
int binder_is_unused(Binder *b, const PciDevice *const *devices, size_t n) {
        Worker *w;
        int r;

        r = binder_worker(b, &w);
        if (r < 0)
                return r;
        r = driveruse_is_none(w, b->root, devices, n, !b->dry_run,
                              MIN(b->timeout_usec, GROUP_TIMEOUT_SEC * USEC_PER_SEC));
        if (r != -ETIMEDOUT && r != -ECHILD)
                return r;
        (void) binder_end_worker(b);
        return r == -ETIMEDOUT ? -EBUSY : 0;
}

int binder_who(Binder *b, const PciDevice *const *devices, size_t n, const char *but, bool processes,
               char **ret) {
        pid_t stuck;
        Worker *w;
        int r;

        r = binder_worker(b, &w);
        if (r >= 0)
                r = errand_who(w, devices, n, but, processes, b->timeout_usec, ret);
        if (r != -ETIMEDOUT && r != -ECHILD)
                return r;
        stuck = binder_end_worker(b);
        /* Who has it open is what could not be asked. */
        if (r == -ETIMEDOUT && n > 0)
                mark(b, devices[0], devices[0]->driver ?: "n/a", "looking who has it open", stuck, "");
        return r;
}

int binder_find_vfio(Binder *b, const PciDevice *const *devices, size_t n, char ***ret) {
        Worker *w;
        int r;

        r = binder_worker(b, &w);
        return r < 0 ? r
                     : settle(b, devices[0], errand_find_vfio(w, devices, n, b->timeout_usec, ret),
                              "looking for its VFIO driver");
}

int binder_load(Binder *b, const PciDevice *d, const char *module) {
        _cleanup_free_ char *doing = NULL;
        Worker *w;
        int r;

        r = str_printf(&doing, "loading the module %s", module);
        if (r >= 0)
                r = binder_worker(b, &w);
        return r < 0 ? r : settle(b, d, errand_load(w, module, b->timeout_usec), doing);
}

int binder_load_claiming(Binder *b, const PciDevice *d) {
        Worker *w;
        int r;

        r = d->modalias ? binder_worker(b, &w) : 0;
        if (r < 0 || !d->modalias)
                return r;
        return settle(b, d, errand_load_alias(w, d->modalias, b->timeout_usec), "loading its driver");
}

int binder_put(Binder *b, const PciDevice *d, const char *path, const char *value, const char *doing) {
        Worker *w;
        int r;

        r = binder_worker(b, &w);
        return r < 0 ? r : settle(b, d, worker_write(w, path, value, b->timeout_usec), doing);
}

int binder_get(Binder *b, const PciDevice *d, const char *attribute, char **ret) {
        _cleanup_free_ char *path = NULL, *doing = NULL;
        Worker *w;
        int r;

        if (str_printf(&path, PCI_DEVICES "/%s/%s", d->name, attribute) < 0 ||
            str_printf(&doing, "reading %s", attribute) < 0)
                return -ENOMEM;
        r = binder_worker(b, &w);
        return r < 0 ? r : settle(b, d, worker_read(w, path, b->timeout_usec, ret), doing);
}
