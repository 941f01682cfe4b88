/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "vmdefined.h"
#include "fs.h"
#include "imagesource.h"
#include "parse.h"
#include "xml.h"

#define GIB (UINT64_C(1) << 30)

void vmdefined_done(VmDefined *d) {
        metadata_done(&d->metadata);
        free(d->description);
        free(d->network);
        free(d->mac);
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

static int read_network(const XmlNode *domain, VmDefined *d) {
        const XmlNode *i = xml_child(xml_child(domain, "devices"), "interface");
        int r;

        r = free_and_strdup(&d->network, xml_attribute(xml_child(i, "source"), "network"));
        return r < 0 ? r : free_and_strdup(&d->mac, xml_attribute(xml_child(i, "mac"), "address"));
}

int vmdefined_disks(const char *xml, char ***ret) {
        _cleanup_xml_doc_ XmlDoc *doc = NULL;
        _cleanup_strv_ char **l = NULL;
        const XmlNode *disk;
        int r;

        r = xml_read(xml, &doc);
        if (r < 0)
                return r;
        disk = xml_child(xml_child(xml_root(doc), "devices"), "disk");
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
        r = xml_read(xml, &doc);
        if (r < 0)
                return r;
        domain = xml_root(doc);
        if (!xml_is(domain, "domain"))
                return -EBADMSG;
        os = xml_child(domain, "os");
        d.bios = !xml_attribute(os, "firmware") && !xml_child(os, "loader");
        d.pinned = xml_child(xml_child(domain, "cputune"), "vcpupin");
        title = xml_child(domain, "title");
        r = free_and_strdup(&d.description, title ? xml_content(title) : NULL);
        if (r >= 0)
                r = read_size(domain, &d);
        if (r >= 0)
                r = read_network(domain, &d);
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

static void print_vm(const VmDefined *d, FILE *f) {
        const char *kind = d->metadata.kind, *release = vmdefined_release(d);

        fprintf(f, "[Vm]\nKind=%s\n", kind);
        if (!isempty(d->description))
                fprintf(f, "Description=%s\n", d->description);
        if (release && !streq(kind, "talos"))
                fprintf(f, "Release=%s\n", release);
        fprintf(f, "Cpus=%u\nMemory=%llu\n", d->cpus, (unsigned long long) d->memory / 1024);
        if (d->disk > 0)
                fprintf(f, "Disk=%llu\n", (unsigned long long) ((d->disk + GIB - 1) / GIB));
        if (d->page > 0)
                fprintf(f, "Hugepages=%s\n", d->page == 2048 ? "2M" : "1G");
        if (d->bios)
                fputs("Firmware=bios\n", f);
        if (d->pinned)
                fputs("Pin=yes\n", f);
}

static void print_line(FILE *f, const char *section, bool *has_section, const char *key, const char *value) {
        if (!value)
                return;
        if (!*has_section)
                fprintf(f, "\n[%s]\n", section);
        *has_section = true;
        fprintf(f, "%s=%s\n", key, value);
}

static void print_rest(const VmDefined *d, const char *gpus, FILE *f) {
        const Metadata *m = &d->metadata;
        bool network = false, guest = false;

        fprintf(f, "\n[Gpu]\nGpu=%s\n", gpus);
        print_line(f, "Network", &network, "Network", d->network);
        print_line(f, "Network", &network, "Address", m->address);
        print_line(f, "Network", &network, "Gateway", m->gateway);
        print_line(f, "Network", &network, "Mac", d->mac);
        print_line(f, "Guest", &guest, "User", m->user);
}

int vmdefined_format(const VmDefined *d, bool autostart, char **ret) {
        const Metadata *m = &d->metadata;
        _cleanup_free_ char *gpus = m->gpu_wish ? strdup(m->gpu_wish)
                        : m->gpus               ? strv_join(m->gpus, " ")
                                                : strdup("none"),
                            *text = NULL;
        size_t size;
        bool failed;
        FILE *f;

        f = gpus ? open_memstream(&text, &size) : NULL;
        if (!f)
                return -ENOMEM;
        print_vm(d, f);
        print_rest(d, gpus, f);
        if (autostart)
                fputs("\n[Install]\nWantedBy=multi-user.target\n", f);
        failed = ferror(f) != 0;
        if (fclose(f) != 0 || failed)
                return -ENOMEM;
        *ret = TAKE_PTR(text);
        return 0;
}
