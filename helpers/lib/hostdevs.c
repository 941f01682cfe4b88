/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "hostdevs.h"
#include "domain.h"
#include "metadata.h"
#include "strv.h"
#include "xml.h"

enum { BUSES = 256, MARGIN_KIB = 1024 * 1024 };

/* libvirt writes numbers as 0x0000, and takes decimal and octal ones as well. */
static bool get(const XmlNode *n, const char *attribute, unsigned long max, unsigned long *ret) {
        const char *value = xml_attribute(n, attribute);
        char *end;

        if (isempty(value))
                return false;
        *ret = strtoul(value, &end, 0);
        return *end == '\0' && *ret <= max;
}

static bool get_address(const XmlNode *n, Bdf *ret) {
        unsigned long domain, bus, slot, function;

        if (!get(n, "domain", UINT32_MAX, &domain))
                domain = 0;
        if (!get(n, "bus", UINT8_MAX, &bus) || !get(n, "slot", 31, &slot) ||
            !get(n, "function", 7, &function))
                return false;
        *ret = (Bdf){ .domain = (uint32_t) domain,
                      .bus = (uint8_t) bus,
                      .slot = (uint8_t) slot,
                      .function = (uint8_t) function };
        return true;
}

/* The function of the host's that a <hostdev> is. */
static bool get_source(const XmlNode *hostdev, Bdf *ret) {
        return streq_ptr(xml_attribute(hostdev, "type"), "pci") &&
                        get_address(xml_child(xml_child(hostdev, "source"), "address"), ret);
}

static int read_domain(const char *xml, XmlDoc **ret) {
        _cleanup_xml_doc_ XmlDoc *doc = NULL;
        int r;

        r = xml_read(xml, &doc);
        if (r < 0)
                return r;
        if (!xml_is(xml_root(doc), "domain"))
                return -EBADMSG;
        *ret = TAKE_PTR(doc);
        return 0;
}

static const XmlNode *devices_of(const XmlDoc *d) {
        return xml_child(xml_root(d), "devices");
}

int hostdevs_parse(const char *xml, char ***ret) {
        _cleanup_xml_doc_ XmlDoc *doc = NULL;
        _cleanup_strv_ char **l = NULL;
        int r;

        r = read_domain(xml, &doc);
        if (r < 0)
                return r;
        for (const XmlNode *n = xml_child(devices_of(doc), "hostdev"); n; n = xml_next(n)) {
                char address[BDF_STRING_MAX];
                Bdf b;

                if (get_source(n, &b) && strv_extend(&l, bdf_format(b, address)) < 0)
                        return -ENOMEM;
        }
        *ret = TAKE_PTR(l);
        return 0;
}

static const XmlNode *find_function(const XmlNode *devices, Bdf function) {
        const XmlNode *n = xml_child(devices, "hostdev");
        Bdf b;

        while (n && !(get_source(n, &b) && bdf_compare(b, function) == 0))
                n = xml_next(n);
        return n;
}

int hostdevs_find(const char *xml, Bdf function, HostdevPlace *ret) {
        _cleanup_xml_doc_ XmlDoc *doc = NULL;
        const XmlNode *n;
        Bdf place = {};
        int r;

        r = read_domain(xml, &doc);
        if (r < 0)
                return r;
        n = find_function(devices_of(doc), function);
        if (!n)
                return 0;
        (void) get_address(xml_child(n, "address"), &place);
        *ret = (HostdevPlace){ .bus = place.bus, .slot = place.slot };
        (void) snprintf(ret->alias, sizeof(ret->alias), "%s",
                        strempty(xml_attribute(xml_child(n, "alias"), "name")));
        return 1;
}

/* Buses of the guest on which something is. */
static void mark_used(const XmlNode *devices, bool used[static BUSES]) {
        for (const XmlNode *n = xml_first(devices); n; n = xml_following(n)) {
                const XmlNode *address = xml_child(n, "address");
                unsigned long bus;

                if (streq_ptr(xml_attribute(address, "type"), "pci") && get(address, "bus", BUSES - 1, &bus))
                        used[bus] = true;
        }
}

/* The bus behind a root port has the number of its controller. */
static bool get_port(const XmlNode *n, unsigned long *ret) {
        return streq_ptr(xml_attribute(n, "type"), "pci") &&
                        streq_ptr(xml_attribute(n, "model"), "pcie-root-port") &&
                        get(n, "index", BUSES - 1, ret);
}

/* Returns how many, by the order in which they are written. */
static size_t find_free(const XmlNode *devices, bool runs, unsigned ports[static BUSES]) {
        bool used[BUSES] = {};
        size_t found = 0;

        mark_used(devices, used);
        for (const XmlNode *n = xml_child(devices, "controller"); n; n = xml_next(n)) {
                unsigned long port;

                if (!get_port(n, &port) || used[port])
                        continue;
                used[port] = true;
                if (!runs || !streq_ptr(xml_attribute(xml_child(n, "target"), "hotplug"), "off"))
                        ports[found++] = (unsigned) port;
        }
        return found;
}

int hostdevs_free_ports(const char *xml, unsigned **ret, size_t *ret_n) {
        _cleanup_xml_doc_ XmlDoc *doc = NULL;
        unsigned *ports;
        int r;

        r = read_domain(xml, &doc);
        if (r < 0)
                return r;
        ports = calloc(BUSES, sizeof(*ports));
        if (!ports)
                return -ENOMEM;
        *ret_n = find_free(devices_of(doc), true, ports);
        *ret = ports;
        return 0;
}

/* Only KVM has the host's address bits to give, and only x86 guests need to be told. */
static bool lacks_address_bits(const XmlNode *domain) {
        const XmlNode *type = xml_child(xml_child(domain, "os"), "type"), *cpu = xml_child(domain, "cpu");

        return streq_ptr(xml_attribute(domain, "type"), "kvm") &&
                        streq_ptr(xml_attribute(type, "arch"), "x86_64") &&
                        !streq_ptr(xml_attribute(xml_child(cpu, "maxphysaddr"), "mode"), "passthrough");
}

/* libvirt lets QEMU lock as much as <hard_limit> says, and without it what VFIO needs: the memory and room
 * for BARs (qemuDomainGetMemLockLimitBytes()). It writes both in KiB. */
static bool is_limited(const XmlNode *domain) {
        const XmlNode *limit = xml_child(xml_child(domain, "memtune"), "hard_limit");
        uint64_t memory = strtoull(xml_content(xml_child(domain, "memory")), NULL, 10);

        return limit && strtoull(xml_content(limit), NULL, 10) < memory + MARGIN_KIB;
}

int hostdevs_refusal(const char *xml, char **ret) {
        _cleanup_xml_doc_ XmlDoc *doc = NULL;
        const char *why = NULL;
        int r;

        r = read_domain(xml, &doc);
        if (r < 0)
                return r;
        if (lacks_address_bits(xml_root(doc)))
                why = "its CPU does not have the host's physical address bits, and a GPU's memory may find no place. "
                      "Stop it and attach again: a machine that is off gets them";
        else if (is_limited(xml_root(doc)))
                why = "its <memtune> limits the memory that may be locked, and VFIO locks all of it and some more. "
                      "Remove <hard_limit> by 'virsh edit', and start it again";
        *ret = NULL;
        return why ? free_and_strdup(ret, why) : 0;
}

static bool is_on_card(const HostdevCard *card, Bdf b) {
        for (size_t i = 0; i < card->n; i++)
                if (bdf_compare(card->functions[i], b) == 0)
                        return true;
        return false;
}

static size_t count_functions(const XmlNode *devices, const HostdevCard *card) {
        size_t found = 0;

        for (size_t i = 0; i < card->n; i++)
                found += find_function(devices, card->functions[i]) != NULL;
        return found;
}

static void remove_functions(XmlDoc *d, const HostdevCard *card) {
        const XmlNode *next;
        Bdf b;

        for (const XmlNode *n = xml_child(devices_of(d), "hostdev"); n; n = next) {
                next = xml_next(n);
                if (get_source(n, &b) && is_on_card(card, b))
                        xml_remove(d, n);
        }
}

/* Returns the new port, or -errno. */
static int add_port(XmlDoc *d) {
        unsigned long index, next = 1;

        for (const XmlNode *n = xml_child(devices_of(d), "controller"); n; n = xml_next(n))
                if (streq_ptr(xml_attribute(n, "type"), "pci") && get(n, "index", BUSES - 1, &index))
                        next = MAX(next, index + 1);
        if (next >= BUSES)
                return -EOPNOTSUPP;
        return xml_add(d, devices_of(d), "controller", "type", "pci", "index", xml_number(next).text, "model",
                       "pcie-root-port", NULL)
                        ? (int) next
                        : -ENOMEM;
}

/* As on the card, unless another than its first function is the first here: as domain.c does. */
static int add_functions(XmlDoc *d, const HostdevCard *card, unsigned port) {
        int r = 0;

        for (size_t i = 0; i < card->n && r >= 0; i++) {
                unsigned function =
                                card->functions[0].function == 0 ? card->functions[i].function : (unsigned) i;
                _cleanup_free_ char *text = NULL;

                r = domain_hostdev_xml(card->functions[i], port, function, card->n > 1, &text);
                if (r >= 0)
                        r = xml_add_text(d, devices_of(d), text);
        }
        return r;
}

/* Returns 1 if it was not all there. */
static int add_card(XmlDoc *d, const HostdevCard *card) {
        unsigned ports[BUSES];
        int r;

        if (count_functions(devices_of(d), card) == card->n)
                return 0;
        remove_functions(d, card);
        r = find_free(devices_of(d), false, ports) > 0 ? (int) ports[0] : add_port(d);
        if (r >= 0)
                r = add_functions(d, card, (unsigned) r);
        return r < 0 ? r : 1;
}

/* What comes while it runs needs a port for each function. */
static int keep_ports_free(XmlDoc *d) {
        unsigned ports[BUSES];
        int r = 0;

        for (size_t n = find_free(devices_of(d), false, ports); n < DOMAIN_SPARE_PORTS && r >= 0; n++)
                r = add_port(d);
        return r == -EOPNOTSUPP ? 0 : MIN(r, 0);
}

static int prepare_memory(XmlDoc *d) {
        const XmlNode *balloon = xml_child(devices_of(d), "memballoon");

        if (balloon && streq_ptr(xml_attribute(balloon, "model"), "none"))
                return 0;
        if (balloon)
                xml_remove(d, balloon);
        return xml_add(d, devices_of(d), "memballoon", "model", "none", NULL) ? 0 : -ENOMEM;
}

/* libvirt takes them for the host's own CPU alone. */
static int prepare_cpu(XmlDoc *d) {
        const XmlNode *cpu = xml_child(xml_root(d), "cpu");

        if (!lacks_address_bits(xml_root(d)) || !streq_ptr(xml_attribute(cpu, "mode"), "host-passthrough"))
                return 0;
        if (xml_child(cpu, "maxphysaddr"))
                xml_remove(d, xml_child(cpu, "maxphysaddr"));
        return xml_add(d, cpu, "maxphysaddr", "mode", "passthrough", NULL) ? 0 : -ENOMEM;
}

static const XmlNode *find_note(const XmlNode *element, const char *address) {
        const XmlNode *n = xml_child(element, "gpu");

        while (n && !streq_ptr(xml_attribute(n, "address"), address))
                n = xml_next(n);
        return n;
}

/* Returns 1 if it was not so. */
static int note(XmlDoc *d, const HostdevCard *card, bool has) {
        const XmlNode *element = metadata_find(d), *n;
        char address[BDF_STRING_MAX];

        if (!element || !card->is_gpu)
                return 0;
        n = find_note(element, bdf_format(card->functions[0], address));
        if (!!n == has)
                return 0;
        if (!has)
                xml_remove(d, n);
        else if (!xml_add(d, element, "gpu", "address", address, NULL))
                return -ENOMEM;
        return 1;
}

static bool has_root_ports(const XmlNode *devices) {
        for (const XmlNode *n = xml_child(devices, "controller"); n; n = xml_next(n))
                if (startswith(strempty(xml_attribute(n, "model")), "pcie-root"))
                        return true;
        return false;
}

int hostdevs_add(const char *xml, const HostdevCard *cards, size_t n, char **ret) {
        _cleanup_xml_doc_ XmlDoc *doc = NULL;
        int r, changed = 0, added = 0;

        r = read_domain(xml, &doc);
        if (r < 0)
                return r;
        if (!has_root_ports(devices_of(doc)))
                return -EOPNOTSUPP;
        for (size_t i = 0; i < n && r >= 0; i++) {
                r = add_card(doc, &cards[i]);
                added |= r;
                if (r >= 0)
                        r = note(doc, &cards[i], true);
                changed |= r;
        }
        if (r >= 0 && added > 0)
                r = keep_ports_free(doc);
        if (r >= 0 && added > 0)
                r = prepare_memory(doc);
        if (r >= 0 && added > 0)
                r = prepare_cpu(doc);
        if (r < 0 || (added | changed) == 0)
                return r;
        r = xml_print(doc, ret);
        return r < 0 ? r : 1;
}

int hostdevs_remove(const char *xml, const HostdevCard *cards, size_t n, char **ret) {
        _cleanup_xml_doc_ XmlDoc *doc = NULL;
        int r, changed = 0;

        r = read_domain(xml, &doc);
        for (size_t i = 0; i < n && r >= 0; i++) {
                changed |= count_functions(devices_of(doc), &cards[i]) > 0;
                remove_functions(doc, &cards[i]);
                r = note(doc, &cards[i], false);
                changed |= r;
        }
        if (r < 0 || changed == 0)
                return r;
        r = xml_print(doc, ret);
        return r < 0 ? r : 1;
}

int hostdevs_note(const char *element, const HostdevCard *cards, size_t n, bool has, char **ret) {
        _cleanup_xml_doc_ XmlDoc *doc = NULL;
        int r, changed = 0;

        r = xml_read(element, &doc);
        if (r >= 0 && (!metadata_find(doc) || xml_is(xml_root(doc), "domain")))
                r = -EBADMSG;
        for (size_t i = 0; i < n && r >= 0; i++) {
                r = note(doc, &cards[i], has);
                changed |= r;
        }
        if (r < 0 || changed == 0)
                return r;
        r = xml_print(doc, ret);
        return r < 0 ? r : 1;
}
