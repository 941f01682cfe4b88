/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "hostdevs.h"
#include "bdf.h"
#include "strv.h"
#include "xml.h"

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

int hostdevs_parse(const char *xml, char ***ret) {
        _cleanup_xml_doc_ XmlDoc *doc = NULL;
        _cleanup_strv_ char **l = NULL;
        int r;

        r = xml_read(xml, &doc);
        if (r < 0)
                return r;
        if (!xml_is(xml_root(doc), "domain"))
                return -EBADMSG;
        for (const XmlNode *n = xml_child(xml_child(xml_root(doc), "devices"), "hostdev"); n;
             n = xml_next(n)) {
                const char *type = xml_attribute(n, "type");
                char address[BDF_STRING_MAX];
                Bdf b;

                if (streq_ptr(type, "pci") && get_address(xml_child(xml_child(n, "source"), "address"), &b) &&
                    strv_extend(&l, bdf_format(b, address)) < 0)
                        return -ENOMEM;
        }
        *ret = TAKE_PTR(l);
        return 0;
}
