/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <sys/statvfs.h>
#include <sys/timex.h>

#include "bridge.h"
#include "bridgefilter.h"
#include "bridgezone.h"
#include "evidence.h"
#include "fs.h"
#include "gpustate.h"
#include "hostnet.h"
#include "imagecache.h"
#include "strv.h"
#include "worker.h"

enum {
        VIRT_SEC = 5,
        STORAGE_SEC = 3,
        GPUS_SEC = 10, /* a process takes some 50 us */
        NTP_ERROR_MAX_USEC = 16 * 1000 * 1000,
};

void evidence_done(Evidence *e) {
        for (size_t i = 0; i < e->n_disks; i++)
                free(e->disks[i].path);
        for (size_t i = 0; i < e->n_gpus; i++) {
                free(e->gpus[i].address);
                free(e->gpus[i].owner);
        }
        free(e->disks);
        free(e->gpus);
        strv_free(e->damaged);
        virtanswers_done(&e->virt);
        virtroutes_done(&e->routes);
        json_putp(&e->record);
        *e = (Evidence){};
}

/* --- what a child does: its answer is a piece of the record */

static int give(json_object *o, char answer[WORKER_ANSWER_MAX]) {
        const char *text = o ? json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN) : NULL;

        if (!text)
                return -ENOMEM;
        if (strlen(text) >= WORKER_ANSWER_MAX)
                return -E2BIG;
        strcpy(answer, text);
        return 0;
}

static int serve_virt(int root, const char *request, size_t n, char answer[WORKER_ANSWER_MAX]) {
        _cleanup_(virtanswers_done) VirtAnswers a = {};
        _cleanup_(conf_done) Conf c = {};
        _cleanup_json_ json_object *o = NULL;
        int r;

        r = conf_load(root, NULL, NULL, &c);
        if (r >= 0)
                r = virtcheck_ask(root, &c, &a);
        if (r >= 0)
                r = virtcheck_to_json(&a, &o);
        return r < 0 ? r : give(o, answer);
}

static int serve_routes(int root, const char *request, size_t n, char answer[WORKER_ANSWER_MAX]) {
        _cleanup_(virtroutes_done) VirtRoutes l = {};
        _cleanup_(hostnet_done) HostNet net = {};
        _cleanup_(virt_closep) Virt *v = NULL;
        _cleanup_json_ json_object *o = NULL;
        _cleanup_(conf_done) Conf c = {};
        int r;

        r = conf_load(root, NULL, NULL, &c);
        if (r >= 0)
                r = hostnet_read(root, &c, &net);
        if (r >= 0)
                r = virt_open_root(root, &v, NULL);
        if (r >= 0)
                r = virtroute_look(v, &net, NULL, &l);
        if (r >= 0)
                r = virtroute_to_json(&l, &o);
        return r < 0 ? r : give(o, answer);
}

static int add_disk(int root, const char *path, json_object *disks) {
        _cleanup_close_ int fd = fs_open(root, path, O_RDONLY | O_DIRECTORY, 0);
        json_object *o;
        struct statvfs v;

        if (fd < 0 || fstatvfs(fd, &v) < 0)
                return 0;
        o = json_object_new_object();
        if (json_add_text(o, "path", path) < 0 ||
            json_add(o, "total", json_object_new_int64((int64_t) v.f_blocks * (int64_t) v.f_frsize)) < 0 ||
            json_add(o, "free", json_object_new_int64((int64_t) v.f_bavail * (int64_t) v.f_frsize)) < 0) {
                (void) json_object_put(o);
                return -ENOMEM;
        }
        return json_append(disks, o);
}

/* Entries whose file is not there, or not whole. */
static int add_images(int root, json_object *o) {
        _cleanup_strv_ char **names = NULL, **damaged = NULL;
        ImageEntry *l = NULL;
        size_t n = 0;
        int r;

        r = imagecache_list(root, &l, &n);
        if (r >= 0)
                r = fs_list(root, IMAGE_CACHE, &names);
        STRV_FOREACH(name, names) {
                const char *end = endswith(*name, IMAGE_ENTRY_SUFFIX);
                bool found = !end;

                for (size_t i = 0; i < n && !found; i++)
                        found = strlen(l[i].name) == (size_t) (end - *name) && startswith(*name, l[i].name);
                if (!found && r >= 0)
                        r = strv_extend(&damaged, *name);
        }
        image_entries_free(l, n);
        if (r == -ENOMEM)
                return r;
        if (r < 0 && r != -ENOENT)
                return 0;
        if (json_add(o, "images", json_object_new_int64((int64_t) n)) < 0)
                return -ENOMEM;
        return json_add(o, "damaged", json_new_list((const char *const *) damaged));
}

static int serve_storage(int root, const char *request, size_t n, char answer[WORKER_ANSWER_MAX]) {
        _cleanup_json_ json_object *o = json_object_new_object(), *disks = json_object_new_array();
        _cleanup_(conf_done) Conf c = {};
        int r;

        r = conf_load(root, NULL, NULL, &c);
        if (r < 0)
                return r;
        const char *const paths[] = { "/", "/boot", "/var", c.pool_path };

        for (size_t i = 0; i < ELEMENTSOF(paths) && r >= 0; i++)
                r = add_disk(root, paths[i], disks);
        if (r >= 0)
                r = json_add(o, "disks", TAKE_PTR(disks));
        if (r >= 0)
                r = add_images(root, o);
        return r < 0 ? r : give(o, answer);
}

static int add_gpu(const GpuState *g, json_object *gpus) {
        _cleanup_free_ char *owner = NULL;
        json_object *o;
        size_t held = 0;

        if (gpustate_describe_owner(g, &owner) < 0)
                return -ENOMEM;
        for (size_t i = 0; i < g->holders.n; i++)
                held += g->holders.list[i].pid > 0;
        o = json_object_new_object();
        if (json_add_text(o, "address", g->gpu->name) < 0 || json_add_text(o, "owner", owner) < 0 ||
            json_add(o, "looked", json_object_new_boolean(g->looked)) < 0 ||
            json_add(o, "held", json_object_new_int64((int64_t) held)) < 0) {
                (void) json_object_put(o);
                return -ENOMEM;
        }
        return json_append(gpus, o);
}

static int serve_gpus(int root, const char *request, size_t n, char answer[WORKER_ANSWER_MAX]) {
        _cleanup_json_ json_object *o = json_object_new_object(), *gpus = json_object_new_array();
        _cleanup_(gpustate_done) GpuStates states = {};
        _cleanup_(conf_done) Conf c = {};
        int r;

        r = conf_load(root, NULL, NULL, &c);
        if (r >= 0)
                r = gpustate_read(root, &c, true, &states);
        for (size_t i = 0; i < states.n && r >= 0; i++)
                r = add_gpu(&states.list[i], gpus);
        if (r >= 0)
                r = json_add(o, "list", TAKE_PTR(gpus));
        return r < 0 ? r : give(o, answer);
}

/* --- who sends it */

/* Adds what the child said, or why it did not: {"error": -110}. */
static int ask(int root, const char *key, WorkerServe serve, unsigned seconds, json_object *record) {
        _cleanup_(worker_freep) Worker *w = NULL;
        _cleanup_free_ char *answer = NULL;
        _cleanup_json_ json_object *o = NULL;
        int r;

        r = worker_start(root, NULL, NULL, &w);
        if (r >= 0)
                r = worker_call(w, serve, "", 1, seconds * USEC_PER_SEC, &answer);
        if (r >= 0)
                o = json_tokener_parse(answer);
        if (!o && r != -ENOMEM) {
                o = json_object_new_object();
                r = json_add(o, "error", json_object_new_int(r < 0 ? r : -EBADMSG));
        }
        return r < 0 ? r : json_add(record, key, TAKE_PTR(o));
}

/* As systemd's ntp_synced() (src/basic/time-util.c) has it: by how wrong the clock may be. STA_UNSYNC may be
 * set to keep the kernel from the hardware clock. */
static bool is_synchronized(void) {
        struct timex t = {};

        return adjtimex(&t) >= 0 && t.maxerror < NTP_ERROR_MAX_USEC;
}

/* The rules in the packet filter, which only root may see. */
static int add_filter(int root, json_object *record) {
        _cleanup_(bridge_done) BridgeState s = {};
        int r;

        if (bridge_load(root, &s) <= 0 || s.stage != BRIDGE_KEPT)
                return 0;
        r = bridgefilter_look(root, &s);
        if (r == 1 || r == -ENOENT)
                r = bridgezone_look(root, &s);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        return json_add(record, "filter", json_object_new_boolean(r > 0));
}

/* Of a host that routes for its machines alone. */
static int add_routes(int root, const Conf *c, json_object *record) {
        _cleanup_(hostnet_done) HostNet net = {};
        int r = hostnet_read(root, c, &net);

        return r <= 0 || !virtroute_applies(root, &net) ? MIN(r, 0)
                                                        : ask(root, "routes", serve_routes, VIRT_SEC, record);
}

static int read_host(int root, json_object *record) {
        int r;

        r = json_add(record, "root", json_object_new_boolean(geteuid() == 0));
        if (r >= 0)
                r = json_add(record, "synchronized", json_object_new_boolean(is_synchronized()));
        if (r >= 0)
                r = ask(root, "storage", serve_storage, STORAGE_SEC, record);
        if (r >= 0 && geteuid() == 0)
                r = ask(root, "gpus", serve_gpus, GPUS_SEC, record);
        return r >= 0 && geteuid() == 0 ? add_filter(root, record) : r;
}

/* --- the record */

static int boolean(json_object *o, const char *key) {
        json_object *b = json_member(o, key, json_type_boolean);

        return b ? json_object_get_boolean(b) : EVIDENCE_UNKNOWN;
}

static uint64_t number(json_object *o, const char *key, uint64_t max) {
        int64_t n = json_object_get_int64(json_member(o, key, json_type_int));

        return n < 0 ? 0 : MIN((uint64_t) n, max);
}

static int error_of(json_object *o) {
        int64_t n = json_object_get_int64(json_member(o, "error", json_type_int));

        return n < 0 && n >= -4095 ? (int) n : o ? 0 : -ENODATA;
}

static int take_storage(json_object *o, Evidence *e) {
        json_object *images = json_member(o, "images", json_type_int);
        size_t n = json_length(o, "disks");

        e->storage_error = error_of(o);
        e->images = images ? (int) number(o, "images", INT32_MAX) : EVIDENCE_UNKNOWN;
        e->disks = calloc(n + 1, sizeof(*e->disks));
        if (!e->disks)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                json_object *d = json_item(o, "disks", i);
                EvidenceDisk *t = &e->disks[e->n_disks++];

                t->total = number(d, "total", INT64_MAX);
                t->free = number(d, "free", INT64_MAX);
                t->path = strdup(json_text(d, "path"));
                if (!t->path)
                        return -ENOMEM;
        }
        for (size_t i = 0; i < json_length(o, "damaged"); i++) {
                json_object *name = json_item(o, "damaged", i);

                if (json_object_is_type(name, json_type_string) &&
                    strv_extend(&e->damaged, json_object_get_string(name)) < 0)
                        return -ENOMEM;
        }
        return 0;
}

static int take_gpus(json_object *o, Evidence *e) {
        size_t n = json_length(o, "list");

        e->gpus_error = error_of(o);
        e->gpus = calloc(n + 1, sizeof(*e->gpus));
        if (!e->gpus)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                json_object *g = json_item(o, "list", i);
                EvidenceGpu *t = &e->gpus[e->n_gpus++];

                t->looked = boolean(g, "looked") > 0;
                t->held = (unsigned) number(g, "held", INT32_MAX);
                t->address = strdup(json_text(g, "address"));
                t->owner = strdup(json_text(g, "owner"));
                if (!t->address || !t->owner)
                        return -ENOMEM;
        }
        return 0;
}

/* Takes the record over. */
static int take(json_object *record, Evidence *ret) {
        _cleanup_(evidence_done) Evidence e = {
                .record = record,
                .root = boolean(record, "root"),
                .synchronized = boolean(record, "synchronized"),
                .filter = boolean(record, "filter"),
                .dpkg = EVIDENCE_UNKNOWN,
        };
        json_object *virt = json_member(record, "libvirt", json_type_object);
        int r;

        if (json_member(record, "dpkg", json_type_int))
                e.dpkg = (int64_t) number(record, "dpkg", INT32_MAX);
        e.has_virt = virt;
        e.has_routes = json_member(record, "routes", json_type_object);
        r = virtcheck_from_json(virt, &e.virt);
        if (r >= 0)
                r = virtroute_from_json(json_member(record, "routes", json_type_object), &e.routes);
        if (r >= 0)
                r = take_storage(json_member(record, "storage", json_type_object), &e);
        if (r >= 0)
                r = take_gpus(json_member(record, "gpus", json_type_object), &e);
        if (r < 0)
                return r;
        *ret = e;
        e = (Evidence){};
        return 0;
}

int evidence_parse(const char *text, Evidence *ret) {
        _cleanup_json_ json_object *o = json_tokener_parse(text);

        return json_object_is_type(o, json_type_object) ? take(TAKE_PTR(o), ret) : -EBADMSG;
}

/* With slashes as they are: scrub.h knows URLs and paths. */
int evidence_format(const Evidence *e, char **ret) {
        return str_printf(ret, "%s\n",
                          json_object_to_json_string_ext(e->record,
                                                         JSON_C_TO_STRING_PRETTY |
                                                                         JSON_C_TO_STRING_NOSLASHESCAPE));
}

int evidence_set_dpkg(Evidence *e, unsigned who) {
        e->dpkg = who;
        return json_add(e->record, "dpkg", json_object_new_int64(who));
}

int evidence_read(int root, const Conf *c, Evidence *ret) {
        _cleanup_json_ json_object *o = NULL;
        _cleanup_free_ char *text = NULL;
        int r;

        if (!fs_is_host(root)) {
                r = fs_read(root, EVIDENCE_PATH, FS_FILE_MAX, &text, NULL);
                if (r != -ENOENT)
                        return r < 0 ? r : evidence_parse(text, ret);
        }
        o = json_object_new_object();
        if (!o)
                return -ENOMEM;
        r = fs_is_host(root) ? read_host(root, o) : 0;
        if (r >= 0 && c->kvm)
                r = ask(root, "libvirt", serve_virt, VIRT_SEC, o);
        if (r >= 0 && c->kvm && fs_is_host(root))
                r = add_routes(root, c, o);
        return r < 0 ? r : take(TAKE_PTR(o), ret);
}

const EvidenceDisk *evidence_disk(const Evidence *e, const char *path) {
        for (size_t i = 0; i < e->n_disks; i++)
                if (streq(e->disks[i].path, path))
                        return &e->disks[i];
        return NULL;
}

const EvidenceGpu *evidence_gpu(const Evidence *e, const char *address) {
        for (size_t i = 0; i < e->n_gpus; i++)
                if (streq(e->gpus[i].address, address))
                        return &e->gpus[i];
        return NULL;
}
