/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pci.h"
#include "fs.h"
#include "parse.h"
#include "strv.h"

#define PCI_DEVICES "/sys/bus/pci/devices"

enum {
        VENDOR_NVIDIA = 0x10de,
        CONFIG_HEADER_TYPE = 0x0e,
        HEADER_MULTIFUNCTION = 0x80,
        HEADER_BRIDGE = 1,
        HEADER_CARDBUS = 2,
        RESOURCE_MEMORY = 0x200,        /* IORESOURCE_MEM of the kernel's include/linux/ioport.h */
        RESOURCE_UNPLACED = 0x20000000, /* IORESOURCE_UNSET */
};

/* The stable path: "pci-" and the address of the function on the root bus, in full, then "/SLOT.FUNCTION" for
 * each function further down: "pci-0000:00:01.0/00.0" is function 0 behind the root port 00:01.0. A root bus
 * has its number from the firmware; every bus below it is numbered in the order of discovery and changes when
 * a card is added elsewhere, which is why their numbers are not in the path. A domain inside a function
 * (Intel VMD) goes on in the same way. An SR-IOV virtual function is its physical function's path, "+" and
 * the distance between the two routing ids. The path says which slot, not which card: whoever must not take
 * one card for another compares the ids as well. */
static int stable_path(const char *link, const PciDevice *d, int vf_offset, char **ret) {
        _cleanup_strv_ char **parts = NULL, **path = NULL;
        bool first = true;
        char *joined;
        int r;

        r = strv_split(link, "/", &parts);
        STRV_FOREACH(p, parts) {
                Bdf b;

                if (r < 0)
                        return r;
                if (bdf_parse(*p, &b) < 0)
                        continue;
                if (first)
                        r = strv_extendf(&path, "pci-%s", *p);
                else
                        r = strv_extendf(&path, "%02x.%x", (unsigned) b.slot, (unsigned) b.function);
                first = false;
        }
        /* Not a link, or one that names nothing: then the device's own address is all there is. */
        if (r >= 0 && first)
                r = strv_extendf(&path, "pci-%s", d->name);
        if (r < 0)
                return r;
        joined = strv_join(path, "/");
        if (!joined)
                return -ENOMEM;
        if (vf_offset == 0) {
                *ret = joined;
                return 0;
        }
        r = str_printf(ret, "%s+%d", joined, vf_offset);
        free(joined);
        return r;
}

static int read_hex(const PciDevice *d, const char *attribute, uint64_t max, uint64_t *ret) {
        _cleanup_free_ char *line = NULL;
        int r;

        r = fs_read_attr_at(d->dir, attribute, &line);
        return r < 0 ? r : parse_hex(line, max, ret);
}

static int routing_id(Bdf b) {
        return b.bus << 8 | b.slot << 3 | b.function;
}

static int read_path(int all, PciDevice *d) {
        _cleanup_free_ char *link = NULL, *physfn = NULL;
        int r, offset = 0;
        Bdf pf;

        r = fs_readlink_at(all, d->name, &link);
        if (r >= 0 && strstr(link, "/devices/"))
                r = free_and_strdup(&d->devpath, strstr(link, "/devices/"));
        if (r == -ENOMEM)
                return r;
        if (fs_readlink_name_at(d->dir, "physfn", &physfn) >= 0 && bdf_parse(physfn, &pf) >= 0) {
                char *last = link ? strrchr(link, '/') : NULL;

                d->virtual_function = true;
                offset = routing_id(d->bdf) - routing_id(pf);
                /* Both hang below the same bridge. */
                if (last && strlen(last + 1) == strlen(physfn))
                        strcpy(last + 1, physfn);
        }
        return stable_path(strempty(link), d, offset, &d->path);
}

/* Asked of bridges only: reading config space wakes a sleeping function up, and nothing but base class 06 has
 * another header than that of an endpoint. A function that fell off the bus reads as all ones. */
static uint8_t read_header_type(const PciDevice *d) {
        _cleanup_close_ int fd = openat(d->dir, "config", O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
        uint8_t type;

        if (fd < 0 || pread(fd, &type, 1, CONFIG_HEADER_TYPE) != 1 || type == UINT8_MAX)
                return 0;
        return type & (uint8_t) ~HEADER_MULTIFUNCTION;
}

/* A line per BAR: first address, last address, flags. An unused one is all zeros; one that nobody placed yet
 * starts at zero and still has its size. */
void pci_read_bars(PciDevice *d) {
        _cleanup_free_ char *text = NULL;
        _cleanup_strv_ char **lines = NULL;

        if (fs_read_attr_at(d->dir, "resource", &text) < 0 || strv_split(text, "\n", &lines) < 0)
                return;
        for (size_t i = 0; i < ELEMENTSOF(d->bar_size) && i < strv_length(lines); i++) {
                _cleanup_strv_ char **words = NULL;
                uint64_t first, last, flags = 0;

                if (strv_split(lines[i], " ", &words) < 0 || strv_length(words) < 2 ||
                    parse_hex(words[0], UINT64_MAX, &first) < 0 ||
                    parse_hex(words[1], UINT64_MAX, &last) < 0 ||
                    (words[2] && parse_hex(words[2], UINT64_MAX, &flags) < 0))
                        return;
                d->bar_size[i] = last > first ? last - first + 1 : 0;
                if (d->bar_size[i] == 0 || !(flags & RESOURCE_MEMORY))
                        continue;
                if (first == 0 || (flags & RESOURCE_UNPLACED))
                        d->unplaced = true;
                else
                        d->n_placed++;
        }
}

static int read_driver(PciDevice *d) {
        int r = fs_readlink_name_at(d->dir, "driver", &d->driver);

        return r == -ENOMEM ? r : 0;
}

/* What the kernel remembers of it: nothing is asked of the device, which stays asleep, and no lock is taken
 * (boot_vga_show() in drivers/pci/pci-sysfs.c). */
static void read_boot_vga(PciDevice *d) {
        uint64_t boot_vga = 0;

        if (d->class >> 8 == 0x0300 && read_hex(d, "boot_vga", 1, &boot_vga) >= 0)
                d->boot_vga = boot_vga == 1;
}

/* Absent or unreadable: the default of the field stays. Returns 0 or -ENOMEM. */
static int read_optional(PciDevice *d) {
        _cleanup_free_ char *group = NULL, *node = NULL;
        unsigned v;
        int r;

        r = read_driver(d);
        if (r < 0)
                return r;
        if (fs_readlink_name_at(d->dir, "iommu_group", &group) >= 0 && parse_uint(group, INT32_MAX, &v) >= 0)
                d->iommu_group = (int) v;
        if (fs_read_attr_at(d->dir, "numa_node", &node) >= 0 && parse_uint(node, INT32_MAX, &v) >= 0)
                d->numa_node = (int) v;
        read_boot_vga(d);
        r = fs_read_attr_at(d->dir, "reset_method", &d->reset_method);
        if (r == -ENOMEM)
                return r;
        if (d->class >> 16 == 0x06)
                d->header_type = read_header_type(d);
        pci_read_bars(d);
        return 0;
}

void pci_device_done(PciDevice *d) {
        free(d->driver);
        free(d->reset_method);
        free(d->path);
        free(d->devpath);
        free(d->modalias);
        strv_free(d->names);
        if (d->dir > 0)
                (void) close(d->dir);
        *d = (PciDevice){};
}

/* A device that is being removed answers with one of these, and so does what is no PCI function. Any other
 * error is told: an empty bus must not be the answer of somebody who may not look. */
static bool is_gone(int r) {
        return r == -ENOENT || r == -ENODEV || r == -ENXIO || r == -ENOTDIR || r == -EINVAL || r == -ERANGE ||
                        r == -EISDIR;
}

/* "pci:v000010DEd00002684sv00001458sd000040E5bc03sc00i00" has it all: modalias_show() in the kernel's
 * drivers/pci/pci-sysfs.c. Returns 1 if it does. */
static int parse_modalias(PciDevice *d) {
        unsigned vendor, device, subvendor, subdevice, base, sub, interface;
        int n = 0;

        if (sscanf(d->modalias, "pci:v%8Xd%8Xsv%8Xsd%8Xbc%2Xsc%2Xi%2X%n", &vendor, &device, &subvendor,
                   &subdevice, &base, &sub, &interface, &n) != 7 ||
            d->modalias[n] || (vendor | device | subvendor | subdevice) > UINT16_MAX)
                return 0;
        d->vendor = (uint16_t) vendor;
        d->device = (uint16_t) device;
        d->subsystem_vendor = (uint16_t) subvendor;
        d->subsystem_device = (uint16_t) subdevice;
        d->class = base << 16 | sub << 8 | interface;
        return 1;
}

static int read_u16(const PciDevice *d, const char *attribute, uint16_t *ret) {
        uint64_t v;
        int r;

        r = read_hex(d, attribute, UINT16_MAX, &v);
        if (r >= 0)
                *ret = (uint16_t) v;
        return r;
}

static int read_identity(PciDevice *d) {
        uint64_t class;
        int r;

        r = fs_read_attr_at(d->dir, "modalias", &d->modalias);
        if (r == -ENOMEM || (r >= 0 && parse_modalias(d)))
                return r < 0 ? r : 1;
        r = read_hex(d, "class", 0xffffff, &class);
        if (r >= 0)
                r = read_u16(d, "vendor", &d->vendor);
        if (r >= 0)
                r = read_u16(d, "device", &d->device);
        if (r < 0)
                return is_gone(r) ? 0 : r;
        d->class = (uint32_t) class;
        if (read_u16(d, "subsystem_vendor", &d->subsystem_vendor) < 0 ||
            read_u16(d, "subsystem_device", &d->subsystem_device) < 0)
                d->subsystem_vendor = d->subsystem_device = 0;
        return 1;
}

/* Opens its directory: a host has a hundred functions with a dozen attributes each. */
static int open_device(int root, PciDevice *d) {
        _cleanup_free_ char *path = NULL;

        (void) bdf_format(d->bdf, d->name);
        d->iommu_group = d->numa_node = -1;
        if (str_printf(&path, PCI_DEVICES "/%s", d->name) < 0)
                return -ENOMEM;
        d->dir = fs_open(root, path, O_RDONLY | O_DIRECTORY, 0);
        if (d->dir < 0)
                return is_gone(d->dir) ? 0 : d->dir;
        return read_identity(d);
}

int pci_open(int root) {
        return fs_open(root, PCI_DEVICES, O_RDONLY | O_DIRECTORY, 0);
}

static int read_whole(int root, int all, PciDevice *d) {
        int r;

        r = open_device(root, d);
        if (r <= 0)
                return r;
        r = read_optional(d);
        if (r >= 0)
                r = read_path(all, d);
        return r < 0 ? r : 1;
}

int pci_read_brief(int root, int all, PciDevice *d) {
        int r;

        r = open_device(root, d);
        if (r <= 0)
                return r;
        r = read_driver(d);
        if (d->class >> 16 == 0x06)
                d->header_type = read_header_type(d);
        if (!pci_is_display(d))
                return r < 0 ? r : 1;
        read_boot_vga(d);
        if (r >= 0)
                r = read_path(all, d);
        return r < 0 ? r : 1;
}

static int compare_devices(const void *a, const void *b) {
        return bdf_compare(((const PciDevice *) a)->bdf, ((const PciDevice *) b)->bdf);
}

int pci_scan(int root, PciBus *ret) {
        _cleanup_(pci_bus_done) PciBus bus = {};
        _cleanup_close_ int all = pci_open(root);
        _cleanup_strv_ char **names = NULL;
        int r;

        if (all == -ENOENT) {
                *ret = (PciBus){};
                return 0;
        }
        r = all < 0 ? all : fs_list_fd(all, &names);
        if (r < 0)
                return r;
        bus.devices = calloc(strv_length(names) + 1, sizeof(PciDevice));
        if (!bus.devices)
                return -ENOMEM;
        STRV_FOREACH(n, names) {
                _cleanup_(pci_device_done) PciDevice d = {};

                r = bdf_parse(*n, &d.bdf) < 0 ? 0 : read_whole(root, all, &d);
                if (r < 0)
                        return r;
                if (r == 0)
                        continue;
                d.dir = safe_close(d.dir);
                bus.devices[bus.n++] = d;
                d = (PciDevice){};
        }
        qsort(bus.devices, bus.n, sizeof(PciDevice), compare_devices);
        *ret = bus;
        bus = (PciBus){};
        return 0;
}

void pci_bus_done(PciBus *bus) {
        for (size_t i = 0; i < bus->n; i++)
                pci_device_done(&bus->devices[i]);
        free(bus->devices);
        *bus = (PciBus){};
}

const PciDevice *pci_find(const PciBus *bus, Bdf bdf) {
        PciDevice key = { .bdf = bdf };

        if (bus->n == 0)
                return NULL;
        return bsearch(&key, bus->devices, bus->n, sizeof(PciDevice), compare_devices);
}

bool pci_is_display(const PciDevice *d) {
        return d->class >> 16 == 0x03;
}

bool pci_is_nvidia_gpu(const PciDevice *d) {
        return d->vendor == VENDOR_NVIDIA && (d->class >> 8 == 0x0300 || d->class >> 8 == 0x0302) &&
                        !d->virtual_function;
}

bool pci_is_bridge(const PciDevice *d) {
        if (d->header_type == HEADER_BRIDGE || d->header_type == HEADER_CARDBUS)
                return true;
        switch (d->class >> 8) {
        case 0x0600: /* host */
        case 0x0601: /* ISA */
        case 0x0604: /* PCI, when its header could not be read */
        case 0x0607: /* CardBus */
        case 0x0609: /* semi-transparent */
                return true;
        default:
                return false;
        }
}

bool pci_is_nvswitch(const PciDevice *d) {
        return d->vendor == VENDOR_NVIDIA && d->class >> 8 == 0x0680;
}

bool pci_same_kind(const PciDevice *a, const PciDevice *b) {
        return a->vendor == b->vendor && a->device == b->device &&
                        a->subsystem_vendor == b->subsystem_vendor &&
                        a->subsystem_device == b->subsystem_device;
}

bool pci_same_slot(const PciDevice *a, const PciDevice *b) {
        return a->bdf.domain == b->bdf.domain && a->bdf.bus == b->bdf.bus && a->bdf.slot == b->bdf.slot;
}

int pci_read_driver(int root, const PciDevice *d, char **ret) {
        _cleanup_free_ char *path = NULL, *name = NULL;
        int r;

        /* That of a function that was pulled out has nothing in it, also if one is at its address again. */
        if (d->dir > 0 && fs_readlink_name_at(d->dir, "driver", ret) >= 0)
                return 0;
        r = str_printf(&path, PCI_DEVICES "/%s/driver", d->name);
        if (r < 0)
                return r;
        r = fs_readlink_name(root, path, &name);
        if (r < 0 && r != -ENOENT)
                return r;
        if (r == -ENOENT) {
                path[strlen(path) - strlen("/driver")] = '\0';
                r = fs_exists(root, path);
                if (r <= 0)
                        return r < 0 ? r : -ENODEV;
        }
        *ret = TAKE_PTR(name);
        return 0;
}

int pci_read_presence(int root, const PciDevice *d, uint64_t *ret) {
        _cleanup_free_ char *path = NULL;
        struct stat st;
        int r;

        if (d->dir > 0)
                r = RET_NERRNO(fstat(d->dir, &st));
        else
                r = str_printf(&path, PCI_DEVICES "/%s", d->name) < 0 ? -ENOMEM : fs_stat(root, path, &st);
        if (r >= 0)
                *ret = st.st_ino;
        return r;
}
