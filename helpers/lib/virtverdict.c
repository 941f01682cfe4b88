/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "virtverdict.h"
#include "virtlib.h"
#include "xml.h"

void verdict_done(Verdict *v) {
        free(v->level);
        free(v->when);
        free(v->text);
        *v = (Verdict){};
}

int verdict_parse(const char *xml, Verdict *ret) {
        _cleanup_xml_doc_ XmlDoc *d = NULL;
        const char *level, *when;
        const XmlNode *n;
        int r;

        r = xml_read(xml, &d);
        if (r < 0)
                return r;
        n = xml_root(d);
        level = xml_attribute(n, "level");
        when = xml_attribute(n, "when");
        if (!xml_is(n, "verdict") || isempty(level) || isempty(when))
                return -EBADMSG;
        *ret = (Verdict){ strdup(level), strdup(when), strdup(xml_content(n)) };
        if (ret->level && ret->when && ret->text)
                return 0;
        verdict_done(ret);
        return -ENOMEM;
}

static int make(const char *level, const char *text, char **ret) {
        char when[sizeof("2026-01-01T00:00:00Z")];
        _cleanup_xml_ Xml *x = NULL;
        time_t now = time(NULL);
        struct tm tm;
        int r;

        (void) strftime(when, sizeof(when), "%FT%TZ", gmtime_r(&now, &tm));
        r = xml_new(&x);
        if (r < 0)
                return r;
        xml_text(x, "verdict", text, "level", level, "when", when, NULL);
        return xml_finish(x, ret);
}

int virtverdict_set(Virt *v, const char *name, const char *level, const char *text) {
        _cleanup_domain_ virDomainPtr d = NULL;
        _cleanup_free_ char *xml = NULL;
        int r;

        r = make(level, text, &xml);
        if (r >= 0)
                r = virtlib_look_up(v, name, &d);
        if (r < 0)
                return r;
        return lv.virDomainSetMetadata(d, VIR_DOMAIN_METADATA_ELEMENT, xml, "gpuvm-verdict", VERDICT_URI,
                                       VIR_DOMAIN_AFFECT_LIVE) < 0
                        ? virtlib_failed(v)
                        : 0;
}

int virtverdict_get(Virt *v, const char *name, Verdict *ret) {
        _cleanup_domain_ virDomainPtr d = NULL;
        _cleanup_free_ char *xml = NULL;
        int r;

        r = virtlib_look_up(v, name, &d);
        if (r < 0)
                return r;
        xml = lv.virDomainGetMetadata(d, VIR_DOMAIN_METADATA_ELEMENT, VERDICT_URI, VIR_DOMAIN_AFFECT_LIVE);
        r = xml ? verdict_parse(xml, ret) : virtlib_failed(v);
        if (r == -ENOENT || r == -EBUSY)
                return 0;
        return r < 0 ? r : 1;
}
