/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <limits.h>
#include <stdarg.h>

#include "domain.h"
#include "fs.h"
#include "imagesource.h"
#include "parse.h"
#include "strv.h"
#include "vmdefined.h"
#include "vmfile.h"
#include "vmtold.h"
#include "xml.h"

#define GIB (UINT64_C(1) << 30)

void vmdefined_done(VmDefined *d) {
        metadata_done(&d->metadata);
        free(d->description);
        free(d->network);
        free(d->mac);
        free(d->store);
        free(d->rom);
        *d = (VmDefined){};
}

/* In KiB. libvirt writes that unit itself; another one is somebody's own. */
static int read_kib(const char *number, const char *unit, uint64_t *ret) {
        static const struct {
                const char *unit;
                uint64_t kib;
        } units[] = { { "KiB", 1 },    { "k", 1 },       { "M", 1024 },
                      { "MiB", 1024 }, { "G", 1048576 }, { "GiB", 1048576 } };
        uint64_t n;

        if (!number || parse_u64(number, &n) < 0)
                return -EBADMSG;
        for (size_t i = 0; i < ELEMENTSOF(units); i++)
                if (streq(unit ?: "KiB", units[i].unit) && n <= UINT64_MAX / units[i].kib) {
                        *ret = n * units[i].kib;
                        return 0;
                }
        return -EBADMSG;
}

static int read_size(const XmlNode *domain, VmDefined *d) {
        const XmlNode *memory = xml_child(domain, "memory"),
                      *page = xml_child(xml_child(xml_child(domain, "memoryBacking"), "hugepages"), "page");
        int r;

        r = read_kib(xml_content(memory), xml_attribute(memory, "unit"), &d->memory);
        if (r >= 0 && page)
                r = read_kib(xml_attribute(page, "size"), xml_attribute(page, "unit"), &d->page);
        if (r >= 0 && parse_uint(xml_content(xml_child(domain, "vcpu")), UINT16_MAX, &d->cpus) < 0)
                r = -EBADMSG;
        return r;
}

/* A list of several is none. */
static int read_node(const XmlNode *domain) {
        const char *nodes = xml_attribute(xml_child(xml_child(domain, "numatune"), "memory"), "nodeset");
        unsigned node;

        return nodes && parse_uint(nodes, INT_MAX, &node) >= 0 ? (int) node : -1;
}

static int read_network(const XmlNode *domain, VmDefined *d) {
        const XmlNode *i = xml_child(xml_child(domain, "devices"), "interface");
        int r;

        r = free_and_strdup(&d->network, xml_attribute(xml_child(i, "source"), "network"));
        return r < 0 ? r : free_and_strdup(&d->mac, xml_attribute(xml_child(i, "mac"), "address"));
}

static int read_rom(const XmlNode *domain, VmDefined *d) {
        const XmlNode *card = xml_child(xml_child(domain, "devices"), "hostdev"),
                      *rom = xml_child(card, "rom");

        if (!card)
                return 0;
        return free_and_strdup(&d->rom,
                               streq_ptr(xml_attribute(rom, "bar"), "off") ? "off"
                                                                           : xml_attribute(rom, "file") ?: "on");
}

/* NULL if it has none. */
static const XmlNode *find_store(const XmlNode *domain) {
        const XmlNode *i = xml_child(xml_child(domain, "devices"), "filesystem");

        while (i && !streq_ptr(xml_attribute(xml_child(i, "target"), "dir"), DOMAIN_STORE_TAG))
                i = xml_next(i);
        return i;
}

static int read_store(const XmlNode *domain, char **ret) {
        return free_and_strdup(ret, xml_attribute(xml_child(find_store(domain), "source"), "dir"));
}

/* The element is the document's. */
static int read_domain(const char *xml, XmlDoc **ret_doc, const XmlNode **ret) {
        int r = xml_read(xml, ret_doc);

        if (r < 0)
                return r;
        *ret = xml_root(*ret_doc);
        return xml_is(*ret, "domain") ? 0 : -EBADMSG;
}

int vmdefined_store(const char *xml, char **ret, bool *ret_readonly) {
        _cleanup_xml_doc_ XmlDoc *doc = NULL;
        const XmlNode *domain;
        int r;

        *ret = NULL;
        r = read_domain(xml, &doc, &domain);
        if (r < 0)
                return r;
        *ret_readonly = xml_child(find_store(domain), "readonly");
        return MIN(read_store(domain, ret), 0);
}

int vmdefined_disks(const char *xml, char ***ret) {
        _cleanup_xml_doc_ XmlDoc *doc = NULL;
        _cleanup_strv_ char **l = NULL;
        const XmlNode *domain, *disk;
        int r;

        r = read_domain(xml, &doc, &domain);
        if (r < 0)
                return r;
        disk = xml_child(xml_child(domain, "devices"), "disk");
        for (; disk && r >= 0; disk = xml_next(disk)) {
                const XmlNode *source = xml_child(disk, "source");
                const char *path = xml_attribute(source, "file") ?: xml_attribute(source, "dev");

                r = path ? strv_extend(&l, path) : 0;
        }
        if (r < 0)
                return r;
        *ret = TAKE_PTR(l);
        return 0;
}

int vmdefined_parse(const char *xml, VmDefined *ret) {
        _cleanup_(vmdefined_done) VmDefined d = {};
        _cleanup_xml_doc_ XmlDoc *doc = NULL;
        const XmlNode *domain, *os, *title;
        int r, ours;

        ours = metadata_parse(xml, &d.metadata);
        if (ours <= 0)
                return ours;
        r = read_domain(xml, &doc, &domain);
        if (r < 0)
                return r;
        os = xml_child(domain, "os");
        d.bios = !xml_attribute(os, "firmware") && !xml_child(os, "loader");
        d.pinned = xml_child(xml_child(domain, "cputune"), "vcpupin");
        d.screen = xml_child(xml_child(domain, "devices"), "graphics");
        d.node = read_node(domain);
        title = xml_child(domain, "title");
        r = free_and_strdup(&d.description, title ? xml_content(title) : NULL);
        if (r >= 0)
                r = read_size(domain, &d);
        if (r >= 0)
                r = read_network(domain, &d);
        if (r >= 0)
                r = read_store(domain, &d.store);
        if (r >= 0)
                r = read_rom(domain, &d);
        if (r < 0)
                return r;
        *ret = d;
        d = (VmDefined){};
        return 1;
}

/* An image is named "ubuntu 24.04". */
const char *vmdefined_release(const VmDefined *d) {
        const Metadata *m = &d->metadata;
        const char *system = image_kind_to_string(imagesource_kind_of(m->kind)),
                   *rest = m->image && system ? startswith(m->image, system) : NULL;

        return rest && *rest == ' ' ? rest + 1 : NULL;
}

/* As vmfile_add(). */
_printf_(3, 4) static int add(VmFile *f, VmKey k, const char *format, ...) {
        _cleanup_free_ char *text = NULL;
        va_list ap;
        int n;

        va_start(ap, format);
        n = vasprintf(&text, format, ap);
        va_end(ap);
        return n < 0 ? (text = NULL, -ENOMEM) : vmfile_add(f, k, text);
}

/* What it was made from. Of a machine of before that was written down (vmtold.h) the image's name alone is
 * known. */
static int add_system(VmFile *f, const VmDefined *d) {
        const char *kind = d->metadata.kind, *release = vmdefined_release(d), *image = d->metadata.image;
        int r = 0;

        if (image && !release && !d->metadata.told && vmfile_fits(image))
                r = vmfile_add(f, VMKEY_IMAGE, image);
        if (r >= 0)
                r = vmfile_add(f, streq(kind, "talos") ? VMKEY_TALOS_VERSION : VMKEY_RELEASE, release);
        return r < 0 || d->screen || !streq(kind, "ubuntu") ? r : vmfile_add(f, VMKEY_SERVER, "yes");
}

static int add_vm(VmFile *f, const VmDefined *d) {
        const char *kind = d->metadata.kind;
        int r;

        r = vmfile_add(f, VMKEY_KIND, kind);
        if (r >= 0 && !isempty(d->description) && vmfile_fits(d->description))
                r = vmfile_add(f, VMKEY_DESCRIPTION, d->description);
        if (r >= 0)
                r = add_system(f, d);
        if (r >= 0)
                r = add(f, VMKEY_CPUS, "%u", d->cpus);
        if (r >= 0)
                r = add(f, VMKEY_MEMORY, "%llu", (unsigned long long) d->memory / 1024);
        if (r >= 0 && d->disk > 0)
                r = add(f, VMKEY_DISK, "%llu", (unsigned long long) ((d->disk + GIB - 1) / GIB));
        if (r >= 0 && d->page > 0)
                r = vmfile_add(f, VMKEY_HUGEPAGES, d->page == 2048 ? "2M" : "1G");
        if (r >= 0 && d->bios)
                r = vmfile_add(f, VMKEY_FIRMWARE, "bios");
        if (r >= 0 && d->pinned)
                r = vmfile_add(f, VMKEY_PIN, "yes");
        return r;
}

static int add_gpus(VmFile *f, const VmDefined *d) {
        const Metadata *m = &d->metadata;
        int r = 0;

        if (m->gpu_wish)
                return strv_split(m->gpu_wish, " ", &f->values[VMKEY_GPU]);
        if (!m->gpus)
                return vmfile_add(f, VMKEY_GPU, "none");
        STRV_FOREACH(gpu, m->gpus)
                if (r >= 0)
                        r = vmfile_add(f, VMKEY_GPU, *gpu);
        return r < 0 || !d->rom || streq(d->rom, "on") ? r : vmfile_add(f, VMKEY_ROM, d->rom);
}

static int add_network(VmFile *f, const VmDefined *d) {
        int r;

        r = vmfile_add(f, VMKEY_NETWORK, d->network);
        if (r >= 0)
                r = vmfile_add(f, VMKEY_ADDRESS, d->metadata.address);
        if (r >= 0)
                r = vmfile_add(f, VMKEY_GATEWAY, d->metadata.gateway);
        return r < 0 ? r : vmfile_add(f, VMKEY_MAC, d->mac);
}

int vmdefined_format(const VmDefined *d, bool autostart, char **ret) {
        _cleanup_(vmfile_done) VmFile f = {};
        int r;

        r = add_vm(&f, d);
        if (r >= 0)
                r = add_gpus(&f, d);
        if (r >= 0)
                r = add_network(&f, d);
        if (r >= 0)
                r = vmfile_add(&f, VMKEY_USER, d->metadata.user);
        if (r >= 0)
                r = vmtold_read(d->metadata.told, &f);
        if (r >= 0)
                r = vmfile_add(&f, VMKEY_MODEL_STORE, d->store);
        if (r >= 0 && autostart)
                r = vmfile_add(&f, VMKEY_WANTED_BY, "multi-user.target");
        return r < 0 ? r : vmfile_format(&f, ret);
}
