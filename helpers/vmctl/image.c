/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Image: what machines are made from: list, download, check and remove. */

#include "fs.h"
#include "imagebuilt.h"
#include "imagejob.h"
#include "json.h"
#include "metadata.h"
#include "nearest.h"
#include "virtvm.h"
#include "vmctl.h"
#include "vmdefined.h"
#include "vmhost.h"
#include "vmimage.h"

/* What every command here begins with. */
typedef struct Cache {
        int root;
        Conf conf;
        ImageEntry *entries;
        size_t n;
        char **used; /* files that disks are made on */
} Cache;

static void cache_done(Cache *k) {
        image_entries_free(k->entries, k->n);
        strv_free(k->used);
        conf_done(&k->conf);
        (void) safe_close(k->root);
}

static int open_root(Cache *k) {
        int r;

        k->root = fs_open_root(secure_getenv("GPUVM_ROOT"));
        if (k->root < 0)
                return log_error_errno(k->root, "Cannot open the root directory: %m");
        r = conf_load_and_warn(k->root, &k->conf);
        return r < 0 ? log_oom() : 0;
}

static int cache_load(Cache *k) {
        int r;

        r = open_root(k);
        if (r < 0)
                return r;
        r = imagecache_list(k->root, &k->entries, &k->n);
        return r < 0 ? log_error_errno(r, "Cannot read the images in '" IMAGE_CACHE "': %m") : 0;
}

/* What the disks of one machine are made on. One that is gone since it was listed needs nothing. */
static int add_machine(Cache *k, Virt *v, const char *name) {
        _cleanup_strv_ char **disks = NULL;
        _cleanup_free_ char *xml = NULL;
        int r = virtvm_xml(v, name, &xml);

        if (r < 0)
                return r == -ENOENT ? 0 : r;
        r = vmdefined_disks(xml, &disks);
        STRV_FOREACH(disk, disks)
                if (r >= 0)
                        r = imagecache_add_used(k->root, *disk, &k->used);
        return r;
}

/* Machines may have their disks elsewhere than in today's pool. */
static int add_machines(Cache *k) {
        _cleanup_(virtvms_done) VirtVms l = {};
        _cleanup_(virt_closep) Virt *v = NULL;
        int r = virt_open_root(k->root, &v, NULL);

        /* Without libvirt there are no machines; a recorded host has none that could be asked. */
        if (r == -ENOPKG || r == -ENOTCONN)
                return 0;
        if (r >= 0)
                r = virtvm_list(v, METADATA_URI, &l);
        for (size_t i = 0; i < l.n && r >= 0; i++)
                r = add_machine(k, v, l.vms[i].name);
        return r;
}

/* need: it has to be known, because something is going to be removed. */
static int load_used(Cache *k, bool need) {
        int r;

        r = imagecache_used(k->root, k->conf.pool_path, &k->used);
        if (r < 0 && need)
                return log_error_errno(
                                r,
                                "Cannot see which images the disks in '%s' are made on: %m. Run this as root",
                                k->conf.pool_path);
        r = need ? add_machines(k) : 0;
        return r < 0 ? log_error_errno(r,
                                       "Cannot see which images the machines are made on: %m. 'vmctl list' "
                                       "tells whether libvirt answers; nothing is removed")
                     : 0;
}

static const ImageEntry *look_up(const Cache *k, const char *name) {
        for (size_t i = 0; i < k->n; i++)
                if (streq(k->entries[i].name, name))
                        return &k->entries[i];
        return NULL;
}

/* Tells if there is none. */
static const ImageEntry *find_entry(const Cache *k, const char *name) {
        const ImageEntry *e = look_up(k, name);
        const char **names;
        const char *meant;

        if (e)
                return e;
        names = calloc(k->n + 1, sizeof(*names));
        for (size_t i = 0; names && i < k->n; i++)
                names[i] = k->entries[i].name;
        meant = names ? nearest_find(name, names) : NULL;
        free(names);
        if (meant)
                log_error("There is no image '%s'. Did you mean '%s'?", name, meant);
        else
                log_error("There is no image '%s'; 'vmctl image list' shows them", name);
        return NULL;
}

/* --- list */

static const char *date_text(uint64_t seconds, char buf[static 32]) {
        time_t t = (time_t) seconds;
        struct tm tm;

        return gmtime_r(&t, &tm) && strftime(buf, 32, "%Y-%m-%dT%H:%M:%SZ", &tm) > 0 ? buf : "";
}

static json_object *entry_to_json(const Cache *k, const ImageEntry *e) {
        _cleanup_json_ json_object *o = NULL;
        char date[32];

        if (image_entry_to_json(e, &o) < 0 || json_add_text(o, "path", e->path) < 0 ||
            json_add_text(o, "pulled", date_text(e->pulled, date)) < 0 ||
            json_add(o, "in_use", json_object_new_boolean(strv_contains(k->used, e->file))) < 0)
                return NULL;
        return TAKE_PTR(o);
}

static int list_json(const Cache *k) {
        _cleanup_json_ json_object *all = json_object_new_array();

        for (size_t i = 0; i < k->n; i++)
                if (json_append(all, entry_to_json(k, &k->entries[i])) < 0)
                        return log_oom();
        return all ? json_print(all, stdout) : log_oom();
}

static int list_table(const Cache *k) {
        static const char *const columns[] = { "NAME",   "SIZE",   "ON DISK", "SIGNATURE",
                                               "PULLED", "IN USE", NULL };
        struct libscols_table *t = table_new(columns);
        int r = 0;

        for (size_t i = 0; i < k->n && r >= 0; i++) {
                const ImageEntry *e = &k->entries[i];
                char date[32];

                r = table_add(t,
                              (const char *const[]){ e->name, size_text(e->size / 1024).text,
                                                     size_text(e->used / 1024).text, e->signature,
                                                     date_text(e->pulled, date),
                                                     strv_contains(k->used, e->file) ? "yes" : "no" });
        }
        r = table_print(t) ?: r;
        if (r < 0)
                return log_oom();
        if (k->n == 0)
                log_notice("There are no images yet; 'vmctl image pull ubuntu' downloads one");
        return 0;
}

int cmd_image_list(Context *c, char **args) {
        _cleanup_(cache_done) Cache k = { .root = -EBADF };
        int r;

        r = cache_load(&k);
        if (r >= 0)
                r = load_used(&k, false);
        if (r < 0)
                return r;
        if (vmctl_has(c, OPT_JSON))
                return list_json(&k);
        if (!vmctl_has(c, OPT_QUIET))
                return list_table(&k);
        for (size_t i = 0; i < k.n; i++)
                puts(k.entries[i].name);
        return 0;
}

/* --- pull */

/* What an image of Talos has to drive: this host's GPUs, unless there are none or it was said. */
static int find_archs(const Context *c, const Cache *k, GpuArch **ret, size_t *ret_n) {
        _cleanup_(vmhost_done) VmHost h = {};
        GpuArch *l;
        int r;

        *ret_n = 0;
        *ret = NULL;
        if (vmctl_has(c, OPT_NO_GPU))
                return 0;
        r = vmhost_read(k->root, &k->conf, false, &h);
        if (r < 0)
                return log_error_errno(r, "Cannot read this host's GPUs: %m. --no-gpu does without");
        l = calloc(h.n_gpus + 1, sizeof(*l));
        if (!l)
                return log_oom();
        for (size_t i = 0; i < h.n_gpus; i++)
                l[i] = h.gpus[i].arch;
        *ret_n = h.n_gpus;
        *ret = l;
        return 0;
}

static int print_entry(const Context *c, const Cache *k, const ImageEntry *e) {
        _cleanup_json_ json_object *o = NULL;

        if (!vmctl_has(c, OPT_JSON)) {
                if (!vmctl_has(c, OPT_QUIET))
                        printf("%s %s\n", e->name, e->path);
                return 0;
        }
        o = entry_to_json(k, e);
        return o ? json_print(o, stdout) : log_oom();
}

static void warn_end_of_life(const ImageWant *w) {
        const ImageRelease *r = imagesource_release(w->kind, w->release);

        if (r && imagesource_is_over(r, time(NULL)))
                log_warning("%s %s has had no support since %s: its packages come from the archive of old releases. "
                            "'vmctl image pull %s RELEASE' takes another one",
                            image_kind_to_string(r->kind), r->version, r->end, image_kind_to_string(r->kind));
}

int cmd_image_pull(Context *c, char **args) {
        _cleanup_(image_failure_done) ImageFailure failure = {};
        _cleanup_(cache_done) Cache k = { .root = -EBADF };
        ImageWant want = { .kind = image_kind_from_string(args[0]),
                           .release = args[1],
                           .arch = vmctl_value(c, OPT_ARCH),
                           .schematic = vmctl_value(c, OPT_SCHEMATIC) };
        _cleanup_(image_entry_done) ImageEntry e = {};
        _cleanup_free_ GpuArch *archs = NULL;
        VmctlProgress progress;
        ImageSetup setup;
        int r;

        if (want.kind < 0) {
                log_error("There are images of talos, ubuntu and debian, not of '%s'", args[0]);
                return VMCTL_USAGE;
        }
        if (want.schematic && want.kind != IMAGE_TALOS) {
                log_error("--schematic is for Talos");
                return VMCTL_USAGE;
        }
        r = open_root(&k);
        if (r >= 0)
                r = imagejob_check_right(c, k.root);
        if (r >= 0 && want.kind == IMAGE_TALOS && !want.schematic)
                r = find_archs(c, &k, &archs, &want.n_gpus);
        if (r < 0)
                return r;
        want.gpus = archs;
        warn_end_of_life(&want);
        vmctl_progress_begin(c, &progress);
        vmctl_image_setup(&k.conf, k.root, &progress, &setup);
        setup.refresh = vmctl_has(c, OPT_REFRESH);
        r = image_get(&setup, &want, &e, &failure);
        vmctl_progress_end(&progress);
        if (r < 0)
                r = vmctl_image_tell(r, &failure);
        else
                r = print_entry(c, &k, &e);
        return r == -EINVAL ? VMCTL_USAGE : r; /* a version that is none */
}

/* --- verify */

typedef struct Verifying {
        VmctlProgress shown;
        const ImageEntry *e;
        uint64_t began_usec;
} Verifying;

static void on_verify(uint64_t done, uint64_t total, void *userdata) {
        Verifying *v = userdata;
        const ImageProgress p = { .step = IMAGE_STEP_VERIFY,
                                  .name = v->e->name,
                                  .done = done,
                                  .total = total,
                                  .usec = monotonic_usec() - v->began_usec };

        vmctl_progress(&p, &v->shown);
}

/* Returns 0, or -errno after a message. */
static int verify(const Context *c, const Cache *k, const ImageEntry *e) {
        Verifying v = { .e = e, .began_usec = monotonic_usec() };
        int r;

        vmctl_progress_begin(c, &v.shown);
        r = imagecache_verify(k->root, e, on_verify, &v);
        vmctl_progress_end(&v.shown);
        if (r == -EBADMSG)
                return log_full_errno(
                                LOG_ERR, EBADMSG,
                                "The image '%s' is not what was downloaded. Machines that are made on it may be "
                                "damaged too; 'vmctl image remove %s' and pull it again",
                                e->name, e->name);
        if (r < 0)
                return log_error_errno(r, "Cannot check the image '%s': %m", e->name);
        if (!vmctl_has(c, OPT_QUIET) && !vmctl_has(c, OPT_JSON))
                printf("%s is as it was downloaded\n", e->name);
        return 0;
}

/* One that was built here, and asked for by name: it boots, and its driver is there. */
static int boot(Context *c, const Cache *k, const ImageEntry *e) {
        int r = imagejob_prepare(c, k->root, &k->conf);

        if (r >= 0)
                r = imagejob_boot(c, k->root, &k->conf, e, imagebuilt_has_driver(e));
        return r == -EBADMSG ? -EIO : r; /* its answer is damaged, and not the image */
}

static int verify_to_json(json_object *all, const ImageEntry *e, int r) {
        json_object *o = json_object_new_object();

        if (json_add_text(o, "name", e->name) < 0 || json_add_text(o, "path", e->path) < 0 ||
            json_add_text(o, "state",
                          r == 0                          ? "good"
                                          : r == -EBADMSG ? "damaged"
                                          : e->built      ? "failed"
                                                          : "unreadable") < 0) {
                (void) json_object_put(o);
                return -ENOMEM;
        }
        return json_append(all, o);
}

static int verify_one(Context *c, const Cache *k, const ImageEntry *e, bool asked, json_object *all) {
        int r = verify(c, k, e);

        if (r >= 0 && asked && e->built)
                r = boot(c, k, e);
        return verify_to_json(all, e, r) < 0 ? log_oom() : r;
}

int cmd_image_verify(Context *c, char **args) {
        _cleanup_json_ json_object *all = json_object_new_array();
        _cleanup_(cache_done) Cache k = { .root = -EBADF };
        int r, result = 0;

        r = cache_load(&k);
        if (r < 0)
                return r;
        for (size_t i = 0; !*args && i < k.n; i++) {
                r = verify_one(c, &k, &k.entries[i], false, all);
                result = result ?: r;
        }
        STRV_FOREACH(name, args) {
                const ImageEntry *e = find_entry(&k, *name);

                r = e ? verify_one(c, &k, e, true, all) : -ENOENT;
                result = result ?: r;
        }
        if (vmctl_has(c, OPT_JSON) && json_print(all, stdout) < 0)
                return -EIO;
        return result;
}

/* --- remove, gc */

static int remove_entry(const Context *c, const Cache *k, const ImageEntry *e) {
        bool json = vmctl_has(c, OPT_JSON);
        int r;

        if (vmctl_has(c, OPT_DRY_RUN)) {
                if (!json)
                        printf("%s would be removed%s\n", e->name,
                               strv_contains(k->used, e->file) ? ", but is in use" : "");
                return 0;
        }
        r = imagecache_remove(k->root, e, k->used);
        if (r == -EBUSY)
                return log_full_errno(
                                LOG_ERR, EBUSY,
                                "The image '%s' stays: a machine's disk is made on it, or is being made",
                                e->name);
        if (r < 0)
                return log_error_errno(r, "Cannot remove the image '%s': %m. Run this as root", e->name);
        if (!vmctl_has(c, OPT_QUIET) && !json)
                printf("%s removed\n", e->name);
        return 0;
}

/* e: NULL if there is none. */
static int removal_to_json(json_object *all, const Cache *k, const char *name, const ImageEntry *e,
                           bool removed, int r) {
        json_object *o = json_object_new_object();

        if (json_append(all, o) < 0 || json_add_text(o, "name", name) < 0 ||
            json_add(o, "removed", json_object_new_boolean(removed)) < 0 ||
            json_add(o, "in_use", json_object_new_boolean(e && strv_contains(k->used, e->file))) < 0 ||
            json_add(o, "status", json_object_new_int(vmctl_status(r))) < 0)
                return log_oom();
        return 0;
}

/* One question for all of them. Returns 1, 0 for no, or -errno after a message. */
static int ask_removal(const Context *c, char *const *names) {
        _cleanup_free_ char *list = NULL, *question = NULL;

        if (vmctl_has(c, OPT_YES) || vmctl_has(c, OPT_DRY_RUN))
                return 1;
        list = strv_join(names, ", ");
        if (!list || str_printf(&question, "Remove %s?", list) < 0)
                return log_oom();
        return vmctl_ask(question);
}

/* Those that there are. Returns 0; -ENOENT after messages if there are others; -ENOMEM. */
static int find_names(const Cache *k, char *const *words, char ***ret) {
        int r = 0;

        STRV_FOREACH(word, words)
                if (!find_entry(k, *word))
                        r = -ENOENT;
                else if (strv_extend(ret, *word) < 0)
                        return log_oom();
        return r;
}

/* answer: of ask_removal(). all: where each is told. */
static int remove_all(const Context *c, const Cache *k, char *const *words, int answer, json_object *all) {
        int result = 0;

        STRV_FOREACH(word, words) {
                const ImageEntry *e = look_up(k, *word);
                int r = !e ? -ENOENT : answer > 0 ? remove_entry(c, k, e) : answer;
                bool removed = e && answer > 0 && r >= 0 && !vmctl_has(c, OPT_DRY_RUN);

                result = result ?: r;
                if (removal_to_json(all, k, *word, e, removed, r) < 0)
                        return -ENOMEM;
        }
        return result;
}

int cmd_image_remove(Context *c, char **args) {
        _cleanup_json_ json_object *all = json_object_new_array();
        _cleanup_(cache_done) Cache k = { .root = -EBADF };
        _cleanup_strv_ char **names = NULL;
        int r;

        r = cache_load(&k);
        if (r >= 0 && !vmctl_has(c, OPT_DRY_RUN))
                r = imagejob_check_right(c, k.root);
        if (r >= 0)
                r = load_used(&k, true);
        if (r >= 0)
                r = find_names(&k, args, &names);
        if (r < 0 && r != -ENOENT)
                return r;
        r = remove_all(c, &k, args, names ? ask_removal(c, names) : 0, all);
        if (vmctl_has(c, OPT_JSON) && json_print(all, stdout) < 0)
                return -EIO;
        return r;
}

static int gc_json(char *const *gone, uint64_t bytes) {
        _cleanup_json_ json_object *o = json_object_new_object();

        if (json_add(o, "removed", json_new_list((const char *const *) gone)) < 0 ||
            json_add(o, "bytes", json_object_new_int64((int64_t) bytes)) < 0)
                return log_oom();
        return json_print(o, stdout);
}

int cmd_image_gc(Context *c, char **args) {
        _cleanup_(cache_done) Cache k = { .root = -EBADF };
        _cleanup_strv_ char **gone = NULL;
        bool dry = vmctl_has(c, OPT_DRY_RUN);
        uint64_t bytes = 0;
        int r;

        r = open_root(&k);
        if (r >= 0 && !dry)
                r = imagejob_check_right(c, k.root);
        if (r >= 0)
                r = load_used(&k, true);
        if (r < 0)
                return r;
        r = imagecache_gc(k.root, k.used, vmctl_has(c, OPT_ALL), dry, &gone, &bytes);
        if (r < 0)
                return log_error_errno(r, "Cannot clean up '" IMAGE_CACHE "': %m. Run this as root");
        if (vmctl_has(c, OPT_JSON))
                return gc_json(gone, bytes);
        if (vmctl_has(c, OPT_QUIET))
                return 0;
        STRV_FOREACH(name, gone)
                printf("%s %s\n", *name, dry ? "would be removed" : "removed");
        printf("%s %s\n", size_text(bytes / 1024).text, dry ? "would be free" : "free");
        return 0;
}
