/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "virt.h"
#include "fs.h"
#include "strv.h"
#include "virtlib.h"
#include "virtpulse.h"

static const char *const kinds[_VIRT_KIND_MAX] = { [VIRT_POOL] = "pool", [VIRT_NETWORK] = "network" };

const char *virt_kind_to_string(VirtKind k) {
        return k >= 0 && k < _VIRT_KIND_MAX ? kinds[k] : NULL;
}

VirtKind virt_kind_from_string(const char *s) {
        for (VirtKind k = 0; k < _VIRT_KIND_MAX; k++)
                if (streq(kinds[k], s))
                        return k;
        return _VIRT_KIND_INVALID;
}

bool virt_is_elsewhere(const char *uri) {
        const char *host = strstr(uri, "://");

        return host && host[3] != '/' && host[3] != '\0';
}

/* ssh would ask on the terminal whether a host is to be known, or for what opens a key. Who wants that has
 * no_tty=0 in his URI. ret: NULL where the URI is to be as it is. */
static int make_unasking(const char *uri, char **ret) {
        *ret = NULL;
        if (!strstr(uri, "+ssh://") || strstr(uri, "no_tty="))
                return 0;
        return str_printf(ret, "%s%cno_tty=1", uri, strchr(uri, '?') ? '&' : '?');
}

int virt_open(const char *uri, Virt **ret, char **reterr_message) {
        _cleanup_(virt_closep) Virt *v = NULL;
        _cleanup_free_ char *unasking = NULL;
        bool elsewhere = virt_is_elsewhere(uri);
        int r;

        r = virtlib_load();
        if (r < 0) {
                if (reterr_message && !(*reterr_message = strdup(VIRTLIB_NAME " is not installed")))
                        return -ENOMEM;
                return r;
        }
        r = elsewhere ? virtpulse_prepare() : 0;
        v = calloc(1, sizeof(*v));
        if (r < 0 || !v || make_unasking(uri, &unasking) < 0 || (unasking && !(v->uri = strdup(uri))))
                return -ENOMEM;
        v->connection = lv.virConnectOpen(unasking ?: uri);
        if (!v->connection) {
                r = virtlib_failed(v);
                if (reterr_message)
                        *reterr_message = TAKE_PTR(v->message);
                return r;
        }
        r = elsewhere ? virtpulse_start(v, uri) : 0;
        if (r < 0)
                return r;
        *ret = TAKE_PTR(v);
        return 0;
}

int virt_open_root(int root, Virt **ret, char **reterr_message) {
        const char *uri = fs_is_host(root) ? "qemu:///system" : secure_getenv("GPUVM_LIBVIRT_URI");

        if (uri)
                return virt_open(uri, ret, reterr_message);
        if (reterr_message && !(*reterr_message = strdup("a recorded machine has no libvirt")))
                return -ENOMEM;
        return -ENOTCONN;
}

void virt_close(Virt *v) {
        if (!v)
                return;
        if (v->connection)
                (void) lv.virConnectClose(v->connection);
        virtpulse_end(v);
        free(v->message);
        free(v->uri);
        free(v);
}

const char *virt_message(const Virt *v) {
        return strempty(v->message);
}

int virt_uri(Virt *v, char **ret) {
        *ret = v->uri ? strdup(v->uri) : lv.virConnectGetURI(v->connection);
        return *ret ? 0 : virtlib_failed(v);
}

const char *virt_type(Virt *v) {
        return strempty(lv.virConnectGetType(v->connection));
}

int virt_version(Virt *v, unsigned long *ret) {
        unsigned long version;

        if (lv.virConnectGetLibVersion(v->connection, &version) < 0)
                return virtlib_failed(v);
        *ret = version;
        return 0;
}

int virt_count_running(Virt *v, unsigned *ret) {
        int n = lv.virConnectNumOfDomains(v->connection);

        if (n < 0)
                return virtlib_failed(v);
        *ret = (unsigned) n;
        return 0;
}

/* A pool or a network, looked up; exactly one of the two. */
typedef struct Object {
        virStoragePoolPtr pool;
        virNetworkPtr network;
} Object;

static void object_done(Object *o) {
        if (o->pool)
                (void) lv.virStoragePoolFree(o->pool);
        if (o->network)
                (void) lv.virNetworkFree(o->network);
}

static int look_up(Virt *v, VirtKind kind, const char *name, Object *ret) {
        *ret = (Object){};
        if (kind == VIRT_POOL)
                ret->pool = lv.virStoragePoolLookupByName(v->connection, name);
        else
                ret->network = lv.virNetworkLookupByName(v->connection, name);
        return ret->pool || ret->network ? 0 : virtlib_failed(v);
}

/* As look_up(), where there may be none: returns 1 and the object, or 0. */
static int find(Virt *v, VirtKind kind, const char *name, Object *ret) {
        int r = look_up(v, kind, name, ret);

        return r == -ENOENT ? 0 : r < 0 ? r : 1;
}

int virt_state(Virt *v, VirtKind kind, const char *name, VirtState *ret) {
        _cleanup_(object_done) Object o = {};
        int r, persistent, active, autostart = 0;

        r = find(v, kind, name, &o);
        if (r == 0)
                *ret = (VirtState){};
        if (r <= 0)
                return r;
        persistent = o.pool ? lv.virStoragePoolIsPersistent(o.pool) : lv.virNetworkIsPersistent(o.network);
        active = o.pool ? lv.virStoragePoolIsActive(o.pool) : lv.virNetworkIsActive(o.network);
        if (persistent < 0 || active < 0)
                return virtlib_failed(v);
        /* What only lives until it is stopped has no autostart. */
        if (persistent &&
            (o.pool ? lv.virStoragePoolGetAutostart(o.pool, &autostart)
                    : lv.virNetworkGetAutostart(o.network, &autostart)) < 0)
                return virtlib_failed(v);
        *ret = (VirtState){ .defined = persistent, .active = active, .autostart = autostart };
        return 0;
}

/* One that goes meanwhile is left out. */
int virt_networks(Virt *v, char ***ret) {
        _cleanup_strv_ char **l = NULL;
        virNetworkPtr *networks = NULL;
        int n = lv.virConnectListAllNetworks(v->connection, &networks, 0), r = 0;

        if (n < 0)
                return virtlib_failed(v);
        for (int i = 0; i < n; i++) {
                _cleanup_free_ char *xml = lv.virNetworkGetXMLDesc(networks[i], 0);

                if (xml && r >= 0)
                        r = strv_extend(&l, xml);
                (void) lv.virNetworkFree(networks[i]);
        }
        free(networks);
        if (r >= 0)
                *ret = TAKE_PTR(l);
        return r;
}

static const char *const entities[] = { "&amp;", "&lt;", "&gt;", "&apos;", "&quot;" };
static const char specials[] = "&<>'\"";

/* Returns a new string or NULL. */
static char *xml_escape(const char *s) {
        char *out = malloc(strlen(s) * strlen("&quot;") + 1), *p = out;

        for (; out && *s; s++) {
                const char *i = strchr(specials, *s);

                if (i)
                        p = stpcpy(p, entities[i - specials]);
                else
                        *p++ = *s;
        }
        if (out)
                *p = '\0';
        return out;
}

/* In place; for what libvirt has escaped itself. */
static void xml_unescape(char *s) {
        char *out = s;

        while (*s) {
                size_t i, n = 0;

                for (i = 0; i < ELEMENTSOF(entities) && n == 0; i++)
                        if (startswith(s, entities[i])) {
                                n = strlen(entities[i]);
                                *out = specials[i];
                        }
                if (n == 0)
                        *out = *s;
                s += MAX(n, (size_t) 1);
                out++;
        }
        *out = '\0';
}

int virt_pool_path(Virt *v, const char *name, char **ret) {
        _cleanup_(object_done) Object o = {};
        _cleanup_free_ char *xml = NULL;
        char *begin, *end, *path;
        int r;

        r = look_up(v, VIRT_POOL, name, &o);
        if (r < 0)
                return r;
        xml = lv.virStoragePoolGetXMLDesc(o.pool, 0);
        if (!xml)
                return virtlib_failed(v);
        /* libvirt's own output: one <path> in <target>. */
        begin = strstr(xml, "<target>");
        begin = begin ? strstr(begin, "<path>") : NULL;
        end = begin ? strstr(begin, "</path>") : NULL;
        if (!end)
                return -ENOENT;
        begin += strlen("<path>");
        path = strndup(begin, (size_t) (end - begin));
        if (!path)
                return -ENOMEM;
        xml_unescape(path);
        *ret = path;
        return 0;
}

int virt_pool_xml(const char *name, const char *path, char **ret) {
        _cleanup_free_ char *n = xml_escape(name), *p = xml_escape(path);

        if (!n || !p)
                return -ENOMEM;
        /* 0711: QEMU, which is not root, has to reach its image by name. */
        return str_printf(ret,
                          "<pool type='dir'><name>%s</name><target><path>%s</path>"
                          "<permissions><mode>0711</mode></permissions></target></pool>",
                          n, p);
}

int virt_define(Virt *v, VirtKind kind, const char *xml) {
        _cleanup_(object_done) Object o = {};

        if (kind == VIRT_POOL)
                o.pool = lv.virStoragePoolDefineXML(v->connection, xml, 0);
        else
                o.network = lv.virNetworkDefineXML(v->connection, xml);
        return o.pool || o.network ? 0 : virtlib_failed(v);
}

int virt_pool_build(Virt *v, const char *name) {
        _cleanup_(object_done) Object o = {};
        int r;

        r = look_up(v, VIRT_POOL, name, &o);
        if (r < 0)
                return r;
        return lv.virStoragePoolBuild(o.pool, VIR_STORAGE_POOL_BUILD_NEW) < 0 ? virtlib_failed(v) : 0;
}

int virt_start(Virt *v, VirtKind kind, const char *name) {
        _cleanup_(object_done) Object o = {};
        int r;

        r = look_up(v, kind, name, &o);
        if (r < 0)
                return r;
        r = o.pool ? lv.virStoragePoolCreate(o.pool, 0) : lv.virNetworkCreate(o.network);
        return r < 0 ? virtlib_failed(v) : 0;
}

int virt_set_autostart(Virt *v, VirtKind kind, const char *name, bool on) {
        _cleanup_(object_done) Object o = {};
        int r;

        r = look_up(v, kind, name, &o);
        if (r < 0)
                return r;
        r = o.pool ? lv.virStoragePoolSetAutostart(o.pool, on) : lv.virNetworkSetAutostart(o.network, on);
        return r < 0 ? virtlib_failed(v) : 0;
}

int virt_stop(Virt *v, VirtKind kind, const char *name) {
        _cleanup_(object_done) Object o = {};
        int r;

        r = find(v, kind, name, &o);
        if (r <= 0)
                return r;
        r = o.pool ? lv.virStoragePoolIsActive(o.pool) : lv.virNetworkIsActive(o.network);
        if (r > 0)
                r = o.pool ? lv.virStoragePoolDestroy(o.pool) : lv.virNetworkDestroy(o.network);
        return r < 0 ? virtlib_failed(v) : 0;
}

int virt_undefine(Virt *v, VirtKind kind, const char *name) {
        _cleanup_(object_done) Object o = {};
        int r;

        r = find(v, kind, name, &o);
        if (r <= 0)
                return r;
        r = o.pool ? lv.virStoragePoolUndefine(o.pool) : lv.virNetworkUndefine(o.network);
        return r < 0 ? virtlib_failed(v) : 0;
}
