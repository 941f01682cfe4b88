/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "virtdev.h"
#include "virtlib.h"

int virtdev_attach(Virt *v, const char *name, const char *xml) {
        _cleanup_domain_ virDomainPtr d = NULL;
        int r;

        r = virtlib_look_up(v, name, &d);
        if (r < 0)
                return r;
        return lv.virDomainAttachDeviceFlags(d, xml, VIR_DOMAIN_AFFECT_LIVE) < 0 ? virtlib_failed(v) : 0;
}

int virtdev_ask_back(Virt *v, const char *name, const char *alias) {
        _cleanup_domain_ virDomainPtr d = NULL;
        int r;

        r = virtlib_look_up(v, name, &d);
        if (r < 0)
                return r;
        return lv.virDomainDetachDeviceAlias(d, alias, VIR_DOMAIN_AFFECT_LIVE) < 0 ? virtlib_failed(v) : 0;
}

int virtdev_set_metadata(Virt *v, const char *name, const char *element, const char *prefix,
                         const char *uri) {
        _cleanup_domain_ virDomainPtr d = NULL;
        int r;

        r = virtlib_look_up(v, name, &d);
        if (r < 0)
                return r;
        return lv.virDomainSetMetadata(d, VIR_DOMAIN_METADATA_ELEMENT, element, prefix, uri,
                                       VIR_DOMAIN_AFFECT_LIVE) < 0
                        ? virtlib_failed(v)
                        : 0;
}

int virtdev_get_metadata(Virt *v, const char *name, const char *uri, char **ret) {
        _cleanup_domain_ virDomainPtr d = NULL;
        int r;

        r = virtlib_look_up(v, name, &d);
        if (r < 0)
                return r;
        *ret = lv.virDomainGetMetadata(d, VIR_DOMAIN_METADATA_ELEMENT, uri, VIR_DOMAIN_AFFECT_LIVE);
        return *ret ? 0 : virtlib_failed(v);
}
