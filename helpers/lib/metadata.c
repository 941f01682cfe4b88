/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "metadata.h"
#include "bdf.h"
#include "parse.h"

void metadata_done(Metadata *m) {
        free(m->kind);
        free(m->created);
        free(m->image);
        free(m->user);
        free(m->address);
        free(m->gateway);
        free(m->mac);
        free(m->seed);
        free(m->log);
        free(m->gpu_wish);
        strv_free(m->disks);
        strv_free(m->gpus);
        strv_free(m->told);
        *m = (Metadata){};
}

/* Somebody may have written it by hand, and delete is going to remove it. */
static bool is_path(const char *s) {
        return s && s[0] == '/' && s[1] && !strstr(s, "/../") && !strstr(s, "//") && !endswith(s, "/..") &&
                        !endswith(s, "/");
}

/* The attribute of the first element of that name, if there is one. */
static int copy(const XmlNode *n, const char *element, const char *attribute, char **ret) {
        return free_and_strdup(ret, xml_attribute(element ? xml_child(n, element) : n, attribute));
}

static int read_disks(const XmlNode *n, char ***ret) {
        for (const XmlNode *d = xml_child(n, "disk"); d; d = xml_next(d)) {
                const char *path = xml_attribute(d, "path");

                if (!is_path(path))
                        return -EBADMSG;
                if (strv_extend(ret, path) < 0)
                        return -ENOMEM;
        }
        return 0;
}

static int read_gpus(const XmlNode *n, char ***ret) {
        for (const XmlNode *g = xml_child(n, "gpu"); g; g = xml_next(g)) {
                const char *address = xml_attribute(g, "address");
                Bdf b;

                if (!address || bdf_parse(address, &b) < 0)
                        return -EBADMSG;
                if (strv_extend(ret, address) < 0)
                        return -ENOMEM;
        }
        return 0;
}

static int read_told(const XmlNode *n, char ***ret) {
        const XmlNode *told = xml_child(n, "told");

        if (!told)
                return 0;
        *ret = calloc(1, sizeof(**ret)); /* none is not "it does not say" */
        if (!*ret)
                return -ENOMEM;
        for (const XmlNode *l = xml_child(told, "line"); l; l = xml_next(l))
                if (strv_extend(ret, xml_content(l)) < 0)
                        return -ENOMEM;
        return 0;
}

static int read_element(const XmlNode *n, Metadata *m) {
        const char *took = xml_attribute(n, "took");
        int r;

        if (isempty(xml_attribute(n, "kind")))
                return -EBADMSG;
        if (copy(n, NULL, "kind", &m->kind) < 0 || copy(n, NULL, "created", &m->created) < 0 ||
            copy(n, "image", "name", &m->image) < 0 || copy(n, "user", "name", &m->user) < 0 ||
            copy(n, "address", "cidr", &m->address) < 0 || copy(n, "address", "gateway", &m->gateway) < 0 ||
            copy(n, "nic", "mac", &m->mac) < 0 || copy(n, "seed", "path", &m->seed) < 0 ||
            copy(n, "log", "path", &m->log) < 0 || copy(n, "wish", "gpus", &m->gpu_wish) < 0)
                return -ENOMEM;
        if ((m->seed && !is_path(m->seed)) || (m->log && !is_path(m->log)))
                return -EBADMSG;
        if (took && parse_uint(took, UINT32_MAX, &m->took_sec) < 0)
                m->took_sec = 0;
        r = read_disks(n, &m->disks);
        if (r >= 0)
                r = read_gpus(n, &m->gpus);
        return r < 0 ? r : read_told(n, &m->told);
}

/* libvirt gives the element alone without its name space: virDomainGetMetadata() of libvirt. */
const XmlNode *metadata_find(const XmlDoc *d) {
        const XmlNode *n, *root = xml_root(d);

        if (xml_is(root, "vm"))
                return isempty(xml_space(root)) || streq(xml_space(root), METADATA_URI) ? root : NULL;
        n = xml_is(root, "domain") ? xml_child(xml_child(root, "metadata"), "vm") : NULL;
        while (n && !streq(xml_space(n), METADATA_URI))
                n = xml_next(n);
        return n;
}

int metadata_parse(const char *xml, Metadata *ret) {
        _cleanup_(metadata_done) Metadata m = {};
        _cleanup_xml_doc_ XmlDoc *d = NULL;
        const XmlNode *n;
        int r;

        r = xml_read(xml, &d);
        if (r < 0)
                return r;
        n = metadata_find(d);
        if (!n)
                return 0;
        r = read_element(n, &m);
        if (r < 0)
                return r;
        *ret = m;
        m = (Metadata){};
        return 1;
}
