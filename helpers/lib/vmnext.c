/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "vmnext.h"
#include "bdf.h"
#include "busorder.h"
#include "fs.h"
#include "pcigroup.h"
#include "vmtaken.h"
#include "vmunit.h"

/* Returns 1 and the first machine that is about to start and names this GPU, or 0. */
static int find_for(Bus *bus, const char *gpu, char **ret) {
        _cleanup_strv_ char **units = NULL;
        _cleanup_free_ char *unit = NULL;
        int r;

        r = str_printf(&unit, "gpuvm-vfio@%s.service", gpu);
        if (r >= 0)
                r = busorder_next(bus, unit, &units);
        if (r < 0)
                return r;
        STRV_FOREACH(u, units) {
                r = vmunit_machine(*u, ret);
                if (r != 0)
                        return r;
        }
        return 0;
}

/* Whoever gets one GPU of an IOMMU group gets all that are in it. */
static int find(const Phase *p, Bus *bus, const char *gpu, char **ret) {
        _cleanup_(pci_bus_done) PciBus group = {};
        Bdf bdf;
        int r;

        r = bdf_parse(gpu, &bdf);
        if (r >= 0)
                r = find_for(bus, gpu, ret);
        if (r == 0)
                r = pcigroup_read(p->root, bdf, &group);
        for (size_t i = 0; i < group.n && r == 0; i++)
                if (pci_is_display(&group.devices[i]) && !streq(group.devices[i].name, gpu))
                        r = find_for(bus, group.devices[i].name, ret);
        return r;
}

static int queue_settle(Bus *bus, const char *next) {
        _cleanup_free_ char *unit = NULL;
        int r = str_printf(&unit, "gpuvm-vm-settle@%s.service", next);

        return r < 0 ? r : bus_queue_unit(bus, unit, NULL);
}

int vmnext_keep(Phase *p, Bus *bus, const char *machine, const char *gpu) {
        _cleanup_free_ char *next = NULL;
        int r;

        r = find(p, bus, gpu, &next);
        if (r <= 0)
                return r;
        r = phase_change(p, "keep", gpu, "'%s' is off, and '%s' starts next: it stays on VFIO", machine,
                         next);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = vmtaken_hand_on(p->root, next, gpu);
        if (r < 0)
                return r;
        r = queue_settle(bus, next);
        if (r < 0)
                log_debug("Cannot look later whether '%s' has started: %s", next, bus_message(bus));
        return 1;
}
