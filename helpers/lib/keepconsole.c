/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "fs.h"
#include "keepsearch.h"
#include "nodes.h"
#include "parse.h"
#include "strv.h"

#define PCI_DEVICES "/sys/bus/pci/devices"

static bool is_bmc_display(const PciDevice *d) {
        return pci_is_display(d) &&
                        (d->vendor == 0x1a03 /* ASPEED */ ||
                         (d->vendor == 0x102b && d->device >= 0x0522 &&
                          d->device <= 0x0538) /* Matrox G200e */
                         || (d->vendor == 0x19e5 && d->device == 0x1711) /* HiSilicon Hibmc */);
}

/* The kernel's consoles that no display shows: serial ones, a hypervisor's. Returns 1 if there is one. */
static int find_serial_consoles(KeepSearch *s) {
        _cleanup_strv_ char **lines = NULL;
        _cleanup_free_ char *text = NULL;
        int r, n = 0;

        if (fs_read(s->root, "/proc/consoles", FS_ATTR_MAX, &text, NULL) < 0)
                return 0;
        r = strv_split(text, "\n", &lines);
        STRV_FOREACH(l, lines) {
                _cleanup_free_ char *link = NULL, *why = NULL;
                int length = (int) strcspn(*l, " \t");

                if (r < 0 || str_printf(&link, "/sys/class/tty/%.*s", length, *l) < 0 ||
                    str_printf(&why, "the console %.*s", length, *l) < 0)
                        return -ENOMEM;
                n += !startswith(*l, "tty") || !strchr("0123456789", (*l)[3]);
                r = keep_add_link(s, link, why);
        }
        return r < 0 ? r : n > 0;
}

/* A display that could show the console in place of NVIDIA's, whose cards are all there to be given away. */
static bool is_another(const PciDevice *d) {
        return pci_is_display(d) && !pci_is_nvidia_gpu(d) && !d->virtual_function &&
                        !(d->driver && nodes_is_vfio_driver(d->driver));
}

/* Returns 1 if there is such a display in this machine that the bus does not have: it may be that of one
 * group alone. */
static int find_another_elsewhere(KeepSearch *s) {
        _cleanup_close_ int all = pci_open(s->root);
        _cleanup_strv_ char **names = NULL;
        int r;

        r = all < 0 ? all : fs_list_fd(all, &names);
        if (r < 0)
                return r == -ENOENT ? 0 : r;
        STRV_FOREACH(name, names) {
                _cleanup_(pci_device_done) PciDevice d = {};
                _cleanup_free_ char *path = NULL;
                uint64_t class;

                if (bdf_parse(*name, &d.bdf) < 0 || pci_find(s->bus, d.bdf))
                        continue;
                if (str_printf(&path, PCI_DEVICES "/%s/class", *name) < 0)
                        return -ENOMEM;
                /* Of a hundred functions two are displays. */
                if (fs_read_hex(s->root, path, &class) < 0 || class >> 16 != 0x03)
                        continue;
                r = pci_read_brief(s->root, all, &d);
                if (r < 0 || (r > 0 && is_another(&d)))
                        return r;
        }
        return 0;
}

/* A GPU that shows the console may go where there is another one: then it is the administrator's choice. */
int keep_consoles(KeepSearch *s) {
        const PciDevice *only = NULL;
        int others = 0, r;

        others = find_serial_consoles(s);
        r = MIN(others, 0);
        for (size_t i = 0; i < s->bus->n && r >= 0; i++) {
                const PciDevice *d = &s->bus->devices[i];

                if (!pci_is_display(d))
                        continue;
                if (is_bmc_display(d))
                        r = keep_add(s, d, "the display of the management controller (BMC)");
                else if (d->boot_vga && !pci_is_nvidia_gpu(d))
                        r = keep_add(s, d, "the display of the console");
                others += is_another(d);
                if (d->boot_vga && pci_is_nvidia_gpu(d))
                        only = d;
        }
        if (r < 0 || !only || others > 0)
                return r;
        r = find_another_elsewhere(s);
        if (r != 0)
                return MIN(r, 0);
        r = keep_add(s, only, "the only console of this machine");
        if (r >= 0)
                s->list.items[s->list.n - 1].consent =
                                bdf_compare(s->list.items[s->list.n - 1].bdf, only->bdf) == 0;
        return r;
}
