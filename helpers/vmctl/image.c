/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Image: what machines are made from: list, download, check and remove. */

#include <inttypes.h>
#include <sys/ioctl.h>

#include "fs.h"
#include "json.h"
#include "parse.h"
#include "vmctl.h"
#include "vmhost.h"
#include "vmimage.h"

enum {
        LINE_SEC = 10, /* between two lines where there is no terminal */
        RATE_USEC = 3000000,
        COLUMNS = 79,
};

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

/* need: it has to be known, because something is going to be removed. */
static int load_used(Cache *k, bool need) {
        int r;

        r = imagecache_used(k->root, k->conf.pool_path, &k->used);
        if (r >= 0 || !need)
                return 0;
        return log_error_errno(r,
                               "Cannot see which images the disks in '%s' are made on: %m. Run this as root",
                               k->conf.pool_path);
}

static const ImageEntry *find_entry(const Cache *k, const char *name) {
        const char **names;
        const char *meant;

        for (size_t i = 0; i < k->n; i++)
                if (streq(k->entries[i].name, name))
                        return &k->entries[i];
        names = calloc(k->n + 1, sizeof(*names));
        for (size_t i = 0; names && i < k->n; i++)
                names[i] = k->entries[i].name;
        meant = names ? vmctl_closest(name, names) : NULL;
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

static const char *step_text(const ImageProgress *p) {
        return p->step == IMAGE_STEP_ASK             ? "asking for"
                        : p->step == IMAGE_STEP_WAIT ? "waiting for another download of"
                        : p->step == IMAGE_STEP_SYNC ? "writing out"
                                                     : "downloading";
}

/* "45 %, 117 MiB of 260 MiB, 18 MiB/s, 8 s left". */
static void numbers_text(VmctlProgress *s, const ImageProgress *p, char *buf, size_t size) {
        uint64_t now = monotonic_usec(), elapsed = now - s->window_usec, kib = p->done / 1024;
        size_t n = 0;

        *buf = '\0';
        if (p->step != IMAGE_STEP_DOWNLOAD)
                return;
        if (s->window_usec == 0 || p->done < s->window_done) {
                s->window_usec = now - MIN(p->usec, now);
                s->window_done = 0;
                elapsed = p->usec;
        }
        if (elapsed > 0)
                s->rate = (p->done - s->window_done) * USEC_PER_SEC / elapsed;
        if (elapsed > RATE_USEC) {
                s->window_usec = now;
                s->window_done = p->done;
        }
        if (p->total == UINT64_MAX || p->total == 0)
                n = (size_t) snprintf(buf, size, ": %s", size_text(kib).text);
        else
                n = (size_t) snprintf(buf, size, ": %" PRIu64 " %%, %s of %s", p->done * 100 / p->total,
                                      size_text(kib).text, size_text(p->total / 1024).text);
        if (s->rate > 0 && n < size)
                n += (size_t) snprintf(buf + n, size - n, ", %s/s", size_text(s->rate / 1024).text);
        if (s->rate > 0 && n < size && p->total != UINT64_MAX)
                (void) snprintf(buf + n, size - n, ", %" PRIu64 " s left",
                                (p->total - MIN(p->done, p->total)) / s->rate);
}

static unsigned terminal_width(void) {
        struct winsize w;

        return ioctl(STDERR_FILENO, TIOCGWINSZ, &w) >= 0 && w.ws_col > 1 ? w.ws_col - 1U : COLUMNS;
}

void vmctl_progress(const ImageProgress *p, void *userdata) {
        VmctlProgress *s = userdata;
        uint64_t now = monotonic_usec();
        char numbers[160], line[512];

        if (s->quiet ||
            (!s->terminal && s->told && s->step == (int) p->step && now - s->told < LINE_SEC * USEC_PER_SEC))
                return;
        /* What is over in a moment is not worth a line of its own. */
        if (!s->terminal && p->step == IMAGE_STEP_ASK)
                return;
        s->told = now;
        s->step = (int) p->step;
        numbers_text(s, p, numbers, sizeof(numbers));
        (void) snprintf(line, sizeof(line), "%s '%s'%s", step_text(p), p->name ?: "the newest Talos",
                        numbers);
        if (s->terminal) {
                fprintf(stderr, "\r%.*s\033[K", (int) terminal_width(), line);
                s->shown = true;
        } else
                log_info("%s", line);
}

void vmctl_progress_begin(const Context *c, VmctlProgress *s) {
        *s = (VmctlProgress){ .quiet = vmctl_has(c, OPT_QUIET),
                              .terminal = isatty(STDERR_FILENO),
                              .step = -1 };
}

void vmctl_progress_end(VmctlProgress *s) {
        if (s->shown)
                fprintf(stderr, "\r\033[K");
        s->shown = false;
}

void vmctl_image_setup(const Conf *conf, int root, VmctlProgress *progress, ImageSetup *ret) {
        *ret = (ImageSetup){
                .root = root,
                .root_path = secure_getenv("GPUVM_ROOT"),
                .factory = conf->talos_url,
                .ubuntu = conf->ubuntu_url,
                .debian = conf->debian_url,
                .stall_usec = conf->stall_usec,
                .progress = vmctl_progress,
                .userdata = progress,
        };
        if (parse_size(conf->image_max, &ret->max) < 0)
                ret->max = 0;
}

int vmctl_image_tell(int r, const ImageFailure *f) {
        log_error("%s%s%s", f->cause ?: strerror(-r), f->remedy ? ". " : "", strempty(f->remedy));
        return r;
}

/* What an image of Talos has to drive: this host's GPUs, unless there are none or it was said. */
static int find_archs(const Context *c, const Cache *k, GpuArch **ret, size_t *ret_n) {
        _cleanup_(vmhost_done) VmHost h = {};
        GpuArch *l;
        int r;

        *ret_n = 0;
        *ret = NULL;
        if (vmctl_has(c, OPT_NO_GPU))
                return 0;
        r = vmhost_read(k->root, &k->conf, &h);
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
                           .arch = vmctl_value(c, OPT_ARCH) };
        _cleanup_(image_entry_done) ImageEntry e = {};
        _cleanup_free_ GpuArch *archs = NULL;
        VmctlProgress progress;
        ImageSetup setup;
        int r;

        if (want.kind < 0)
                return log_full_errno(LOG_ERR, EINVAL,
                                      "There are images of talos, ubuntu and debian, not of '%s'", args[0]);
        r = open_root(&k);
        if (r >= 0 && want.kind == IMAGE_TALOS)
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
        return r < 0 ? vmctl_image_tell(r, &failure) : print_entry(c, &k, &e);
}

/* --- verify */

static int verify(const Context *c, const Cache *k, const ImageEntry *e) {
        int r;

        r = imagecache_verify(k->root, e, NULL, NULL);
        if (r == -EBADMSG)
                return log_full_errno(
                                LOG_ERR, EBADMSG,
                                "The image '%s' is not what was downloaded. Machines that are made on it may be "
                                "damaged too; 'vmctl image remove %s' and pull it again",
                                e->name, e->name);
        if (r < 0)
                return log_error_errno(r, "Cannot check the image '%s': %m", e->name);
        if (!vmctl_has(c, OPT_QUIET))
                printf("%s is as it was downloaded\n", e->name);
        return 0;
}

int cmd_image_verify(Context *c, char **args) {
        _cleanup_(cache_done) Cache k = { .root = -EBADF };
        int r, result = 0;

        r = cache_load(&k);
        if (r < 0)
                return r;
        for (size_t i = 0; !*args && i < k.n; i++) {
                r = verify(c, &k, &k.entries[i]);
                result = result ?: r;
        }
        STRV_FOREACH(name, args) {
                const ImageEntry *e = find_entry(&k, *name);

                r = e ? verify(c, &k, e) : -ENOENT;
                result = result ?: r;
        }
        return result;
}

/* --- remove, gc */

static int remove_entry(const Context *c, const Cache *k, const ImageEntry *e) {
        int r;

        if (vmctl_has(c, OPT_DRY_RUN)) {
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
        if (!vmctl_has(c, OPT_QUIET))
                printf("%s removed\n", e->name);
        return 0;
}

int cmd_image_remove(Context *c, char **args) {
        _cleanup_(cache_done) Cache k = { .root = -EBADF };
        int r, result = 0;

        r = cache_load(&k);
        if (r >= 0)
                r = load_used(&k, true);
        if (r < 0)
                return r;
        STRV_FOREACH(name, args) {
                const ImageEntry *e = find_entry(&k, *name);

                r = e ? remove_entry(c, &k, e) : -ENOENT;
                result = result ?: r;
        }
        return result;
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
