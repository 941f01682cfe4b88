/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What sysfs says of a function, and a broken kernel or a recorded tree may say: one attribute after the
 * other, a NUL behind each, as far as the input goes. In a tree of one function that is made once. */

#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>

#include "fs.h"
#include "pci.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const attributes[] = { "modalias",  "vendor",           "device",   "class",
                                          "numa_node", "subsystem_vendor", "resource", "subsystem_device",
                                          "boot_vga",  "reset_method",     "config" };

static char tree[] = "/tmp/gpuvm-fuzz-pci-XXXXXX";

static void check(bool holds) {
        if (!holds)
                abort();
}

static int take_away(const char *path, const struct stat *st, int type, struct FTW *ftw) {
        (void) st;
        (void) type;
        (void) ftw;
        return remove(path);
}

static void at_end(void) {
        (void) nftw(tree, take_away, 16, FTW_DEPTH | FTW_PHYS);
}

/* Below the bus, because a link would have to lead somewhere. */
static int open_function(void) {
        static const char path[] = "/sys/bus/pci/devices/0000:01:00.0";
        static int dir = -EBADF;
        int root;

        if (dir >= 0)
                return dir;
        check(mkdtemp(tree) != NULL);
        (void) atexit(at_end);
        root = fs_open_root(tree);
        check(root >= 0 && fs_mkdir_p(root, path, 0755) >= 0);
        dir = fs_open(root, path, O_RDONLY | O_DIRECTORY, 0);
        check(dir >= 0);
        (void) close(root);
        return dir;
}

static void put(int dir, const char *name, const void *data, size_t size) {
        int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

        check(fd >= 0 && write(fd, data, size) == (ssize_t) size);
        (void) close(fd);
}

static void fill(const uint8_t *data, size_t size) {
        int dir = open_function();

        for (size_t i = 0; i < ELEMENTSOF(attributes); i++) {
                const uint8_t *end = size > 0 ? memchr(data, 0, size) : NULL;
                size_t n = end && i + 1 < ELEMENTSOF(attributes) ? (size_t) (end - data) : size;

                if (n > 0)
                        put(dir, attributes[i], data, n);
                else
                        (void) unlinkat(dir, attributes[i], 0);
                n += n < size;
                data += n;
                size -= n;
        }
}

static void check_device(const PciDevice *d) {
        unsigned used = 0;

        check(strcmp(d->name, "0000:01:00.0") == 0 && d->path && *d->path);
        check(d->class <= 0xffffff && d->header_type < 0x80);
        check(d->numa_node >= -1 && d->iommu_group == -1);
        check(d->header_type == 0 || d->class >> 16 == 0x06);
        for (size_t i = 0; i < ELEMENTSOF(d->bar_size); i++)
                used += d->bar_size[i] > 0;
        check(d->n_placed <= used);
        check(!d->unplaced || d->n_placed < used);
        check(!pci_is_nvidia_gpu(d) || (pci_is_display(d) && !pci_is_bridge(d)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(pci_bus_done) PciBus bus = {};
        int root;

        fill(data, size);
        root = fs_open_root(tree);
        check(root >= 0 && pci_scan(root, &bus) >= 0 && bus.n <= 1);
        if (bus.n > 0)
                check_device(&bus.devices[0]);
        (void) close(root);
        return 0;
}
