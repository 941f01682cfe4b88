/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Image: what machines are made from: list, download and check. */

#include "imagebuilt.h"
#include "imagejob.h"
#include "imagestock.h"
#include "json.h"
#include "vmhost.h"
#include "vmimage.h"

/* --- list */

static const char *date_text(uint64_t seconds, char buf[static 32]) {
        time_t t = (time_t) seconds;
        struct tm tm;

        return gmtime_r(&t, &tm) && strftime(buf, 32, "%Y-%m-%dT%H:%M:%SZ", &tm) > 0 ? buf : "";
}

static json_object *entry_to_json(const ImageStock *s, const ImageEntry *e) {
        _cleanup_json_ json_object *o = NULL;
        char date[32];

        if (image_entry_to_json(e, &o) < 0 || json_add_text(o, "path", e->path) < 0 ||
            json_add_text(o, "pulled", date_text(e->pulled, date)) < 0 ||
            json_add(o, "in_use", json_object_new_boolean(strv_contains(s->used, e->file))) < 0)
                return NULL;
        return TAKE_PTR(o);
}

static int list_json(const ImageStock *s) {
        _cleanup_json_ json_object *all = json_object_new_array();

        for (size_t i = 0; i < s->n; i++)
                if (json_append(all, entry_to_json(s, &s->entries[i])) < 0)
                        return log_oom();
        return all ? json_print(all, stdout) : log_oom();
}

static int list_table(const ImageStock *s) {
        static const char *const columns[] = { "NAME",   "SIZE",   "ON DISK", "SIGNATURE",
                                               "PULLED", "IN USE", NULL };
        struct libscols_table *t = table_new(columns);
        int r = 0;

        for (size_t i = 0; i < s->n && r >= 0; i++) {
                const ImageEntry *e = &s->entries[i];
                char date[32];

                r = table_add(t,
                              (const char *const[]){ e->name, size_text(e->size / 1024).text,
                                                     size_text(e->used / 1024).text, e->signature,
                                                     date_text(e->pulled, date),
                                                     strv_contains(s->used, e->file) ? "yes" : "no" });
        }
        r = table_print(t) ?: r;
        if (r < 0)
                return log_oom();
        if (s->n == 0)
                log_notice("There are no images yet; 'vmctl image pull ubuntu' downloads one");
        return 0;
}

int cmd_image_list(Context *c, char **args) {
        _cleanup_(imagestock_done) ImageStock s = { .root = -EBADF };
        int r;

        r = imagestock_load(&s);
        if (r >= 0)
                r = imagestock_look_at_use(&s, false);
        if (r < 0)
                return r;
        if (vmctl_has(c, OPT_JSON))
                return list_json(&s);
        if (!vmctl_has(c, OPT_QUIET))
                return list_table(&s);
        for (size_t i = 0; i < s.n; i++)
                puts(s.entries[i].name);
        return 0;
}

/* --- pull */

/* What an image of Talos has to drive: this host's GPUs, unless there are none or it was said. */
static int find_archs(const Context *c, const ImageStock *s, GpuArch **ret, size_t *ret_n) {
        _cleanup_(vmhost_done) VmHost h = {};
        GpuArch *l;
        int r;

        *ret_n = 0;
        *ret = NULL;
        if (vmctl_has(c, OPT_NO_GPU))
                return 0;
        r = vmhost_read(s->root, &s->conf, false, &h);
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

static int print_entry(const Context *c, const ImageStock *s, const ImageEntry *e) {
        _cleanup_json_ json_object *o = NULL;

        if (!vmctl_has(c, OPT_JSON)) {
                if (!vmctl_has(c, OPT_QUIET))
                        printf("%s %s\n", e->name, e->path);
                return 0;
        }
        o = entry_to_json(s, e);
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
        _cleanup_(imagestock_done) ImageStock s = { .root = -EBADF };
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
        r = imagestock_open(&s);
        if (r >= 0)
                r = imagejob_check_right(c, s.root);
        if (r >= 0 && want.kind == IMAGE_TALOS && !want.schematic)
                r = find_archs(c, &s, &archs, &want.n_gpus);
        if (r < 0)
                return r;
        want.gpus = archs;
        warn_end_of_life(&want);
        vmctl_progress_begin(c, &progress);
        vmctl_image_setup(&s.conf, s.root, &progress, &setup);
        setup.refresh = vmctl_has(c, OPT_REFRESH);
        r = image_get(&setup, &want, &e, &failure);
        vmctl_progress_end(&progress);
        if (r < 0)
                r = vmctl_image_tell(r, &failure);
        else
                r = print_entry(c, &s, &e);
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
static int verify(const Context *c, const ImageStock *s, const ImageEntry *e) {
        Verifying v = { .e = e, .began_usec = monotonic_usec() };
        int r;

        vmctl_progress_begin(c, &v.shown);
        r = imagecache_verify(s->root, e, on_verify, &v);
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
static int boot(Context *c, const ImageStock *s, const ImageEntry *e) {
        int r = imagejob_prepare(c, s->root, &s->conf);

        if (r >= 0)
                r = imagejob_boot(c, s->root, &s->conf, e, imagebuilt_has_driver(e));
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

static int verify_one(Context *c, const ImageStock *s, const ImageEntry *e, bool asked, json_object *all) {
        int r = verify(c, s, e);

        if (r >= 0 && asked && e->built)
                r = boot(c, s, e);
        return verify_to_json(all, e, r) < 0 ? log_oom() : r;
}

int cmd_image_verify(Context *c, char **args) {
        _cleanup_json_ json_object *all = json_object_new_array();
        _cleanup_(imagestock_done) ImageStock s = { .root = -EBADF };
        int r, result = 0;

        r = imagestock_load(&s);
        if (r < 0)
                return r;
        for (size_t i = 0; !*args && i < s.n; i++) {
                r = verify_one(c, &s, &s.entries[i], false, all);
                result = result ?: r;
        }
        STRV_FOREACH(name, args) {
                const ImageEntry *e = imagestock_find(&s, *name);

                r = e ? verify_one(c, &s, e, true, all) : -ENOENT;
                result = result ?: r;
        }
        if (vmctl_has(c, OPT_JSON) && json_print(all, stdout) < 0)
                return -EIO;
        return result;
}
