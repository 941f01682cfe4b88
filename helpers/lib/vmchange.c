/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "vmchange.h"
#include "xml.h"

typedef struct Change {
        XmlDoc *doc;
        const XmlNode *domain;
        const VmFile *f;
        const VmPlan *wanted;
} Change;

/* The child of that name, added where there is none; NULL without memory. */
static const XmlNode *child(const Change *c, const XmlNode *parent, const char *name) {
        return xml_child(parent, name) ?: xml_add(c->doc, parent, name, NULL);
}

/* The topology says the same number: one socket, and no CPU is half of another. */
static int change_cpus(const Change *c) {
        XmlNumber n = xml_number(c->wanted->cpus);
        const XmlNode *vcpu = xml_child(c->domain, "vcpu"),
                      *topology = xml_child(xml_child(c->domain, "cpu"), "topology");
        int r;

        r = vcpu ? xml_set_content(vcpu, n.text) : -EBADMSG;
        if (r >= 0 && xml_attribute(vcpu, "current"))
                r = xml_set(vcpu, "current", n.text);
        if (r < 0 || !topology)
                return r;
        xml_remove(c->doc, topology);
        return xml_add(c->doc, xml_child(c->domain, "cpu"), "topology", "sockets", "1", "dies", "1", "cores",
                       n.text, "threads", "1", NULL)
                        ? 0
                        : -ENOMEM;
}

static int set_kib(const XmlNode *n, uint64_t kib) {
        int r = n ? xml_set_content(n, xml_number(kib).text) : 0;

        return r < 0 || !n ? r : xml_set(n, "unit", "KiB");
}

static int change_memory(const Change *c) {
        int r = xml_child(c->domain, "memory") ? 0 : -EBADMSG;

        if (r >= 0)
                r = set_kib(xml_child(c->domain, "memory"), c->wanted->memory);
        return r < 0 ? r : set_kib(xml_child(c->domain, "currentMemory"), c->wanted->memory);
}

static int change_pages(const Change *c) {
        const XmlNode *backing = child(c, c->domain, "memoryBacking"),
                      *old = backing ? xml_child(backing, "hugepages") : NULL, *pages;

        if (old)
                xml_remove(c->doc, old);
        if (!backing || c->wanted->page == 0)
                return backing ? 0 : -ENOMEM;
        pages = xml_add(c->doc, backing, "hugepages", NULL);
        return pages &&
                                        xml_add(c->doc, pages, "page", "size",
                                                xml_number(c->wanted->page).text, "unit", "KiB", NULL)
                        ? 0
                        : -ENOMEM;
}

static int change_network(const Change *c) {
        const XmlNode *i = xml_child(xml_child(c->domain, "devices"), "interface"),
                      *source = xml_child(i, "source");
        int r;

        r = i ? xml_set(i, "type", "network") : -EBADMSG;
        if (r < 0)
                return r;
        if (source)
                xml_remove(c->doc, source);
        return xml_add(c->doc, i, "source", "network", vmfile_value(c->f, VMKEY_NETWORK), NULL) ? 0 : -ENOMEM;
}

/* Of all cards, at their first function in the guest: where create puts it. */
static int change_rom(const Change *c) {
        const char *value = vmfile_value(c->f, VMKEY_ROM);
        const XmlNode *i = xml_child(xml_child(c->domain, "devices"), "hostdev");

        for (; i; i = xml_next(i)) {
                const XmlNode *old = xml_child(i, "rom");
                const char *function = xml_attribute(xml_child(i, "address"), "function");

                if (old)
                        xml_remove(c->doc, old);
                if (streq(value, "on") || (function && strspn(function, "0x") != strlen(function)))
                        continue;
                if (!xml_add(c->doc, i, "rom", "bar", streq(value, "off") ? "off" : "on", "file",
                             *value == '/' ? value : NULL, NULL))
                        return -ENOMEM;
        }
        return 0;
}

static int change_description(const Change *c) {
        const XmlNode *title = child(c, c->domain, "title");

        return title ? xml_set_content(title, vmfile_value(c->f, VMKEY_DESCRIPTION)) : -ENOMEM;
}

static int change_wish(const Change *c) {
        const XmlNode *element = metadata_find(c->doc), *old = xml_child(element, "wish");
        _cleanup_free_ char *wish = NULL;
        int r = element ? vmfile_gpu_wish(c->f, &wish) : -EBADMSG;

        if (r < 0)
                return r;
        if (old)
                xml_remove(c->doc, old);
        return !wish || xml_add(c->doc, element, "wish", "gpus", wish, NULL) ? 0 : -ENOMEM;
}

static int change(const Change *c, VmKey k) {
        switch (k) {
        case VMKEY_GPU:
                return change_wish(c);
        case VMKEY_ROM:
                return change_rom(c);
        case VMKEY_DESCRIPTION:
                return change_description(c);
        case VMKEY_CPUS:
                return change_cpus(c);
        case VMKEY_MEMORY:
                return change_memory(c);
        case VMKEY_HUGEPAGES:
                return change_pages(c);
        case VMKEY_NETWORK:
                return change_network(c);
        default:
                return -EBADMSG;
        }
}

int vmchange_gpu_wish(const char *xml, const VmFile *f, char **ret) {
        _cleanup_xml_doc_ XmlDoc *doc = NULL;
        int r = xml_read(xml, &doc);

        if (r >= 0)
                r = change_wish(&(Change){ .doc = doc, .domain = xml_root(doc), .f = f });
        return r < 0 ? r : xml_print(doc, ret);
}

int vmchange_definition(const char *xml, const VmFile *f, const VmPlan *wanted, const VmDifferences *l,
                        char **ret) {
        Change c = { .f = f, .wanted = wanted };
        _cleanup_xml_doc_ XmlDoc *doc = NULL;
        unsigned n = 0;
        int r;

        r = xml_read(xml, &doc);
        if (r < 0)
                return r;
        c.doc = doc;
        c.domain = xml_root(doc);
        if (!xml_is(c.domain, "domain"))
                return -EBADMSG;
        for (size_t i = 0; i < l->n && r >= 0; i++)
                if (l->items[i].how == VMCHANGE_RESTART) {
                        r = change(&c, l->items[i].key);
                        n++;
                }
        if (r < 0 || n == 0)
                return r;
        r = xml_print(doc, ret);
        return r < 0 ? r : 1;
}
