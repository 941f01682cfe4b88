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

/* Reads exactly digits hex digits and moves behind them; more than 64 bits cannot come together here. */
static int eat_hex(const char **s, size_t min, size_t max, uint64_t *ret) {
        static const char digits[] = "0123456789abcdef";
        uint64_t v = 0;
        size_t n = 0;

        for (; n <= max; n++) {
                char c = (*s)[n] >= 'A' && (*s)[n] <= 'F' ? (char) ((*s)[n] - 'A' + 'a') : (*s)[n];
                const char *d = c ? strchr(digits, c) : NULL;

                if (!d)
                        break;
                v = v << 4 | (uint64_t) (d - digits);
        }
        if (n < min || n > max)
                return -EINVAL;
        *s += n;
        *ret = v;
        return 0;
}

int bdf_parse(const char *s, Bdf *ret) {
        uint64_t domain, bus, slot, function;

        if (eat_hex(&s, 4, 8, &domain) < 0 || *s++ != ':' || eat_hex(&s, 2, 2, &bus) < 0 || *s++ != ':' ||
            eat_hex(&s, 2, 2, &slot) < 0 || *s++ != '.' || eat_hex(&s, 1, 1, &function) < 0 || *s)
                return -EINVAL;
        if (slot > 0x1f || function > 7)
                return -EINVAL;
        *ret = (Bdf){ (uint32_t) domain, (uint8_t) bus, (uint8_t) slot, (uint8_t) function };
        return 0;
}

const char *bdf_format(Bdf b, char buf[static BDF_STRING_MAX]) {
        (void) snprintf(buf, BDF_STRING_MAX, "%04x:%02x:%02x.%x", (unsigned) b.domain, (unsigned) b.bus,
                        (unsigned) (b.slot & 0x1f), (unsigned) (b.function & 7));
        return buf;
}

int bdf_compare(Bdf a, Bdf b) {
        uint64_t x = (uint64_t) a.domain << 16 | (uint64_t) a.bus << 8 |
                        (uint64_t) (a.slot << 3 | a.function);
        uint64_t y = (uint64_t) b.domain << 16 | (uint64_t) b.bus << 8 |
                        (uint64_t) (b.slot << 3 | b.function);

        return (x > y) - (x < y);
}

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

/* One function's directory. It is opened once: a host has a hundred functions with a dozen attributes each.
 */
typedef struct Node {
        int root, dir;
        const char *name;
} Node;

static int node_hex(const Node *n, const char *attribute, uint64_t max, uint64_t *ret) {
        _cleanup_free_ char *line = NULL;
        int r;

        r = fs_read_line_at(n->dir, attribute, &line);
        return r < 0 ? r : parse_hex(line, max, ret);
}

static int routing_id(Bdf b) {
        return b.bus << 8 | b.slot << 3 | b.function;
}

static int read_path(const Node *n, PciDevice *d) {
        _cleanup_free_ char *link = NULL, *sysfs = NULL, *physfn = NULL;
        int r, offset = 0;
        Bdf pf;

        if (str_printf(&sysfs, PCI_DEVICES "/%s", n->name) < 0)
                return -ENOMEM;
        r = fs_readlink(n->root, sysfs, &link);
        if (r >= 0 && strstr(link, "/devices/"))
                r = free_and_strdup(&d->devpath, strstr(link, "/devices/"));
        if (r == -ENOMEM)
                return r;
        if (fs_readlink_name_at(n->dir, "physfn", &physfn) >= 0 && bdf_parse(physfn, &pf) >= 0) {
                char *last = link ? strrchr(link, '/') : NULL;

                d->virtual_function = true;
                offset = routing_id(d->bdf) - routing_id(pf);
                /* Both hang below the same bridge. */
                if (last && strlen(last + 1) == strlen(physfn))
                        strcpy(last + 1, physfn);
        }
        return stable_path(strempty(link), d, offset, &d->path);
}

static int read_u16(const Node *n, const char *attribute, uint16_t *ret) {
        uint64_t v;
        int r;

        r = node_hex(n, attribute, UINT16_MAX, &v);
        if (r >= 0)
                *ret = (uint16_t) v;
        return r;
}

/* Asked of bridges only: reading config space wakes a sleeping function up, and nothing but base class 06 has
 * another header than that of an endpoint. A function that fell off the bus reads as all ones. */
static uint8_t read_header_type(const Node *n) {
        _cleanup_close_ int fd = openat(n->dir, "config", O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
        uint8_t type;

        if (fd < 0 || pread(fd, &type, 1, CONFIG_HEADER_TYPE) != 1 || type == UINT8_MAX)
                return 0;
        return type & (uint8_t) ~HEADER_MULTIFUNCTION;
}

/* A line per BAR: first address, last address, flags. An unused one is all zeros; one that nobody placed yet
 * starts at zero and still has its size. */
static void read_bars(const Node *n, PciDevice *d) {
        _cleanup_free_ char *text = NULL;
        _cleanup_strv_ char **lines = NULL;

        if (fs_read_at(n->dir, "resource", FS_ATTR_MAX, &text) < 0 || strv_split(text, "\n", &lines) < 0)
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

/* Absent or unreadable: the default of the field stays. Returns 0 or -ENOMEM. */
static int read_optional(const Node *n, PciDevice *d) {
        _cleanup_free_ char *group = NULL, *node = NULL;
        uint64_t boot_vga = 0;
        unsigned v;
        int r;

        r = fs_readlink_name_at(n->dir, "driver", &d->driver);
        if (r == -ENOMEM)
                return r;
        if (fs_readlink_name_at(n->dir, "iommu_group", &group) >= 0 && parse_uint(group, INT32_MAX, &v) >= 0)
                d->iommu_group = (int) v;
        if (fs_read_line_at(n->dir, "numa_node", &node) >= 0 && parse_uint(node, INT32_MAX, &v) >= 0)
                d->numa_node = (int) v;
        if (d->class >> 8 == 0x0300 && node_hex(n, "boot_vga", 1, &boot_vga) >= 0)
                d->boot_vga = boot_vga == 1;
        r = fs_read_line_at(n->dir, "reset_method", &d->reset_method);
        if (r == -ENOMEM)
                return r;
        if (d->class >> 16 == 0x06)
                d->header_type = read_header_type(n);
        read_bars(n, d);
        return 0;
}

static void pci_device_done(PciDevice *d) {
        free(d->driver);
        free(d->reset_method);
        free(d->path);
        free(d->devpath);
        *d = (PciDevice){};
}

/* A device that is being removed answers with one of these, and so does what is no PCI function. Any other
 * error is told: an empty bus must not be the answer of somebody who may not look. */
static bool is_gone(int r) {
        return r == -ENOENT || r == -ENODEV || r == -ENXIO || r == -ENOTDIR || r == -EINVAL || r == -ERANGE ||
                        r == -EISDIR;
}

static int read_identity(const Node *n, PciDevice *d) {
        uint64_t class;
        int r;

        r = node_hex(n, "class", 0xffffff, &class);
        if (r >= 0)
                r = read_u16(n, "vendor", &d->vendor);
        if (r >= 0)
                r = read_u16(n, "device", &d->device);
        if (r < 0)
                return is_gone(r) ? 0 : r;
        d->class = (uint32_t) class;
        if (read_u16(n, "subsystem_vendor", &d->subsystem_vendor) < 0 ||
            read_u16(n, "subsystem_device", &d->subsystem_device) < 0)
                d->subsystem_vendor = d->subsystem_device = 0;
        return 1;
}

/* Returns 1 if read, 0 if the device is gone or is no PCI function as we know them. */
static int read_device(int root, const char *name, PciDevice *ret) {
        _cleanup_(pci_device_done) PciDevice d = { .iommu_group = -1, .numa_node = -1 };
        _cleanup_close_ int dir = -EBADF;
        _cleanup_free_ char *path = NULL;
        Node n = { .root = root, .name = name };
        int r;

        if (bdf_parse(name, &d.bdf) < 0)
                return 0;
        (void) bdf_format(d.bdf, d.name);
        if (str_printf(&path, PCI_DEVICES "/%s", name) < 0)
                return -ENOMEM;
        n.dir = dir = fs_open(root, path, O_PATH | O_DIRECTORY, 0);
        if (dir < 0)
                return is_gone(dir) ? 0 : dir;
        r = read_identity(&n, &d);
        if (r <= 0)
                return r;
        r = read_optional(&n, &d);
        if (r >= 0)
                r = read_path(&n, &d);
        if (r < 0)
                return r;
        *ret = d;
        d = (PciDevice){};
        return 1;
}

static int compare_devices(const void *a, const void *b) {
        return bdf_compare(((const PciDevice *) a)->bdf, ((const PciDevice *) b)->bdf);
}

int pci_scan(int root, PciBus *ret) {
        _cleanup_(pci_bus_done) PciBus bus = {};
        _cleanup_strv_ char **names = NULL;
        int r;

        r = fs_list(root, PCI_DEVICES, &names);
        if (r == -ENOENT) {
                *ret = (PciBus){};
                return 0;
        }
        if (r < 0)
                return r;
        bus.devices = calloc(strv_length(names) + 1, sizeof(PciDevice));
        if (!bus.devices)
                return -ENOMEM;
        STRV_FOREACH(n, names) {
                r = read_device(root, *n, &bus.devices[bus.n]);
                if (r < 0)
                        return r;
                bus.n += (size_t) r;
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

int pci_read_driver(int root, Bdf bdf, char **ret) {
        _cleanup_free_ char *path = NULL, *name = NULL;
        char address[BDF_STRING_MAX];
        int r;

        r = str_printf(&path, PCI_DEVICES "/%s/driver", bdf_format(bdf, address));
        if (r < 0)
                return r;
        r = fs_readlink_name(root, path, &name);
        if (r < 0 && r != -ENOENT)
                return r;
        if (r == -ENOENT) {
                _cleanup_free_ char *parent = strndup(path, strlen(path) - strlen("/driver"));

                if (!parent)
                        return -ENOMEM;
                r = fs_exists(root, parent);
                if (r <= 0)
                        return r < 0 ? r : -ENODEV;
        }
        *ret = TAKE_PTR(name);
        return 0;
}
