/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "image.h"
#include "fs.h"
#include "imageask.h"
#include "strv.h"
#include "talos.h"

#define GITHUB_LATEST "https://api.github.com/repos/siderolabs/talos/releases/latest"

/* Which Talos was the newest, and when that was asked. */
#define LATEST_PATH IMAGE_CACHE "/latest-talos"

#define SIZE_MAX_DEFAULT (UINT64_C(16) * 1024 * 1024 * 1024)

enum {
        LATEST_SEC = 24 * 3600, /* as long that answer holds */
        BUILD_SEC = 600,        /* the factory builds an image when it is first asked for */
        DIGITS = 12,            /* of a sum, in a file's name */
};

/* What is wanted, resolved as far as that takes no network. */
typedef struct Plan {
        const ImageSetup *s;
        ImageKind kind;
        const ImageRelease *release; /* NULL: Talos */
        TalosVersion talos;
        char *version; /* "25.10", "v1.13.9" */
        const char *arch;
        char **extensions;
        const char *schematic; /* given, or NULL */
        char *name;            /* of the entry */
        int cache;             /* its directory, once something may change */
        char *ca_file;
} Plan;

static void plan_done(Plan *p) {
        free(p->version);
        strv_free(p->extensions);
        free(p->name);
        free(p->ca_file);
        (void) safe_close(p->cache);
}

static int out_of_memory(ImageFailure *reterr) {
        return image_fail(reterr, -ENOMEM, NULL, "Out of memory");
}

static void tell(const Plan *p, ImageStep step) {
        ImageProgress progress = { .step = step, .name = p->name, .total = UINT64_MAX };

        if (p->s->progress)
                p->s->progress(&progress, p->s->userdata);
}

static void on_ask(void *userdata) {
        tell(userdata, IMAGE_STEP_ASK);
}

static void on_wait(void *userdata) {
        tell(userdata, IMAGE_STEP_WAIT);
}

static ImageAsk ask_of(Plan *p) {
        return (ImageAsk){
                .root = p->s->root,
                .root_path = p->s->root_path,
                .factory = p->s->factory ?: TALOS_FACTORY,
                .github = GITHUB_LATEST,
                .ca_file = p->ca_file,
                .cache = p->cache,
                .tick = on_ask,
                .userdata = p,
        };
}

static int open_cache(Plan *p, ImageFailure *reterr) {
        if (p->cache >= 0)
                return 0;
        p->cache = imagecache_open(p->s->root);
        return p->cache < 0 ? image_fail(reterr, p->cache, image_remedy(p->cache), "Cannot write to '%s': %s",
                                         IMAGE_CACHE, strerror(-p->cache))
                            : 0;
}

/* Reads which Talos was the newest; any_age: however long that is ago. */
static int read_latest(const Plan *p, bool any_age, char **ret) {
        _cleanup_free_ char *line = NULL;
        time_t now = time(NULL);
        char buf[TALOS_VERSION_MAX];
        TalosVersion v;
        struct stat st;
        int r;

        r = fs_stat(p->s->root, LATEST_PATH, &st);
        if (r >= 0)
                r = fs_read_line(p->s->root, LATEST_PATH, &line);
        if (r < 0)
                return r;
        if (talos_version_parse(line, &v) < 0 || v.pre)
                return -ENOENT;
        if (!any_age && (st.st_mtime > now || now - st.st_mtime > LATEST_SEC))
                return -ENOENT;
        *ret = strdup(talos_version_format(v, buf));
        return *ret ? 0 : -ENOMEM;
}

static int write_latest(const Plan *p, ImageFailure *reterr) {
        _cleanup_free_ char *text = NULL;
        int r;

        if (str_printf(&text, "%s\n", p->version) < 0)
                return out_of_memory(reterr);
        r = fs_write_atomic(p->s->root, LATEST_PATH, text, strlen(text), 0644);
        return r < 0 ? image_fail(reterr, r, image_remedy(r), "Cannot write '%s': %s", LATEST_PATH,
                                  strerror(-r))
                     : 0;
}

/* One asks, who waits for that looks again. Where nobody answers an old answer is better than none. */
static int ask_latest(Plan *p, ImageFailure *reterr) {
        _cleanup_close_ int lock = -EBADF;
        ImageAsk a;
        int r;

        r = open_cache(p, reterr);
        if (r < 0)
                return r;
        lock = imagecache_lock(p->cache, "latest-talos", on_wait, p);
        if (lock < 0)
                return image_fail(reterr, lock, image_remedy(lock), "Cannot lock '%s': %s", LATEST_PATH,
                                  strerror(-lock));
        if (!p->s->refresh && read_latest(p, false, &p->version) >= 0)
                return 0;
        a = ask_of(p);
        r = imageask_talos_latest(&a, &p->version, reterr);
        if (r >= 0)
                return write_latest(p, reterr);
        if (read_latest(p, true, &p->version) < 0)
                return r;
        image_failure_done(reterr);
        return 0;
}

/* The answer of the last day, or a new one. */
static int find_latest(Plan *p, bool network, ImageFailure *reterr) {
        int r;

        r = p->s->refresh ? -ENOENT : read_latest(p, false, &p->version);
        if (r >= 0)
                return 0;
        if (r == -ENOMEM)
                return out_of_memory(reterr);
        return network ? ask_latest(p, reterr)
                       : image_fail(reterr, -ENOENT, NULL,
                                    "Which Talos is the newest is not known without asking");
}

static int plan_version(Plan *p, const ImageWant *w, bool network, ImageFailure *reterr) {
        char buf[TALOS_VERSION_MAX];

        if (!w->release) {
                int r = find_latest(p, network, reterr);

                return r < 0 || talos_version_parse(p->version, &p->talos) >= 0
                                ? r
                                : image_fail(reterr, -EBADMSG, NULL, "'%s' is no version of Talos",
                                             p->version);
        }
        if (talos_version_parse(w->release, &p->talos) < 0)
                return image_fail(reterr, -EINVAL, "Give one like v1.13.9.", "'%s' is no version of Talos",
                                  w->release);
        if (p->talos.pre)
                return image_fail(reterr, -EINVAL, "Give a released version.",
                                  "'%s' is a pre-release of Talos", w->release);
        p->version = strdup(talos_version_format(p->talos, buf));
        return p->version ? 0 : out_of_memory(reterr);
}

static int plan_talos(Plan *p, const ImageWant *w, bool network, ImageFailure *reterr) {
        char variant[IMAGE_VARIANT_MAX] = "";
        const char *reason = NULL;
        int r;

        r = plan_version(p, w, network, reterr);
        if (r < 0)
                return r;
        p->schematic = w->schematic;
        if (w->schematic) {
                if (strlen(w->schematic) != 64 || strspn(w->schematic, "0123456789abcdef") != 64)
                        return image_fail(reterr, -EINVAL,
                                          "Give the 64 hex digits that the image factory shows.",
                                          "'%s' is no schematic", w->schematic);
                (void) snprintf(variant, sizeof(variant), "%.*s", DIGITS, w->schematic);
        } else {
                r = talos_extensions(p->talos, w->gpus, w->n_gpus, &p->extensions, &reason);
                if (r == -EOPNOTSUPP)
                        return image_fail(reterr, r, NULL,
                                          "There is no image of Talos %s for this machine: %s", p->version,
                                          reason);
                if (r < 0)
                        return out_of_memory(reterr);
                (void) imagesource_variant(p->extensions, variant);
        }
        r = str_printf(&p->name, "talos-%s-%s%s%s", p->version, p->arch, *variant ? "-" : "", variant);
        return r < 0 ? out_of_memory(reterr) : 0;
}

static int plan_release(Plan *p, const ImageWant *w, ImageFailure *reterr) {
        _cleanup_free_ char *versions = NULL, *remedy = NULL;

        p->release = imagesource_release(w->kind, w->release);
        if (!p->release) {
                if (imagesource_versions(w->kind, &versions) < 0 ||
                    str_printf(&remedy, "Known releases: %s.", versions) < 0)
                        return out_of_memory(reterr);
                return image_fail(reterr, -ENOENT, remedy, "There is no release '%s' of %s", w->release,
                                  image_kind_to_string(w->kind));
        }
        p->version = strdup(p->release->version);
        if (!p->version ||
            str_printf(&p->name, "%s-%s-%s", image_kind_to_string(w->kind), p->version, p->arch) < 0)
                return out_of_memory(reterr);
        return 0;
}

static int plan_make(Plan *p, const ImageSetup *s, const ImageWant *w, bool network, ImageFailure *reterr) {
        *p = (Plan){ .s = s, .kind = w->kind, .arch = w->arch ?: imagesource_arch(), .cache = -EBADF };
        if (!p->arch || (!streq(p->arch, "amd64") && !streq(p->arch, "arm64")))
                return image_fail(reterr, -EOPNOTSUPP, NULL, "There are images for amd64 and arm64 only");
        /* Whom a test's server is to be trusted by; never on the machine itself. */
        if (!fs_is_host(s->root) && free_and_strdup(&p->ca_file, secure_getenv("GPUVM_IMAGE_CA")) < 0)
                return out_of_memory(reterr);
        return w->kind == IMAGE_TALOS ? plan_talos(p, w, network, reterr) : plan_release(p, w, reterr);
}

static int find(const Plan *p, ImageEntry *ret) {
        _cleanup_(image_entry_done) ImageEntry e = {};
        int r;

        r = imagecache_find(p->s->root, p->name, &e);
        if (r >= 0)
                r = imagecache_hold(p->s->root, &e);
        if (r < 0)
                return r;
        *ret = e;
        e = (ImageEntry){};
        return 0;
}

int image_find(const ImageSetup *s, const ImageWant *w, ImageEntry *ret, ImageFailure *reterr) {
        _cleanup_(plan_done) Plan p = { .cache = -EBADF };
        int r;

        r = plan_make(&p, s, w, false, reterr);
        if (r < 0)
                return r;
        r = find(&p, ret);
        return r < 0 ? image_fail(reterr, r, "Download it with 'vmctl image pull'.",
                                  "The image '%s' is not in the cache%s%s", p.name, r == -ENOENT ? "" : ": ",
                                  r == -ENOENT ? "" : strerror(-r))
                     : 0;
}

/* What was asked for, before the image itself. */
typedef struct Order {
        ImagePlace place;
        char *schematic; /* Talos */
        char expected[DIGEST_HEX_MAX];
        const char *signature;
        char *file;
} Order;

static void order_done(Order *o) {
        image_place_done(&o->place);
        free(o->schematic);
        free(o->file);
}

static int order_talos(Plan *p, Order *o, ImageFailure *reterr) {
        ImageAsk a = ask_of(p);
        int r;

        r = p->schematic ? free_and_strdup(&o->schematic, p->schematic)
                         : imageask_schematic(&a, p->version, p->extensions, &o->schematic, reterr);
        if (r < 0)
                return r == -ENOMEM ? out_of_memory(reterr) : r;
        o->signature = "unsigned";
        if (talos_image_url(a.factory, o->schematic, p->talos, p->arch, &o->place.url) < 0 ||
            str_printf(&o->file, "%s-%s.raw", p->name, o->schematic) < 0)
                return out_of_memory(reterr);
        return 0;
}

static int order_release(Plan *p, Order *o, ImageFailure *reterr) {
        const char *base = p->kind == IMAGE_UBUNTU ? p->s->ubuntu ?: IMAGESOURCE_UBUNTU
                                                   : p->s->debian ?: IMAGESOURCE_DEBIAN;
        ImageAsk a = ask_of(p);
        int r;

        if (imagesource_place(p->release, base, p->arch, &o->place) < 0)
                return out_of_memory(reterr);
        r = imageask_sum(&a, &o->place, o->expected, &o->signature, reterr);
        if (r == -ENOENT && imagesource_is_over(p->release, time(NULL)))
                return image_fail(reterr, r, "Take a release that is supported, with --release.",
                                  "%s %s has had no support since %s, and its image is gone from '%s'",
                                  image_kind_to_string(p->kind), p->version, p->release->end, base);
        if (r < 0)
                return r;
        return str_printf(&o->file, "%s-%.*s.qcow2", p->name, DIGITS, o->expected) < 0 ? out_of_memory(reterr)
                                                                                       : 0;
}

static int fill_entry(const Plan *p, const Order *o, const ImagePulled *d, ImageEntry *e) {
        struct stat st;
        int r;

        r = str_printf(&e->path, "%s/%s", IMAGE_CACHE, o->file);
        if (r >= 0)
                r = fs_stat(p->s->root, e->path, &st);
        if (r < 0)
                return r;
        e->size = d->size;
        e->length = d->length;
        e->used = (uint64_t) st.st_blocks * 512;
        e->pulled = (uint64_t) time(NULL);
        if (free_and_strdup(&e->name, p->name) < 0 ||
            free_and_strdup(&e->kind, image_kind_to_string(p->kind)) < 0 ||
            free_and_strdup(&e->release, p->version) < 0 || free_and_strdup(&e->arch, p->arch) < 0 ||
            free_and_strdup(&e->file, o->file) < 0 ||
            free_and_strdup(&e->format, p->kind == IMAGE_TALOS ? "raw" : "qcow2") < 0 ||
            free_and_strdup(&e->schematic, strempty(o->schematic)) < 0 ||
            free_and_strdup(&e->url, o->place.url) < 0 || free_and_strdup(&e->signature, o->signature) < 0 ||
            str_printf(&e->digest, "%s:%s", digest_kind_to_string(o->place.digest), d->digest) < 0 ||
            (*d->content ? str_printf(&e->content, "sha256:%s", d->content)
                         : free_and_strdup(&e->content, "")) < 0)
                return -ENOMEM;
        return 0;
}

static int download(Plan *p, const Order *o, ImageFailure *reterr) {
        const ImagePull pull = {
                .name = p->name,
                .url = o->place.url,
                .cache = p->cache,
                .file = o->file,
                .unpack = unpack_kind(o->place.url),
                .qcow2 = p->kind != IMAGE_TALOS,
                .digest = o->place.digest,
                .expected = *o->expected ? o->expected : NULL,
                .max = p->s->max ?: SIZE_MAX_DEFAULT,
                .answer_usec = p->kind == IMAGE_TALOS ? BUILD_SEC * USEC_PER_SEC : 0,
                .stall_usec = p->s->stall_usec,
                .ca_file = p->ca_file,
                .progress = p->s->progress,
                .userdata = p->s->userdata,
        };
        _cleanup_(image_entry_done) ImageEntry e = {};
        ImagePulled pulled;
        int r;

        r = imagepull(&pull, &pulled, reterr);
        if (r < 0)
                return r;
        r = fill_entry(p, o, &pulled, &e);
        if (r >= 0)
                r = imagecache_put(p->s->root, &e);
        return r < 0 ? image_fail(reterr, r, image_remedy(r), "Cannot write the entry of '%s': %s", p->name,
                                  strerror(-r))
                     : 0;
}

/* Under the lock: somebody may have been quicker, and a refresh may find the same build. */
static int pull_locked(Plan *p, bool waited, ImageEntry *ret, ImageFailure *reterr) {
        _cleanup_(image_entry_done) ImageEntry old = {};
        _cleanup_(order_done) Order o = {};
        bool have;
        int r;

        have = find(p, &old) >= 0;
        if (!have || (p->s->refresh && !waited)) {
                r = p->kind == IMAGE_TALOS ? order_talos(p, &o, reterr) : order_release(p, &o, reterr);
                if (r >= 0 && !(have && streq(old.file, o.file)))
                        r = download(p, &o, reterr);
                if (r < 0)
                        return r;
        }
        r = find(p, ret);
        return r < 0 ? image_fail(reterr, r, NULL, "The image '%s' is gone again: %s", p->name, strerror(-r))
                     : 0;
}

typedef struct Waiting {
        Plan *p;
        bool waited;
} Waiting;

static void on_lock(void *userdata) {
        Waiting *w = userdata;

        w->waited = true;
        on_wait(w->p);
}

int image_get(const ImageSetup *s, const ImageWant *w, ImageEntry *ret, ImageFailure *reterr) {
        _cleanup_(plan_done) Plan p = { .cache = -EBADF };
        _cleanup_close_ int lock = -EBADF;
        Waiting waiting = { .p = &p };
        int r;

        r = plan_make(&p, s, w, true, reterr);
        if (r < 0)
                return r;
        if (!s->refresh && find(&p, ret) >= 0)
                return 0;
        r = open_cache(&p, reterr);
        if (r < 0)
                return r;
        lock = imagecache_lock(p.cache, p.name, on_lock, &waiting);
        if (lock < 0)
                return image_fail(reterr, lock, image_remedy(lock), "Cannot lock the image '%s': %s", p.name,
                                  strerror(-lock));
        return pull_locked(&p, waiting.waited, ret, reterr);
}
